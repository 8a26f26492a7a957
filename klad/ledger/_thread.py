"""The ledger's one thread: it owns the connection, and commits the steps that wait together.

A step is a function run on this thread inside a savepoint; whoever submitted it holds a future
that is set only after the COMMIT (one fsync for all that waited). A step that raises is rolled
back alone; a COMMIT that fails fails every step of its group.
"""

from __future__ import annotations

import functools
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import peewee
from peewee import SqliteDatabase
from playhouse.migrations import Runner

from klad.errors import LedgerError

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

GROUP = 256
"""Steps in one commit at most, so that the first of a long backlog isn't kept waiting for the last."""

_PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1, "busy_timeout": 5000}


class _Submits(Protocol):
    def submit(self, body: Callable[[], T]) -> Future[T]: ...


S = TypeVar("S", bound=_Submits)


def step(body: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], Future[T]]:
    """Make a method one durable step: called anywhere, run on the ledger's thread, in a transaction."""

    @functools.wraps(body)
    def submit(self: S, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self.submit(functools.partial(body, self, *args, **kwargs))

    return cast("Callable[Concatenate[S, P], Future[T]]", submit)


class LedgerThread:
    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        """Open `path`, bring its schema up to date, start the thread. Raises `LedgerError`."""
        self.path = path
        self.database = SqliteDatabase(
            str(path), pragmas=_PRAGMAS, lock_type="IMMEDIATE", timeout=timeout_s, check_same_thread=True
        )
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._opened: Future[None] = Future()
        self._closing = threading.Lock()
        self._closed = False
        self._thread.start()
        self._opened.result()

    def submit(self, body: Callable[[], T]) -> Future[T]:
        """Run `body` as one step. The future raises `LedgerError` when nothing was written."""
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(LedgerError("the ledger is closed"))
            else:
                self._queue.put((body, future))
        return future

    def close(self) -> None:
        """Commit what waits, close the connection, end the thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self.database.connect()
            Runner(self.database, str(Path(__file__).parent / "migrations"), table_name="migration").up()
            # WAL needs a checkpoint of what an earlier process left, or it grows with each kill.
            self.database.execute_sql("PRAGMA wal_checkpoint(PASSIVE)")
        except (peewee.PeeweeException, sqlite3.Error, OSError) as error:
            self._opened.set_exception(LedgerError(f"the ledger {self.path} can't be opened: {error}"))
            return
        except Exception as error:  # noqa: BLE001 - whatever a migration raises belongs to the opener
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        last = False
        while not last:
            group = [self._queue.get()]
            while len(group) < GROUP and not self._queue.empty():
                group.append(self._queue.get())
            last = None in group
            self._commit([item for item in group if item is not None])
        self.database.close()

    def _commit(self, group: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self.database.atomic():
                for body, future in group:
                    if not future.set_running_or_notify_cancel():
                        continue
                    try:
                        with self.database.atomic():
                            outcomes.append((future, body(), None))
                    except Exception as error:
                        if _ill(error):
                            raise  # that concerns the whole group
                        outcomes.append((future, None, error))
        except (peewee.PeeweeException, sqlite3.Error) as error:
            log.error("ledger: %s", error)
            for _, future in group:
                _fail(future, LedgerError(f"the ledger can't be written: {error}"))
            return
        for future, value, failure in outcomes:
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(value)


def _ill(error: BaseException) -> bool:
    """Whether the database, and not the step, is at fault (full, locked, read-only, corrupt …)."""
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__ or error.__context__
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None or not isinstance(cause, sqlite3.OperationalError | sqlite3.DatabaseError):
        return False
    return (code & 0xFF) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)


def _fail(future: Future[Any], error: BaseException) -> None:
    if future.cancelled():
        return
    try:
        if not future.running():
            future.set_running_or_notify_cancel()
        future.set_exception(error)
    except InvalidStateError:
        return
