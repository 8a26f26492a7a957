"""What an agent may ask of its tenant, once for each (run, call)."""

from __future__ import annotations

from typing import Any

import pytest

from klad.ledger import CancelWorker, Ledger, Outbox, Signalled, ToolResult, Wanted
from tests.klad.ledger.support import HOME, Driver, do, query


@pytest.fixture
def worker(drive: Driver) -> tuple[str, int]:
    run, turn = drive.working("build it")
    return run, turn.id


@pytest.fixture
def talker(drive: Driver, worker: tuple[str, int]) -> str:
    return drive.working("what is it like?", "chat")[0]


def call(ledger: Ledger, run: str, name: str, call_id: str = "c1", **args: Any) -> ToolResult:
    return do(ledger.call_tool(run, call_id, name, args))


@pytest.mark.parametrize(
    ("name", "args", "table"),
    [
        ("queue_task", {"text": "test it"}, "turn"),
        ("steer_worker", {"text": "faster"}, "signal"),
        ("remember", {"text": "tea"}, "memory"),
        ("cancel_worker", {"reason": "enough"}, "outbox"),
        ("worker_status", {}, "tool_call"),
    ],
)
def test_a_call_has_its_effect_once(ledger: Ledger, talker: str, name: str, args: dict[str, str], table: str) -> None:
    first = call(ledger, talker, name, **args)
    assert not first.error
    count = query(ledger, f"SELECT COUNT(*) FROM {table}")
    again = call(ledger, talker, name, **args)
    assert (again.text, again.error, again.nudges) == (first.text, False, ())
    assert query(ledger, f"SELECT COUNT(*) FROM {table}") == count


def test_the_same_call_id_of_another_run_is_another_call(
    ledger: Ledger, talker: str, worker: tuple[str, int]
) -> None:
    call(ledger, talker, "remember", text="tea")
    call(ledger, worker[0], "remember", text="coffee")
    assert query(ledger, "SELECT text FROM memory ORDER BY id") == [("tea",), ("coffee",)]


def test_an_error_is_remembered_as_one(ledger: Ledger, talker: str) -> None:
    assert call(ledger, talker, "steer_worker", text=" ").error
    assert call(ledger, talker, "steer_worker", text="now with words").error, "the same call"


def test_steering_is_a_signal_for_the_workers_run(ledger: Ledger, talker: str, worker: tuple[str, int]) -> None:
    assert call(ledger, talker, "steer_worker", text="use gcc").nudges == (Signalled(worker[0]),)
    assert [(signal.kind, signal.text) for signal in do(ledger.signals(worker[0], 0))] == [("steer", "use gcc")]
    assert do(ledger.signals(talker, 0)) == []


