"""The Ledger: every durable step of a tenant, each one method and one transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from klad.brief import About
from klad.errors import LedgerError
from klad.ledger.hosttools import HostTools
from klad.ledger.tables import tables


def _as_it_is(text: str) -> str:
    return text


class Ledger(HostTools):
    """Opened once a process. Every step returns a `Future`, set after the commit.

    Loops await it (`asyncio.wrap_future`), actors wait for it with a timeout. It raises
    `LedgerError` when nothing was written (disk full, locked, closed).
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        about: About | None = None,
        redact: Callable[[str], str] = _as_it_is,
    ) -> None:
        try:
            # Made here and not by SQLite, whose -wal and -shm take on this file's mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerError(f"the ledger {path} can't be opened: {os.strerror(error.errno or 0)}") from None
        self.clock = clock
        self.about = about or About()
        self.redact = redact
        super().__init__(path)
        self.tables = tables(self.database)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        about: About | None = None,
        redact: Callable[[str], str] = _as_it_is,
    ) -> Ledger:
        """Open or create the ledger at `path` and bring its schema up to date. Raises `LedgerError`."""
        return cls(path, clock=clock, about=about, redact=redact)
