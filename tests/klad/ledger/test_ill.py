"""A database that can't be written: nothing is written, everybody is told, and it heals."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
import pytest

from klad.errors import LedgerError
from klad.ledger import Ledger
from tests.klad.ledger.support import do, held, query

LARGE = "x" * 400_000

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def pragma(ledger: Ledger, text: str) -> Callable[[], object]:
    return lambda: ledger.database.execute_sql(f"PRAGMA {text}").fetchone()


def update_ids(ledger: Ledger) -> list[int]:
    return [number for (number,) in query(ledger, 'SELECT update_id FROM "update" ORDER BY update_id')]


@contextmanager
def full_disk(ledger: Ledger) -> Iterator[None]:
    """No page beyond those that are there: SQLITE_FULL, as from a full disk."""
    (pages,) = query(ledger, "PRAGMA page_count")[0]
    do(ledger.submit(pragma(ledger, f"max_page_count = {pages + 2}")))
    yield
    do(ledger.submit(pragma(ledger, "max_page_count = 1000000")))


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate(timeout=20)


def test_a_full_disk_is_a_ledger_error_that_says_so_and_it_heals(ledger: Ledger) -> None:
    assert do(ledger.commit_update(1, "7", "{}"))
    with full_disk(ledger):
        with pytest.raises(LedgerError, match="full"):
            do(ledger.commit_update(2, "7", LARGE))
        assert update_ids(ledger) == [1]
    assert do(ledger.commit_update(2, "7", LARGE))
    assert update_ids(ledger) == [1, 2]


def test_a_full_disk_fails_the_whole_group_and_nothing_of_it_is_written(ledger: Ledger) -> None:
    """SQLite rolls back everything by itself then; what follows in the group must not commit on its own."""
    with full_disk(ledger):
        with held(ledger):
            futures = [
                ledger.commit_update(1, "7", "{}"),
                ledger.commit_update(2, "7", LARGE),
                ledger.commit_update(3, "7", "{}"),
                ledger.set_setting("key", "value"),
            ]
        for future in futures:
            with pytest.raises(LedgerError, match="full"):
                do(future)
    assert update_ids(ledger) == []
    assert query(ledger, "SELECT * FROM setting") == []
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_lock_held_by_another_process_beyond_the_timeout_is_a_ledger_error(ledger: Ledger) -> None:
    do(ledger.submit(pragma(ledger, "busy_timeout = 50")))
    with locked_by_another_process(ledger.path), pytest.raises(LedgerError, match="locked"):
        do(ledger.commit_update(1, "7", "{}"))
    assert update_ids(ledger) == []
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_lock_that_is_given_back_in_time_is_only_waited_for(ledger: Ledger) -> None:
    with locked_by_another_process(ledger.path):
        future = ledger.commit_update(1, "7", "{}")
    assert do(future)


def test_a_read_only_database_is_a_ledger_error_and_it_heals(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, read_only = ledger.database.begin, [1]

    def begin_as_told(*args: object) -> None:
        ledger.database.execute_sql(f"PRAGMA query_only = {read_only[0]}")
        begin(*args)

    monkeypatch.setattr(ledger.database, "begin", begin_as_told)
    with pytest.raises(LedgerError, match="readonly"):
        do(ledger.commit_update(1, "7", "{}"))
    read_only[0] = 0
    assert do(ledger.commit_update(1, "7", "{}"))
    assert update_ids(ledger) == [1]


def test_an_io_error_inside_a_step_fails_the_group(ledger: Ledger) -> None:
    def broken_disk() -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise error

    with held(ledger):
        neighbour = ledger.commit_update(1, "7", "{}")
        broken = ledger.submit(broken_disk)
    for future in (neighbour, broken):
        with pytest.raises(LedgerError, match="disk I/O error"):
            do(future)
    assert update_ids(ledger) == []
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_step_whose_error_took_the_transaction_with_it_fails_the_group(ledger: Ledger) -> None:
    def write_twice() -> None:
        for _ in range(2):
            ledger.database.execute_sql("INSERT OR ROLLBACK INTO setting VALUES ('key', 'value')")

    with held(ledger):
        futures = [ledger.commit_update(1, "7", "{}"), ledger.submit(write_twice), ledger.commit_update(2, "7", "{}")]
    for future in futures:
        with pytest.raises(LedgerError, match="UNIQUE"):
            do(future)
    assert update_ids(ledger) == []
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_commit_that_fails_fails_every_step_of_its_group(ledger: Ledger) -> None:
    def break_a_reference() -> str:
        ledger.database.execute_sql("PRAGMA defer_foreign_keys = 1")  # found only by COMMIT
        ledger.tables.Signal.create(run="nobody", kind="steer", text="", at=0.0)
        return "no error yet"

    with held(ledger):
        futures = [ledger.commit_update(1, "7", "{}"), ledger.submit(break_a_reference)]
    for future in futures:
        with pytest.raises(LedgerError, match="FOREIGN KEY"):
            do(future)
    assert update_ids(ledger) == []
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_rollback_that_fails_as_well_does_not_hide_the_cause(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise peewee.OperationalError("cannot rollback")

    def full() -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ledger.database, "rollback", fail)
        patch.setattr(ledger.database, "commit", full)
        with pytest.raises(LedgerError, match="disk is full"):
            do(ledger.commit_update(1, "7", "{}"))
    assert do(ledger.commit_update(1, "7", "{}"))
    assert update_ids(ledger) == [1]


def test_a_connection_that_can_not_be_rolled_back_is_opened_anew(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = ledger.database
    broken = do(ledger.submit(database.connection))
    opened_before = []

    def lose_the_connection() -> None:
        opened_before.append(database.connection())
        database.connection().close()
        database.execute_sql("SELECT 1")

    with pytest.raises(LedgerError):
        do(ledger.submit(lose_the_connection))
    assert opened_before == [broken]
    assert do(ledger.commit_update(1, "7", "{}"))
    assert update_ids(ledger) == [1]
    assert do(ledger.submit(pragma(ledger, "foreign_keys"))) == (1,)


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be looked at" * 100, b""])
def test_a_file_that_is_no_database_can_not_be_opened_and_an_empty_one_can(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    if content:
        with pytest.raises(LedgerError, match="not a database"):
            Ledger.open(path)
        assert path.read_bytes() == content
    else:
        Ledger.open(path).close()


def test_a_directory_in_the_ledgers_place_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="can't be opened: Is a directory"):
        Ledger.open(tmp_path)


def test_a_missing_directory_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="can't be opened: No such file"):
        Ledger.open(tmp_path / "none" / "ledger.db")


def test_nobody_else_may_read_the_ledger_or_its_journal(ledger: Ledger) -> None:
    do(ledger.commit_update(1, "7", "{}"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in ledger.path.parent.glob("ledger.db*")}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_it_is_opened_with_what_durability_needs(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    try:
        for key, wanted in {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}.items():
            assert do(ledger.submit(pragma(ledger, key))) == (wanted,)
    finally:
        ledger.close()
