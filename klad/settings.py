"""A tenant's `.env` → one frozen `Settings`. An unknown or malformed key is an error that names its line.

Values are read by key and never enter this process's environment, which children inherit.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from klad.errors import UsageError

SECRET = {"secret": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a tenant; `.env.example` says what each means."""

    telegram_bot_token: str = field(default="", repr=False, metadata=SECRET)
    telegram_api_url: str = "https://api.telegram.org"
    allowed_users: frozenset[int] = frozenset()
    assistant_name: str = "Klåd"
    timezone: str = "UTC"
    port: int = 3000
    gateway_port: int = 10254
    gateway_via: str = "socket"
    max_concurrent_containers: int = 10
    idle_timeout: int = 300_000
    """ms"""
    runtime: str = "auto"
    container_runtime: str = ""
    image: str = ""
    egress: str = "internet"
    ca_bundle: str = ""
    anthropic_api_key: str = field(default="", repr=False, metadata=SECRET)
    anthropic_base_url: str = ""
    openai_api_key: str = field(default="", repr=False, metadata=SECRET)
    openai_base_url: str = ""
    model: str = ""
    chat_model: str = ""
    daily_budget_usd: float | None = None
    group_quota_mb: int | None = None

    @property
    def embedded(self) -> bool:
        """Whether this tenant talks through the embedded Bot API, having no token of its own."""
        return not self.telegram_bot_token

    def secrets(self) -> tuple[str, ...]:
        """The values that may stand in no log, error, container or message."""
        values = [getattr(self, item.name) for item in fields(self) if item.metadata.get("secret")]
        return tuple(value for value in values if value)

    def not_yet(self) -> tuple[str, ...]:
        """Keys that are set, and that nothing in this version acts on."""
        egress = ("EGRESS",) if self.egress not in ("none", "internet") else ()
        return egress + tuple(key for key in NOT_YET if getattr(self, key.lower()) not in ("", None))


NOT_YET = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "MODEL",
    "CHAT_MODEL",
    "DAILY_BUDGET_USD",
    "GROUP_QUOTA_MB",
)
"""Keys of the contract that a later version acts on; a start with one of them set says so."""


class _Bad(ValueError):
    """What a value should look like."""


def _text(value: str) -> str:
    return value


def _token(value: str) -> str:
    if value and not re.fullmatch(r"[0-9]{3,20}:[A-Za-z0-9_-]{10,100}", value):
        raise _Bad("a token from @BotFather such as 123456:ABC…, or empty for the embedded web chat")
    return value


def _name(value: str) -> str:
    if not value.strip() or len(value) > 64:
        raise _Bad("a name of 1 to 64 characters")
    return value.strip()


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that isn't closed
        good = False
    if value and (not good or re.search(r"\s", value)):
        raise _Bad("a URL such as https://host[:port]")
    return value.rstrip("/")


def _ids(value: str) -> frozenset[int]:
    found = [item.strip() for item in value.split(",") if item.strip()]
    if not all(re.fullmatch(r"\d{1,20}", item) for item in found):
        raise _Bad("Telegram user ids separated by commas, such as 12345,67890")
    return frozenset(int(item) for item in found)


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise _Bad("an IANA time zone such as Europe/Stockholm")
    ZoneInfo(value)
    return value


def _integer(low: int, high: int, unit: str) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,18}", value) or not low <= int(value) <= high:
            raise _Bad(f"a whole number from {low} to {high}{unit}")
        return int(value)

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise _Bad(" or ".join(choices))
        return value

    return read


def _soon(*choices: str, later: str) -> Callable[[str], str]:
    """One of `choices`; `later` is the contract's word for what a coming version can do."""
    read = _one_of(*choices)

    def checked(value: str) -> str:
        if value == later:
            raise _Bad(f"{' or '.join(choices)} ({later} is not available yet)")
        return read(value)

    return checked


def _egress(value: str) -> str:
    host = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:\d{1,5})?"
    if value not in ("none", "internet") and not re.fullmatch(rf"{host}(\s*,\s*{host})*", value):
        raise _Bad("none, internet, or hosts separated by commas")
    return value


def _file(value: str) -> str:
    try:
        there = Path(value).is_file()
    except OSError:  # a name too long, a directory that is closed to us
        there = False
    if value and not there:
        raise _Bad("the path of a file that exists")
    return value


