"""The journal of a run: each event once, with all that follows from it in the same commit."""

from __future__ import annotations

from typing import Any

import pytest

from klad.ledger import Ledger, Outbox, TurnEnded
from klad.words import Event, Progress
from tests.klad.ledger.support import HOME, Driver, do, query


def say(seq: int, turn: int, text: str = "a word") -> Event:
    return Event(seq, "say", turn, {"text": text})


def test_an_event_is_recorded_once_however_often_it_is_posted(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    first = do(ledger.record(run, [say(1, turn.id)]))
    assert (first.acked, first.nudges) == (1, (Outbox(HOME),))
    again = do(ledger.record(run, [say(1, turn.id), say(2, turn.id, "another")]))
    assert again.acked == 2
    assert drive.said() == ["a word", "another"]
    assert do(ledger.record(run, [say(1, turn.id), say(2, turn.id)])).nudges == ()
    assert query(ledger, "SELECT seq FROM event ORDER BY seq") == [(1,), (2,)]


def test_two_runs_count_for_themselves(drive: Driver, ledger: Ledger) -> None:
    worker, turn = drive.working()
    talker, talk = drive.working("how far?", "chat")
    assert do(ledger.record(worker, [say(1, turn.id, "from the worker")])).acked == 1
    assert do(ledger.record(talker, [say(1, talk.id, "from the chat")])).acked == 1
    assert drive.said() == ["from the worker", "from the chat"]


def test_acked_is_the_highest_number_without_a_gap(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()

    def acked(*seqs: int) -> int:
        return do(ledger.record(run, [Event(seq, "output", turn.id, {"tail": "x"}) for seq in seqs])).acked

    assert acked() == 0
    assert acked(3) == 0
    assert acked(2) == 0
    assert acked(1) == 3
    assert acked(5, 6) == 3
    assert acked(4) == 6
    assert acked(0, -7, 9) == 6, "numbers that no protocol gives"
    assert acked(7, 8) == 9


def test_done_ends_the_turn_with_its_last_words(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    recorded = drive.done(run, turn.id, "Built.")
    assert recorded.nudges == (Outbox(HOME), TurnEnded(HOME, "worker", run, turn.id))
    row = drive.turn(turn.id)
    assert (row["state"], row["result"], row["ended"]) == ("done", "Built.", drive.clock.now)
    assert query(ledger, "SELECT turn, text, final, reply_to FROM outbox") == [(turn.id, "Built.", 1, 1)]


def test_done_twice_is_one_final_row(drive: Driver) -> None:
    run, turn = drive.working()
    drive.done(run, turn.id, "Built.")
    assert drive.done(run, turn.id, "Built again.").nudges == ()
    assert drive.post(run, "failed", turn.id, text="or not").nudges == ()
    assert drive.finals(turn.id) == ["Built."]
    assert drive.turn(turn.id)["state"] == "done"


@pytest.mark.parametrize(("kind", "words"), [("done", "Done."), ("failed", "It failed without a word.")])
def test_an_end_without_words_is_still_an_answer(drive: Driver, kind: str, words: str) -> None:
    run, turn = drive.working()
    drive.post(run, kind, turn.id, text=" \n ")
    assert drive.finals(turn.id) == [words]
    assert drive.turn(turn.id)["state"] == kind


def test_events_after_the_turns_end_are_kept_without_consequence(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.done(run, turn.id)
    for kind in ("say", "tool", "output", "progress"):
        assert drive.post(run, kind, turn.id, text="late", tail="late", step="late", name="late").nudges == ()
    assert drive.said() == ["Here it is."]
    row = drive.turn(turn.id)
    assert (row["tools"], row["tail"], row["progress"], row["tool"]) == (0, "", None, "")
    assert query(ledger, "SELECT COUNT(*) FROM event") == [(5,)]


def test_a_run_can_not_speak_for_another_runs_turn(drive: Driver) -> None:
    _, turn = drive.working(chat="7")
    other, _ = drive.working(chat="8")
    assert drive.done(other, turn.id, "I say it is done").nudges == ()
    assert drive.turn(turn.id)["state"] == "taken"
    assert drive.said("7") == []


def test_a_tool_call_is_counted_at_its_start(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.post(run, "tool", turn.id, call="t1", name="bash", input="make " + "x" * 500)
    state = do(ledger.state(HOME))
    assert state.worker is not None
    assert state.worker.tools == 1
    assert state.tool.startswith("bash: make")
    assert len(state.tool) == 300
    drive.post(run, "tool_end", turn.id, call="t1", ok=True, tail="made")
    state = do(ledger.state(HOME))
    assert (state.tool, state.lines) == ("", "made")


def test_a_tool_that_printed_nothing_leaves_the_last_lines_standing(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.post(run, "output", turn.id, tail="step 2")
    drive.post(run, "tool_end", turn.id, call="t1", ok=True, tail="")
    assert do(ledger.state(HOME)).lines == "step 2"


def test_the_output_of_a_command_is_not_kept_in_the_journal(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.post(run, "output", turn.id, tail="y" * 5000)
    assert query(ledger, "SELECT data FROM event") == [("{}",)]
    assert do(ledger.state(HOME)).lines == "y" * 2000


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        ({"done": 3, "total": 9, "step": "compile"}, Progress(3.0, 9.0, "compile")),
        ({"step": "compile"}, Progress(None, None, "compile")),
        ({"done": "three", "total": [9], "step": None}, Progress()),
        ({"done": float("nan"), "total": float("inf")}, Progress()),
        ({"done": 10**400, "total": True, "step": "s" * 999}, Progress(None, None, "s" * 300)),
    ],
)
def test_progress_is_what_can_be_reckoned_with(
    drive: Driver, ledger: Ledger, data: dict[str, Any], progress: Progress
) -> None:
    run, turn = drive.working()
    drive.post(run, "progress", turn.id, **data)
    state = do(ledger.state(HOME))
    assert state.worker is not None
    assert state.worker.progress == progress
    drive.route("how far?")
    drive.take(drive.begin("chat"))


def test_a_crash_is_kept_with_the_run(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.post(run, "crash", turn.id, stderr="Traceback\n" + "x" * 9000 + "\nKeyError: 'a'")
    known = do(ledger.live_run(HOME, "worker"))
    assert known is not None
    assert len(known.crash) == 8192
    assert known.crash.endswith("KeyError: 'a'")
    assert drive.turn(turn.id)["state"] == "taken", "its exit decides about the turn"


@pytest.mark.parametrize("data", [{}, {"signal": "x"}, {"signal": {}}, {"signal": [1], "at_step": "now"}])
def test_garbage_about_steering_is_recorded_and_passed_over(
    drive: Driver, ledger: Ledger, data: dict[str, Any]
) -> None:
    run, turn = drive.working()
    assert drive.post(run, "steered", turn.id, **data).acked == 1


@pytest.mark.parametrize("kind", ["say", "tool", "tool_end", "output", "progress", "crash", "done", "failed", "?"])
def test_garbage_in_any_event_harms_nothing(drive: Driver, ledger: Ledger, kind: str) -> None:
    run, turn = drive.working()
    garbage: Any = {"\ud800": ["\udfff", None, {}]}
    keys = ("text", "name", "input", "tail", "stderr", "step", "done", "total", "signal", "ok")
    assert drive.post(run, kind, turn.id, **dict.fromkeys(keys, garbage)).acked == 1
    assert drive.post(run, kind, None).acked == 2
    assert drive.post(run, kind, 10**9).acked == 3
    assert do(ledger.state(HOME)).chat == HOME


def test_signals_are_for_one_run_and_in_order(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    other, _ = drive.working(chat="8")
    do(ledger.signal_cancel(run, "the user said stop"))
    do(ledger.signal_cancel(other, "another"))
    do(ledger.signal_cancel(run, "again"))
    found = do(ledger.signals(run, 0))
    assert [(signal.kind, signal.text) for signal in found] == [("cancel", "the user said stop"), ("cancel", "again")]
    assert do(ledger.signals(run, found[0].id)) == found[1:]
    drive.post(run, "steered", turn.id, signal=found[0].id, at_step=4)
    assert query(ledger, "SELECT taken_at_step FROM signal ORDER BY id") == [(4,), (None,), (None,)]


def test_what_leaves_has_passed_the_redactor(drive: Driver, ledger: Ledger) -> None:
    ledger.redact = lambda text: text.replace("hunter2", "[redacted]")
    run, turn = drive.working()
    drive.post(run, "say", turn.id, text="hunter2?")
    drive.done(run, turn.id, "hunter2!")
    do(ledger.say(HOME, "hunter2."))
    assert drive.said() == ["[redacted]?", "[redacted]!", "[redacted]."]