def test_words_that_the_worker_never_read_are_its_next_task(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    """The chat slot has promised that they will be read."""
    run, turn = worker
    for number, text in enumerate(("use gcc", "and test it")):
        call(ledger, talker, "steer_worker", f"c{number}", text=text)
    read, _ = do(ledger.signals(run, 0))
    drive.post(run, "steered", turn, signal=read.id, at_step=3)
    recorded = drive.done(run, turn, "Built with gcc.")
    assert Wanted(HOME, "worker") in recorded.nudges
    state = do(ledger.state(HOME))
    assert state.worker is not None
    assert (state.worker.request, state.queue) == ("and test it", ())
    assert "and test it" in drive.said()[-1]
    assert drive.finals(turn) == ["Built with gcc."]
    assert drive.done(run, turn).nudges == ()
    assert do(ledger.state(HOME)).queue == ()


def test_words_for_a_task_that_was_stopped_are_dropped_with_it(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    call(ledger, talker, "steer_worker", text="use gcc")
    drive.stop()
    drive.done(worker[0], worker[1])
    assert do(ledger.state(HOME)).worker is None


def test_words_for_a_task_that_is_tried_again_are_told_to_the_run_that_tries_it(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    call(ledger, talker, "steer_worker", text="use gcc")
    do(ledger.end_run(worker[0], 137, "it was killed"))
    second = drive.begin()
    assert drive.take(second).turn.id == worker[1]
    (signal,) = do(ledger.signals(second, 0))
    assert (signal.kind, signal.text, signal.turn) == ("steer", "use gcc", worker[1])


def test_a_signal_names_the_turn_that_it_is_meant_for(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    call(ledger, talker, "steer_worker", text="use gcc")
    do(ledger.signal_cancel(worker[0], "the user said stop"))
    do(ledger.signal_cancel("klad-nobody", "the user said stop"))
    assert [(signal.kind, signal.turn) for signal in do(ledger.signals(worker[0], 0))] == [
        ("steer", worker[1]),
        ("cancel", worker[1]),
    ]


def test_a_queued_task_is_the_workers_next_turn(ledger: Ledger, talker: str, drive: Driver) -> None:
    result = call(ledger, talker, "queue_task", text="  test it  ")
    assert result.nudges == (Wanted(HOME, "worker"),)
    assert "next task" in result.text
    assert "number 2" in call(ledger, talker, "queue_task", "c2", text="ship it").text
    queue = do(ledger.state(HOME)).queue
    assert [(turn.request, turn.reply_to) for turn in queue] == [("test it", 2), ("ship it", 2)]


def test_a_task_for_a_free_worker_is_taken_now(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    drive.done(worker[0], worker[1])
    assert "takes it now" in call(ledger, talker, "queue_task", text="test it").text


def test_cancelling_ends_the_workers_turn_and_sends_its_run_away(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver
) -> None:
    call(ledger, talker, "queue_task", "c1", text="test it")
    result = call(ledger, talker, "cancel_worker", "c2", reason="enough")
    assert result.nudges == (Outbox(HOME), CancelWorker(HOME, worker[0], "enough"))
    assert drive.turn(worker[1])["state"] == "cancelled"
    assert drive.finals(worker[1]) == ["■ Cancelled."]
    assert drive.run(worker[0])["state"] == "retiring"
    state = do(ledger.state(HOME))
    assert state.worker is not None
    assert state.worker.request == "test it", "the queue goes on"


@pytest.mark.parametrize("name", ["steer_worker", "cancel_worker"])
def test_without_a_working_worker_there_is_nobody_to_tell(
    ledger: Ledger, talker: str, worker: tuple[str, int], drive: Driver, name: str
) -> None:
    drive.done(worker[0], worker[1])
    result = call(ledger, talker, name, text="faster")
    assert result.error
    assert result.nudges == ()


def test_the_status_is_the_one_that_the_router_gives(ledger: Ledger, talker: str) -> None:
    assert "build it" in call(ledger, talker, "worker_status").text


def test_history_is_searched_in_this_chat_alone(ledger: Ledger, talker: str, drive: Driver) -> None:
    drive.route("the needle of chat 8", chat="8")
    drive.route("a NEEDLE here")
    do(ledger.say(HOME, "a needle of mine"))
    do(ledger.say("8", "not this needle"))
    assert call(ledger, talker, "search_history", query="needle").text == (
        "user: a NEEDLE here\nklad: a needle of mine"
    )
    assert call(ledger, talker, "search_history", "c2", query="haystack").text == "Nothing found."


def test_a_search_shows_what_stands_around_the_words(ledger: Ledger, talker: str, drive: Driver) -> None:
    drive.route("hay " * 500 + "a needle here " + "hay " * 500)
    found = call(ledger, talker, "search_history", query="needle").text
    assert "a needle here" in found
    assert len(found) < 300


@pytest.mark.parametrize("wildcard", ["%", "_", "a%e", "\\"])
def test_a_search_takes_its_words_literally(ledger: Ledger, talker: str, wildcard: str) -> None:
    assert call(ledger, talker, "search_history", query=wildcard).text == "Nothing found."


@pytest.mark.parametrize("name", ["", "bash", "worker_statuss", "../turn"])
def test_an_unknown_tool_is_an_error_in_words(ledger: Ledger, talker: str, name: str) -> None:
    assert call(ledger, talker, name, text="x").error


@pytest.mark.parametrize(
    "args", [{"text": None}, {"text": 7}, {"text": ["a"]}, {"text": {"a": 1}}, {"text": "\ud800"}]
)
def test_garbage_for_an_argument_harms_nothing(ledger: Ledger, talker: str, args: dict[str, Any]) -> None:
    for number, name in enumerate(("queue_task", "steer_worker", "remember", "search_history", "cancel_worker")):
        assert call(ledger, talker, name, f"c{number}", **args).text


def test_after_its_turn_has_ended_a_run_does_nothing_any_more(ledger: Ledger, talker: str, drive: Driver) -> None:
    state = do(ledger.state(HOME))
    assert state.talk is not None
    do(ledger.overdue(talker, state.talk.id, "No answer within 60 s."))
    for number, name in enumerate(("queue_task", "steer_worker", "cancel_worker", "remember")):
        result = call(ledger, talker, name, f"c{number}", text="late")
        assert (result.error, result.nudges) == (True, ())
    assert do(ledger.state(HOME)).queue == ()
    assert query(ledger, "SELECT COUNT(*) FROM memory") == [(0,)]
