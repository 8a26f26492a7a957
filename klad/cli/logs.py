"""Where a tenant's log goes: a file of its own, and warnings to the terminal, both through the redactor."""

from __future__ import annotations

import logging
import logging.handlers
import sys

from klad.redact import RedactingFormatter, Redactor
from klad.tenants import Tenant

FORM = "%(asctime)s %(levelname)-7s %(threadName)s %(name)s: %(message)s"
FILE_BYTES, FILES = 5_000_000, 5


def begin(tenant: Tenant, redact: Redactor) -> None:
    """Log to `logs/klad.log` (INFO, rotated) and to stderr (WARNING, in short)."""
    file = logging.handlers.RotatingFileHandler(
        tenant.logs / "klad.log", maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"
    )
    file.setFormatter(RedactingFormatter(FORM, redact))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(_Terse("klad: %(message)s", redact))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in (file, terminal):
        root.addHandler(handler)
    for noisy in ("httpx", "httpcore", "urllib3", "docker", "aiohttp.access", "peewee"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Terse(RedactingFormatter):
    """A traceback belongs in the file; a person at the terminal gets one line."""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info is None:
            return super().format(record)
        error = record.exc_info[1]
        first = (record.getMessage().splitlines() or [""])[0]
        return self.redact(f"klad: {first} {type(error).__name__}: {error} (more in the log)")
