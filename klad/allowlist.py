"""The files behind `klad.mounts`: read, their paths resolved, handed to the rule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from klad.lined_json import parse
from klad.mounts import BLOCKED, Allowlist, Granted, Refused, Request, Root, decide

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def allowlist_path() -> Path:
    """The machine owner's file, outside the project and of every tenant's directory."""
    return Path.home() / ".config/klad/mount-allowlist.json"


def load_allowlist(path: Path) -> Allowlist:
    """A missing file allows nothing. Raises `UsageError`, naming file and line, for a broken one."""
    top = parse(path)
    if top is None:
        return Allowlist()
    top.only("roots", "blocked")
    roots = []
    for entry in top.objects("roots"):
        entry.only("path", "write", "tenants")
        written = entry.text("path")
        place = _resolved(written)
        if place is None:
            raise entry.error(f"{written!r} is no absolute path that can be resolved")
        tenants = entry.texts("tenants") if "tenants" in entry else ("*",)
        roots.append(Root(place, entry.flag("write"), tenants))
    blocked = top.texts("blocked") if "blocked" in top else ()
    for name in blocked:
        if "/" in name or not name:
            raise top.error(f"blocked: {name!r} is not a single name")
    return Allowlist(tuple(roots), BLOCKED | set(blocked))


def load_requests(path: Path) -> tuple[Request, ...]:
    """A tenant's wishes; none where there is no file. Raises `UsageError` as `load_allowlist` does."""
    top = parse(path)
    if top is None:
        return ()
    requests = []
    for name in top:
        if not _NAME.fullmatch(name):
            raise top.error(f"{name!r} can't be a directory's name: letters, digits, '.', '_', '-', 63 at most")
        entry = top.object(name)
        entry.only("path", "write")
        requests.append(Request(name, entry.text("path"), entry.flag("write")))
    return tuple(requests)


def mounts_of(
    tenant: str, requests: Iterable[Request], allowlist: Allowlist, forbidden: Iterable[Path] = ()
) -> list[Granted | Refused]:
    """`decide` on this machine's directories, for each request in turn.

    Give KLAD_HOME and the allowlist's own directory as `forbidden`.
    """
    never = [str(path.resolve()) for path in forbidden]
    decisions: list[Granted | Refused] = []
    for request in requests:
        place = _resolved(request.path)
        if place is not None and not Path(place).is_dir():
            place = None
        decisions.append(decide(allowlist, tenant, request, place, never))
    return decisions


def _resolved(written: str) -> str | None:
    """None: not absolute, or there is no telling where it leads (a loop, no permission, a NUL)."""
    try:
        place = Path(written).expanduser()
        return str(place.resolve()) if place.is_absolute() else None
    except (OSError, RuntimeError, ValueError):
        return None
