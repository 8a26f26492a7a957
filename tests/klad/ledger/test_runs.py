"""A run's life: begun before its container is, ended after it is gone."""

from __future__ import annotations

import itertools

import pytest

from klad.ledger import Granted, Ledger, NoPlace, Nothing, Occupied
from tests.klad.ledger.support import HOME, Driver, do, query


class TestBegin:
    def test_a_run_is_on_record_before_anybody_can_start_its_container(self, drive: Driver, ledger: Ledger) -> None:
        drive.route("build it")
        run, begun = drive.try_to_begin()
        assert isinstance(begun, Granted)
        assert (begun.run.id, begun.run.state, begun.run.mounts) == (run, "starting", {"/workspace/group": (1, 2)})
        assert do(ledger.live_run(HOME, "worker")) == begun.run
        assert do(ledger.run_by_token(f"hash of {run}")) == begun.run

    def test_without_an_open_turn_there_is_nothing_to_start(self, drive: Driver) -> None:
        assert drive.try_to_begin()[1] == Nothing()
        drive.route("build it")
        assert drive.try_to_begin("chat")[1] == Nothing()
        assert drive.try_to_begin(chat="8")[1] == Nothing()

    def test_a_slot_has_one_run(self, drive: Driver) -> None:
        drive.route("build it")
        run = drive.begin()
        begun = drive.try_to_begin()[1]
        assert isinstance(begun, Occupied)
        assert begun.run.id == run

    def test_a_token_dies_with_its_run(self, drive: Driver, ledger: Ledger) -> None:
        run, _ = drive.working()
        do(ledger.end_run(run, 0, "it left early"))
        assert do(ledger.run_by_token(f"hash of {run}")) is None
        assert do(ledger.run_by_token("hash of nothing")) is None


