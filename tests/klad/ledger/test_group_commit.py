"""Steps that wait together are committed together, and each fails alone."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from klad.errors import LedgerError
from klad.ledger import Ledger
from klad.ledger._thread import GROUP
from tests.klad.ledger.support import do, held, query


@pytest.fixture
def commits(ledger: Ledger) -> list[str]:
    """The COMMITs that SQLite carries out from now on."""
    seen: list[str] = []

    def trace(statement: str) -> None:
        if statement.startswith("COMMIT"):
            seen.append(statement)

    do(ledger.submit(lambda: ledger.database.connection().set_trace_callback(trace)))
    do(ledger.submit(lambda: None))  # the commit of the line above may come after its future's value
    seen.clear()
    return seen


def update_ids(ledger: Ledger) -> list[int]:
    return [number for (number,) in query(ledger, 'SELECT update_id FROM "update" ORDER BY update_id')]


def test_steps_that_wait_together_are_one_commit(ledger: Ledger, commits: list[str]) -> None:
    with held(ledger):
        futures = [ledger.commit_update(number, "7", "{}") for number in range(200)]
    assert all(do(future) for future in futures)
    assert len(commits) == 2, "one of the step that held the thread, one of the 200 that waited"
    assert update_ids(ledger) == list(range(200))


def test_a_long_backlog_is_committed_in_groups_of_a_bounded_size(ledger: Ledger, commits: list[str]) -> None:
    with held(ledger):
        futures = [ledger.commit_update(number, "7", "{}") for number in range(2 * GROUP + 1)]
    assert all(do(future) for future in futures)
    assert len(commits) == 1 + 3


def test_a_step_that_comes_alone_is_a_commit_of_its_own(ledger: Ledger, commits: list[str]) -> None:
    for number in range(5):
        do(ledger.commit_update(number, "7", "{}"))
    assert len(commits) == 5


def test_threads_that_each_wait_for_their_step_share_commits(ledger: Ledger, commits: list[str]) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 20):
            do(ledger.commit_update(number, "7", "{}"))

    threads = [threading.Thread(target=work, args=(start * 100,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(update_ids(ledger)) == 160
    assert len(commits) < 160


def test_a_future_is_set_only_after_the_commit(ledger: Ledger) -> None:
    for number in range(50):
        do(ledger.commit_update(number, "7", "{}"))
        assert number in update_ids(ledger)


def test_a_step_that_raises_is_rolled_back_alone_and_its_neighbours_are_committed(ledger: Ledger) -> None:
    def write_then_raise() -> None:
        ledger.tables.Setting.create(key="half", value="a step")
        raise KeyError("on purpose")

    with held(ledger):
        before = ledger.commit_update(1, "7", "{}")
        broken = ledger.submit(write_then_raise)
        after = ledger.commit_update(2, "7", "{}")
    assert do(before)
    assert do(after)
    with pytest.raises(KeyError, match="on purpose"):
        do(broken)
    assert update_ids(ledger) == [1, 2]
    assert query(ledger, "SELECT * FROM setting") == []


def test_a_constraint_that_a_step_breaks_is_that_steps_error(ledger: Ledger) -> None:
    with held(ledger):
        first = ledger.submit(lambda: ledger.tables.Setting.create(key="a", value="1"))
        second = ledger.submit(lambda: ledger.tables.Setting.create(key="a", value="2"))
        third = ledger.commit_update(1, "7", "{}")
    do(first)
    with pytest.raises(Exception, match="UNIQUE") as caught:
        do(second)
    assert not isinstance(caught.value, LedgerError)
    assert do(third)
    assert query(ledger, "SELECT value FROM setting") == [("1",)]


def test_a_system_exit_in_a_step_does_not_end_the_ledgers_thread(ledger: Ledger) -> None:
    def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        do(ledger.submit(leave))
    assert do(ledger.commit_update(1, "7", "{}"))


def test_a_step_that_was_cancelled_in_time_is_not_carried_out(ledger: Ledger) -> None:
    with held(ledger):
        unwanted = ledger.commit_update(1, "7", "{}")
        wanted = ledger.commit_update(2, "7", "{}")
        assert unwanted.cancel()
    assert do(wanted)
    assert update_ids(ledger) == [2]


def test_closing_commits_what_waits(ledger: Ledger) -> None:
    closer = threading.Thread(target=ledger.close)
    futures: list[Future[bool]] = []
    with held(ledger):
        futures += [ledger.commit_update(number, "7", "{}") for number in range(10)]
        closer.start()
    closer.join(20)
    assert all(future.done() and future.result() for future in futures)
    assert update_ids(ledger) == list(range(10))


def test_a_closed_ledger_refuses_steps(ledger: Ledger) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        do(ledger.commit_update(1, "7", "{}"))


def test_closing_twice_is_closing_once(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()


def test_nobody_returns_from_close_before_it_is_closed(ledger: Ledger) -> None:
    closers = [threading.Thread(target=ledger.close) for _ in range(3)]
    with held(ledger):
        future = ledger.commit_update(1, "7", "{}")
        for closer in closers:
            closer.start()
        assert all(closer.is_alive() for closer in closers)
    for closer in closers:
        closer.join(20)
    assert future.done()
    assert ledger.database.is_closed() or not ledger._thread.is_alive()
