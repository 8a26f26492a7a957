"""The one way secrets are taken out of text: logs, errors, events and outgoing messages pass here."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable

MASK = "[redacted]"
SHORTEST = 8
"""A shorter "secret" would blank out ordinary words."""

# No word boundary before it: in a URL of the Bot API the token follows "/bot" directly. Its colon may be quoted.
_BOT_TOKEN = re.compile(r"(?<![0-9])[0-9]{6,20}(?::|%3[Aa])[A-Za-z0-9_-]{30,}")


class Redactor:
    """Replaces the given values, and whatever has a bot token's shape, by a mask."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: a secret that contains another must not leave its own rest standing.
        found = sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _BOT_TOKEN.sub(MASK, text)


class RedactingFormatter(logging.Formatter):
    """A formatter whose whole line, traceback included, has passed the redactor."""

    def __init__(self, form: str, redact: Redactor) -> None:
        super().__init__(form)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))

    def formatException(self, ei: object) -> str:
        return "".join(traceback.format_exception(*ei)).rstrip()  # type: ignore[misc]