class TestPlaces:
    def test_one_place_is_kept_for_answering(self, drive: Driver) -> None:
        for chat in ("1", "2"):
            drive.route("work", chat)
        drive.begin(chat="1", limit=2)
        begun = drive.try_to_begin(chat="2", limit=2)[1]
        assert isinstance(begun, NoPlace)
        drive.take("klad-000000000001")
        drive.route("how far?", "1")
        drive.begin("chat", "1", limit=2)

    def test_the_limit_holds_for_those_who_answer_as_well(self, drive: Driver) -> None:
        for chat in ("1", "2"):
            drive.working(chat=chat)
            drive.route("how far?", chat)
        drive.begin("chat", "1", limit=3)
        assert isinstance(drive.try_to_begin("chat", "2", limit=3)[1], NoPlace)

    def test_a_resting_worker_is_named_to_go_the_longest_resting_first(self, drive: Driver) -> None:
        runs = []
        for chat in ("1", "2"):
            run, turn = drive.working(chat=chat)
            drive.done(run, turn.id)
            runs.append(run)
            drive.clock.now += 1
        drive.route("work", "3")
        begun = drive.try_to_begin(chat="3", limit=3)[1]
        assert isinstance(begun, NoPlace)
        assert begun.evict is not None
        assert begun.evict.id == runs[0]

    def test_a_worker_that_works_or_is_wanted_again_is_not_named(self, drive: Driver) -> None:
        drive.working(chat="1")
        wanted, turn = drive.working(chat="2")
        drive.done(wanted, turn.id)
        drive.route("more work", "2")
        drive.route("work", "3")
        begun = drive.try_to_begin(chat="3", limit=3)[1]
        assert isinstance(begun, NoPlace)
        assert begun.evict is None

    def test_a_run_that_is_going_holds_its_place_until_it_is_gone(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working(chat="1")
        drive.done(run, turn.id)
        assert do(ledger.retire_if_idle(run))
        drive.route("work", "2")
        assert drive.try_to_begin(chat="2", limit=2)[1] == NoPlace(None, do(ledger.open_turn("2", "worker")).id)
        do(ledger.end_run(run, 0, "it left"))
        assert isinstance(drive.try_to_begin(chat="2", limit=2)[1], Granted)

    def test_those_who_wait_are_listed_for_answering_first_then_by_age(self, drive: Driver, ledger: Ledger) -> None:
        drive.route("work", "2")
        drive.route("work", "1")
        drive.working(chat="3")
        drive.route("how far?", "3")
        assert do(ledger.waiting_slots()) == [("3", "chat"), ("2", "worker"), ("1", "worker")]

    def test_waiting_is_said_once_for_each_turn(self, drive: Driver, ledger: Ledger) -> None:
        drive.route("work")
        assert do(ledger.say_waiting(HOME, "worker", "It waits."))
        assert not do(ledger.say_waiting(HOME, "worker", "It waits."))
        assert drive.said() == ["It waits."]
        turn = do(ledger.open_turn(HOME, "worker"))
        assert turn is not None
        assert turn.waiting
        assert drive.finals(turn.id) == [], "it is no answer"
        assert drive.take(drive.begin()).turn.waiting is False

    def test_words_to_a_turn_that_said_it_waits_go_to_the_chat_slot(self, drive: Driver, ledger: Ledger) -> None:
        drive.route("work")
        do(ledger.say_waiting(HOME, "worker", "It waits."))
        assert drive.route("how long?")[0].slot == "chat"


class TestEnd:
    def test_a_turn_without_a_tool_call_is_tried_again(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        drive.post(run, "progress", turn.id, step="thinking")
        ended = do(ledger.end_run(run, 137, "it was killed"))
        assert ended.requeued
        row = drive.turn(turn.id)
        assert (row["state"], row["run"], row["taken"], row["progress"]) == ("open", None, None, None)
        again = drive.take(drive.begin())
        assert (again.turn.id, again.turn.attempts, again.first) == (turn.id, 2, True)

    def test_a_second_failure_without_a_tool_call_is_told(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        do(ledger.end_run(run, 137, "it was killed"))
        second = drive.begin()
        drive.take(second)
        ended = do(ledger.end_run(second, 137, "it was killed"))
        assert not ended.requeued
        assert ended.turn is not None
        assert ended.turn.state == "failed"
        (text,) = drive.finals(turn.id)
        assert "2 times" in text
        assert "it was killed" in text

    def test_a_turn_with_a_tool_call_begun_is_never_tried_again_by_itself(
        self, drive: Driver, ledger: Ledger
    ) -> None:
        run, turn = drive.working()
        drive.post(run, "tool", turn.id, call="t1", name="bash", input="rm -r build")
        ended = do(ledger.end_run(run, 137, "it was killed"))
        assert not ended.requeued
        (text,) = drive.finals(turn.id)
        assert "1 tool call had started" in text
        assert drive.turn(turn.id)["state"] == "failed"

    def test_an_end_is_put_on_record_once(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        do(ledger.end_run(run, 1, "exit code 1"))
        second = drive.begin()
        drive.take(second)
        repeat = do(ledger.end_run(run, 137, "it was killed"))
        assert (repeat.turn, repeat.requeued) == (None, False)
        row = drive.run(run)
        assert (row["exit_code"], row["cause"]) == (1, "exit code 1")
        assert drive.turn(turn.id)["state"] == "taken"

    def test_a_run_between_turns_ends_without_a_word(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        drive.done(run, turn.id)
        ended = do(ledger.end_run(run, 0, "it left"))
        assert (ended.turn, ended.requeued) == (None, False)
        assert drive.finals(turn.id) == ["Here it is."]

    def test_a_start_that_failed_leaves_its_turn_open(self, drive: Driver, ledger: Ledger) -> None:
        turn = drive.route("build it")[1]
        do(ledger.abandon_start(drive.begin(), "no such image"))
        row = drive.turn(turn.id)
        assert (row["state"], row["attempts"]) == ("open", 0)
        assert drive.take(drive.begin()).turn.id == turn.id

    def test_a_turn_taken_by_a_container_that_failed_to_start_after_all_is_not_lost(
        self, drive: Driver, ledger: Ledger
    ) -> None:
        """An engine may time out on a start whose container runs and asks for its turn meanwhile."""
        run, turn = drive.working()
        do(ledger.abandon_start(run, "the engine timed out"))
        assert drive.turn(turn.id)["state"] == "open"
        assert drive.take(drive.begin()).turn.id == turn.id

    def test_an_abandoned_run_keeps_its_first_end(self, drive: Driver, ledger: Ledger) -> None:
        run, _ = drive.working()
        do(ledger.end_run(run, 1, "exit code 1"))
        do(ledger.abandon_start(run, "the engine timed out"))
        assert drive.run(run)["cause"] == "exit code 1"

    def test_a_turn_that_can_not_be_started_is_ended_with_the_reason(self, drive: Driver, ledger: Ledger) -> None:
        turn = drive.route("build it")[1]
        assert do(ledger.fail_open_turn(turn.id, "no engine"))
        assert not do(ledger.fail_open_turn(turn.id, "no engine"))
        assert drive.finals(turn.id) == ["no engine"]


class TestOverdue:
    def test_a_turn_past_its_deadline_ends_and_its_run_is_to_go(self, drive: Driver, ledger: Ledger) -> None:
        drive.working()
        run, talk = drive.working("how far?", "chat")
        assert do(ledger.overdue(run, talk.id, "No answer within 60 s."))
        assert drive.finals(talk.id) == ["No answer within 60 s."]
        assert drive.turn(talk.id)["state"] == "failed"
        assert drive.run(run)["state"] == "retiring"
        assert not do(ledger.overdue(run, talk.id, "No answer within 60 s."))
        assert drive.done(run, talk.id, "too late").nudges == ()
        assert drive.finals(talk.id) == ["No answer within 60 s."]

    def test_a_deadline_of_an_earlier_run_is_not_the_next_ones(self, drive: Driver, ledger: Ledger) -> None:
        drive.working()
        run, talk = drive.working("how far?", "chat")
        do(ledger.end_run(run, 137, "it was killed"))
        second = drive.begin("chat")
        drive.take(second)
        assert not do(ledger.overdue(run, talk.id, "No answer."))
        assert drive.turn(talk.id)["state"] == "taken"

    def test_an_answer_in_time_is_not_overdue(self, drive: Driver, ledger: Ledger) -> None:
        drive.working()
        run, talk = drive.working("how far?", "chat")
        drive.done(run, talk.id)
        assert not do(ledger.overdue(run, talk.id, "No answer."))
        assert drive.run(run)["state"] == "live"


class TestRetire:
    def test_a_resting_run_goes(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        drive.done(run, turn.id)
        assert do(ledger.retire_if_idle(run))
        assert not do(ledger.retire_if_idle(run)), "it is going already"

    def test_a_run_that_works_stays(self, drive: Driver, ledger: Ledger) -> None:
        run, _ = drive.working()
        assert not do(ledger.retire_if_idle(run))
        assert not do(ledger.retire_if_idle("klad-000000000000"))

    def test_a_run_for_which_work_waits_stays(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        drive.done(run, turn.id)
        drive.route("more")
        assert not do(ledger.retire_if_idle(run))


def test_containers_that_may_be_swept_away_are_those_of_ended_and_unknown_runs(drive: Driver, ledger: Ledger) -> None:
    states = {}
    for chat, state in zip("1234", ("starting", "live", "retiring", "ended"), strict=True):
        drive.route("work", chat)
        states[state] = run = drive.begin(chat=chat)
        if state != "starting":
            drive.take(run)
        if state == "retiring":
            do(ledger.retire(run))
        if state == "ended":
            do(ledger.end_run(run, 0, "it left"))
    assert [row for (row,) in query(ledger, "SELECT state FROM run ORDER BY id")] == list(states)
    asked = [*states.values(), "klad-unknown"]
    assert do(ledger.ended_or_unknown(asked)) == [states["ended"], "klad-unknown"]
    assert do(ledger.ended_or_unknown([])) == []


@pytest.mark.parametrize(("first", "second"), list(itertools.product(["chat", "worker"], repeat=2)))
def test_the_database_itself_refuses_a_second_run_and_a_second_taken_turn_in_a_slot(
    ledger: Ledger, first: str, second: str
) -> None:
    def begin(slot: str, name: str) -> None:
        run = ledger.tables.Run.create(id=name, chat=HOME, slot=slot, token_hash=name, created=0.0)
        ledger.tables.Turn.create(chat=HOME, slot=slot, state="taken", created=0.0, run=run)

    do(ledger.submit(lambda: begin(first, "one")))
    outcome = ledger.submit(lambda: begin(second, "two")).exception(20)
    assert (outcome is not None) == (first == second)
