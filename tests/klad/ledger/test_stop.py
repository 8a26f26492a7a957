"""A stop: every turn of the chat ends, is answered once, and nothing begins behind its back."""

from __future__ import annotations

from pathlib import Path

from klad.ledger import Gone, Ledger
from tests.klad.ledger.support import HOME, Clock, Driver, do, inbound, query


def busy_chat(drive: Driver, ledger: Ledger) -> tuple[str, str, list[int]]:
    """A working worker with a queued task, a working chat run with one question taken and one that waits."""
    worker, task = drive.working("build it")
    question = drive.route("what is it like?")[1]
    talker = drive.begin("chat")
    drive.take(talker)
    do(ledger.call_tool(talker, "c1", "queue_task", {"text": "test it"}))
    next_question = drive.route("and then?")[1]
    queued = do(ledger.state(HOME)).queue[0]
    return worker, talker, [task.id, question.id, queued.id, next_question.id]


def test_it_cancels_open_and_taken_turns_and_each_has_one_final_row(drive: Driver, ledger: Ledger) -> None:
    worker, talker, turns = busy_chat(drive, ledger)
    begun = drive.stop()
    assert begun.runs == (("chat", talker), ("worker", worker))
    assert (begun.dropped, begun.what) == (2, "build it")
    for turn in turns:
        assert drive.turn(turn)["state"] == "cancelled"
        assert drive.finals(turn) == ["■ Cancelled."]
    state = do(ledger.state(HOME))
    assert (state.worker, state.talk, state.queue) == (None, None, ())


def test_its_runs_take_no_more_turns(drive: Driver, ledger: Ledger) -> None:
    worker, talker, _ = busy_chat(drive, ledger)
    drive.stop()
    drive.route("do something else")
    assert do(ledger.take_turn(worker, 0)) == Gone()
    assert do(ledger.take_turn(talker, 0)) == Gone()


def test_words_after_a_stop_wait_for_a_run_of_their_own(drive: Driver, ledger: Ledger) -> None:
    worker, _, _ = busy_chat(drive, ledger)
    drive.stop()
    decision, turn = drive.route("do something else")
    assert decision.slot == "worker"
    do(ledger.end_run(worker, 137, "it was stopped"))
    assert drive.take(drive.begin()).turn.id == turn.id


def test_it_is_answered_once(drive: Driver, ledger: Ledger) -> None:
    drive.working()
    begun = drive.stop()
    assert do(ledger.finish_turn(begun.turn, "Stopped in 1.2 s."))
    assert not do(ledger.finish_turn(begun.turn, "Stopped again."))
    assert drive.finals(begun.turn) == ["Stopped in 1.2 s."]


def test_a_stop_that_finds_nothing_says_so(drive: Driver) -> None:
    begun = drive.stop()
    assert (begun.runs, begun.dropped, begun.what) == ((), 0, "")


def test_it_leaves_other_chats_alone(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working(chat="8")
    drive.working(chat=HOME)
    drive.stop(HOME)
    assert drive.turn(turn.id)["state"] == "taken"
    assert drive.run(run)["state"] == "live"


def test_what_a_cancelled_agent_still_posts_has_no_consequence(drive: Driver, ledger: Ledger) -> None:
    worker, talker, turns = busy_chat(drive, ledger)
    drive.stop()
    said = drive.said()
    assert drive.done(worker, turns[0], "all built").nudges == ()
    assert drive.post(talker, "say", turns[1], text="by the way").nudges == ()
    assert drive.said() == said
    assert query(ledger, "SELECT COUNT(*) FROM event") == [(2,)]


def test_a_cancelled_agent_can_not_begin_anything(drive: Driver, ledger: Ledger) -> None:
    _, talker, _ = busy_chat(drive, ledger)
    drive.stop()
    result = do(ledger.call_tool(talker, "c2", "queue_task", {"text": "rm -r everything"}))
    assert result.error
    assert result.nudges == ()
    assert do(ledger.state(HOME)).worker is None


class TestAfterACrash:
    def reopened(self, ledger: Ledger, clock: Clock) -> Ledger:
        path: Path = ledger.path
        ledger.close()
        return Ledger.open(path, clock=clock)

    def test_an_unfinished_stop_is_found_again(self, drive: Driver, ledger: Ledger, clock: Clock) -> None:
        _, _, turns = busy_chat(drive, ledger)
        begun = drive.stop()
        again = self.reopened(ledger, clock)
        try:
            assert do(again.chats_to_wake()) == [HOME]
            (found,) = do(again.unfinished_stops(HOME))
            assert found == begun
            assert do(again.finish_turn(found.turn, "Stopped."))
            assert do(again.unfinished_stops(HOME)) == []
        finally:
            again.close()
        assert [len(drive.finals(turn)) for turn in turns] == [1, 1, 1, 1]

    def test_what_was_asked_after_an_unfinished_stop_is_not_stopped(self, drive: Driver, ledger: Ledger) -> None:
        worker, _ = drive.working("build it")
        begun = drive.stop()
        wanted = drive.route("do this instead")[1]
        (found,) = do(ledger.unfinished_stops(HOME))
        assert (found.turn, found.runs) == (begun.turn, (("worker", worker),))
        assert drive.turn(wanted.id)["state"] == "open"

        do(ledger.end_run(worker, None, "it was stopped"))
        successor = drive.begin()
        drive.take(successor)
        (found,) = do(ledger.unfinished_stops(HOME))
        assert found.runs == (("worker", worker),), "the run that came after it is none of its business"
        assert drive.run(successor)["state"] == "live"
        assert drive.turn(wanted.id)["state"] == "taken"

    def test_a_second_stop_while_one_is_unfinished_is_answered_as_well(self, drive: Driver, ledger: Ledger) -> None:
        drive.working("build it")
        first, second = drive.stop(), drive.stop()
        assert first.runs == second.runs
        assert [found.turn for found in do(ledger.unfinished_stops(HOME))] == [first.turn, second.turn]
        for begun in (first, second):
            assert do(ledger.finish_turn(begun.turn, "Stopped."))
            assert drive.finals(begun.turn) == ["Stopped."]


def test_a_stop_is_begun_once_for_one_update(drive: Driver, ledger: Ledger) -> None:
    number = drive.update()
    assert do(ledger.begin_stop(number, inbound("stop"))) is not None
    assert do(ledger.begin_stop(number, inbound("stop"))) is None
    assert query(ledger, "SELECT COUNT(*) FROM turn") == [(1,)]
