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
from collections.abc import Callable, Iterator
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

_PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
_STEPS_OWN = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)
"""Result codes (https://sqlite.org/rescode.html) for which a step is at fault, and not the database."""


class _Submits(Protocol):
    def submit(self, body: Callable[[], T]) -> Future[T]: ...


S = TypeVar("S", bound=_Submits)


class _GroupFailed(Exception):
    """The steps that were to be committed together have all failed, for the cause of this."""


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
        pragmas = {**_PRAGMAS, "busy_timeout": int(timeout_s * 1000)}
        self.database = SqliteDatabase(
            str(path), pragmas=pragmas, lock_type="IMMEDIATE", timeout=timeout_s, check_same_thread=True
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
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self.database.connect()
            Runner(self.database, str(Path(__file__).parent / "migrations"), table_name="migration").up()
            # WAL needs a checkpoint of what an earlier process left, or it grows with each kill.
            self.database.execute_sql("PRAGMA wal_checkpoint(PASSIVE)")
        except BaseException as error:  # noqa: BLE001 - whatever a migration raises belongs to the opener
            self.database.close()
            known = isinstance(error, peewee.PeeweeException | sqlite3.Error | OSError)
            said = LedgerError(f"the ledger {self.path} can't be opened: {error}") if known else error
            self._opened.set_exception(said)
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
                    if future.set_running_or_notify_cancel():
                        outcomes.append((future, *self._attempt(body)))
        except Exception as error:  # noqa: BLE001 - this thread must outlive it, and nobody may wait for ever
            reason = _first_cause(error)
            log.error("ledger: %s", reason)
            for _, future in group:
                _fail(future, LedgerError(f"the ledger can't be written: {reason}"))
            self._leave_transaction()
            return
        for future, value, failure in outcomes:
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(value)

    def _leave_transaction(self) -> None:
        """So that the next group can begin, also when rolling back this one failed. Nothing else is lost by it."""
        try:
            if self.database.connection().in_transaction:
                self.database.connection().rollback()
        except (peewee.PeeweeException, sqlite3.Error) as error:
            log.error("ledger: opened anew, as it can't be rolled back: %s", error)
            self.database.close()  # peewee connects again when it is needed

    def _attempt(self, body: Callable[[], T]) -> tuple[T | None, BaseException | None]:
        """Run one step in a savepoint: its value, or what it raised. Raises when that concerns the whole group."""
        try:
            with self.database.atomic():
                return body(), None
        except BaseException as error:
            # Also a SystemExit: with this thread dead, everybody would wait for ever.
            # Some errors (a full disk) make SQLite roll back everything by itself. What followed would then
            # commit alone, while its step is told that nothing was written.
            if _ill(error) or not self.database.connection().in_transaction:
                raise _GroupFailed from error
            return None, error if isinstance(error, Exception) else RuntimeError(f"a step raised {error!r}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it, the first cause last."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _ill(error: BaseException) -> bool:
    """Whether the database, and not the step, is at fault (full, locked, read-only, corrupt …)."""
    codes = (link.sqlite_errorcode for link in _chain(error) if hasattr(link, "sqlite_errorcode"))
    return any((code & 0xFF) not in _STEPS_OWN for code in codes)


def _first_cause(error: BaseException) -> BaseException:
    """What SQLite said first: a rollback that fails after it would hide "disk is full" behind its own words."""
    links = list(_chain(error))
    return ([link for link in links if isinstance(link, sqlite3.Error)] or links)[-1]


def _fail(future: Future[Any], error: BaseException) -> None:
    if future.cancelled():
        return
    try:
        if not future.running():
            future.set_running_or_notify_cancel()
        future.set_exception(error)
    except InvalidStateError:
        return