def _dollars(value: str) -> float | None:
    if not value:
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value):
        raise _Bad("an amount in USD such as 5 or 2.50")
    return float(value)


def _megabytes(value: str) -> int | None:
    return _integer(1, 10_000_000, " (MB)")(value) if value else None


READERS: Mapping[str, Callable[[str], Any]] = {
    "TELEGRAM_BOT_TOKEN": _token,
    "TELEGRAM_API_URL": _url,
    "ALLOWED_USERS": _ids,
    "ASSISTANT_NAME": _name,
    "TIMEZONE": _zone,
    "PORT": _integer(1, 65535, ""),
    "GATEWAY_PORT": _integer(1, 65535, ""),
    "GATEWAY_VIA": _soon("socket", later="relay"),
    "MAX_CONCURRENT_CONTAINERS": _integer(2, 1000, ""),
    "IDLE_TIMEOUT": _integer(1, 86_400_000, " (ms)"),
    "RUNTIME": _soon("auto", "docker", later="process"),
    "CONTAINER_RUNTIME": _text,
    "IMAGE": _text,
    "EGRESS": _egress,
    "CA_BUNDLE": _file,
    "ANTHROPIC_API_KEY": _text,
    "ANTHROPIC_BASE_URL": _url,
    "OPENAI_API_KEY": _text,
    "OPENAI_BASE_URL": _url,
    "MODEL": _text,
    "CHAT_MODEL": _text,
    "DAILY_BUDGET_USD": _dollars,
    "GROUP_QUOTA_MB": _megabytes,
}

_EOL = re.compile(r"\r\n|\n|\r")
"""What an editor counts as a line; `str.splitlines` knows more of them."""
_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


def parse(text: str, where: str) -> Settings:
    """Settings from the text of a `.env`; `where` names the file in errors. Raises `UsageError`.

    One `KEY=VALUE` a line; `#` starts a comment at a line's beginning or after a space; a value may
    stand in single or double quotes. An empty value is the default.
    """
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_EOL.split(text), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        if match is None:
            raise UsageError(f"{where}, line {number}: expected KEY=VALUE")
        key, value = match.group(1), _unquote(match.group(2), where, number)
        if key not in READERS:
            near = difflib.get_close_matches(key.upper(), READERS, 1)
            hint = f"; did you mean {near[0]}?" if near else "; see .env.example for every setting"
            # A secret alone on its line, ending in =, reads as a key too: what is long and like none is not shown.
            shown = f" {key}" if near or len(key) <= 16 else ""
            raise UsageError(f"{where}, line {number}: unknown setting{shown}{hint}")
        if key in lines:
            raise UsageError(f"{where}, line {number}: {key} stands already in line {lines[key]}")
        lines[key] = number
        if value == "":
            continue
        try:
            values[key.lower()] = READERS[key](value)
        except _Bad as bad:
            # The value itself isn't shown: in the wrong line it may be a secret.
            raise UsageError(f"{where}, line {number}: {key} must be {bad}") from None
    settings = Settings(**values)
    if settings.port == settings.gateway_port:
        raise UsageError(f"{where}: PORT and GATEWAY_PORT are both {settings.port}; give each its own")
    return settings


def load(path: Path) -> Settings:
    """Read a tenant's `.env`. Raises `UsageError` with one line that says what to mend."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {os.strerror(error.errno or 0)}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # `error.object` and not `raw`: behind a BOM the position counts from after it.
        before = error.object[: error.start].decode("utf-8", "replace")
        raise UsageError(f"{path}, line {len(_EOL.split(before))}: not UTF-8 text") from None
    if "\0" in text:
        raise UsageError(f"{path}, line {len(_EOL.split(text[: text.index(chr(0))]))}: a NUL byte")
    return parse(text, str(path))


def _unquote(value: str, where: str, number: int) -> str:
    if value[:1] in ("'", '"'):
        quote = value[0]
        end = value.find(quote, 1)
        rest = value[end + 1 :].strip() if end > 0 else ""
        if end < 0 or (rest and not rest.startswith("#")):
            raise UsageError(f"{where}, line {number}: the quote {quote} is not closed")
        return value[1:end]
    return re.split(r"\s#|^#", value, maxsplit=1)[0].strip()
