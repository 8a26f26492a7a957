"""Taking a turn: one commit that closes it to joiners and binds it to its run, and that may be repeated."""

from __future__ import annotations

from klad.ledger import Gone, Ledger
from tests.klad.ledger.support import HOME, Clock, Driver, do


def test_the_same_turn_is_handed_over_again_until_it_has_ended(drive: Driver) -> None:
    drive.route("build it")
    run = drive.begin()
    first, second = drive.take(run), drive.take(run)
    assert (first.first, second.first) == (True, False)
    assert (first.turn.id, first.turn.run, first.turn.state, first.turn.attempts) == (1, run, "taken", 1)
    assert second.turn == first.turn
    assert second.brief == first.brief


def test_a_run_without_work_is_asked_to_ask_again(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.done(run, turn.id)
    assert do(ledger.take_turn(run, turn.id)) is None


def test_an_unknown_and_an_ended_run_are_gone(drive: Driver, ledger: Ledger) -> None:
    run, _ = drive.working()
    do(ledger.end_run(run, 0, "it left early"))
    assert do(ledger.take_turn(run, 0)) == Gone()
    assert do(ledger.take_turn("klad-000000000000", 0)) == Gone()


def test_a_warm_worker_serves_turn_after_turn(drive: Driver) -> None:
    run, first = drive.working("one")
    drive.done(run, first.id)
    second = drive.route("two")[1]
    taken = drive.take(run, first.id)
    assert (taken.turn.id, taken.first) == (second.id, True)
    assert drive.run(run)["last_turn"] == second.id


def test_a_chat_run_serves_one_turn(drive: Driver, ledger: Ledger) -> None:
    drive.working()
    talker, talk = drive.working("how far?", "chat")
    assert drive.take(talker).turn.id == talk.id, "also when it asks again"
    drive.done(talker, talk.id)
    drive.route("and now?")
    assert do(ledger.take_turn(talker, talk.id)) == Gone()


def test_a_run_that_is_to_go_takes_no_turn(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    drive.done(run, turn.id)
    do(ledger.retire(run))
    waiting = drive.route("one more")[1]
    assert do(ledger.take_turn(run, turn.id)) == Gone()
    assert drive.turn(waiting.id)["state"] == "open"


def test_a_run_that_is_to_go_keeps_the_turn_it_has(drive: Driver, ledger: Ledger) -> None:
    run, turn = drive.working()
    do(ledger.retire(run))
    assert drive.take(run).turn.id == turn.id
    drive.done(run, turn.id)
    assert drive.turn(turn.id)["state"] == "done"


def test_an_agent_that_goes_on_without_an_answer_has_failed_at_it(drive: Driver, ledger: Ledger) -> None:
    run, first = drive.working("one")
    assert do(ledger.take_turn(run, first.id)) is None
    assert drive.turn(first.id)["state"] == "failed"
    assert drive.finals(first.id) == ["The agent went on without an answer to this."]


def test_a_starting_run_that_asks_for_a_turn_lives(drive: Driver, ledger: Ledger) -> None:
    run, _ = drive.working()
    assert drive.run(run)["state"] == "live"
    do(ledger.run_started(run, "f00d"))
    row = drive.run(run)
    assert (row["state"], row["container"], row["started"]) == ("live", "f00d", drive.clock.now)


def test_turns_are_taken_in_the_order_in_which_they_came(drive: Driver, ledger: Ledger) -> None:
    run, first = drive.working("one")
    talker, talk = drive.working("queue two things", "chat")
    for number, text in enumerate(("two", "three")):
        do(ledger.call_tool(talker, f"c{number}", "queue_task", {"text": text}))
    drive.done(talker, talk.id)
    taken, last = [], first.id
    for _ in range(2):
        drive.done(run, last)
        turn = drive.take(run, last).turn
        taken.append(turn.request)
        last = turn.id
    assert taken == ["two", "three"]


class TestBrief:
    def test_history_is_in_order_also_within_a_second(self, drive: Driver, clock: Clock) -> None:
        for text in ("one", "two", "three"):
            drive.route(text)
        run = drive.begin()
        turn = drive.take(run).turn
        drive.post(run, "say", turn.id, text="first words")
        drive.done(run, turn.id, "last words")
        clock.now += 1
        drive.route("four", at=clock.now)
        history = drive.take(run, turn.id).brief["history"]
        assert [said["text"] for said in history] == ["one", "two", "three", "first words", "last words"]
        assert [said["who"] for said in history] == ["user"] * 3 + ["worker"] * 2

    def test_the_chat_slot_sees_what_the_worker_does(self, drive: Driver, clock: Clock) -> None:
        run, turn = drive.working("build it")
        drive.post(run, "progress", turn.id, done=2, total=8, step="compile")
        drive.post(run, "tool", turn.id, call="t1", name="bash", input="make all")
        drive.post(run, "output", turn.id, tail="step 2")
        clock.now += 60
        drive.route("how far?")
        brief = drive.take(drive.begin("chat")).brief
        worker = brief["worker"]
        assert (brief["slot"], brief["deadline_s"]) == ("chat", 60.0)
        assert (worker["state"], worker["task"], worker["elapsed_s"]) == ("busy", "build it", 60.0)
        assert worker["progress"] == {"done": 2.0, "total": 8.0, "step": "compile"}
        assert (worker["tool"], worker["last_lines"]) == ("bash: make all", "step 2")
        assert worker["estimate"]["low_s"] <= 180 <= worker["estimate"]["high_s"]

    def test_a_queued_task_stands_in_it_as_its_message(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        talker, _ = drive.working("then test it", "chat")
        do(ledger.call_tool(talker, "c1", "queue_task", {"text": "test it all"}))
        drive.done(run, turn.id)
        brief = drive.take(run, turn.id).brief
        assert [(message["from"], message["text"]) for message in brief["messages"]] == [("queue", "test it all")]

    def test_what_was_remembered_stands_in_it(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        do(ledger.call_tool(run, "c1", "remember", {"text": "the user likes tea"}))
        drive.done(run, turn.id)
        drive.route("hello")
        assert drive.take(run, turn.id).brief["memory"] == "- the user likes tea"

    def test_a_message_from_beyond_the_calendar_does_not_make_its_turn_untakable(self, drive: Driver) -> None:
        drive.route("hello", at=9e18)
        assert drive.take(drive.begin()).brief["messages"][0]["at"].startswith("2023-")

    def test_a_secret_in_a_result_is_in_no_later_brief(self, drive: Driver, ledger: Ledger) -> None:
        ledger.redact = lambda text: text.replace("hunter2", "[redacted]")
        run, turn = drive.working("find the password")
        drive.done(run, turn.id, "it is hunter2")
        drive.route("what was it?")
        brief = drive.take(run, turn.id).brief
        assert brief["worker"]["last"]["result"] == "it is [redacted]"
        assert "hunter2" not in str(brief)


class TestDurations:
    def test_an_earlier_task_of_the_same_kind_tells_how_long_this_one_may_take(
        self, drive: Driver, ledger: Ledger, clock: Clock
    ) -> None:
        run, turn = drive.working("run test 1")
        clock.now += 90
        drive.done(run, turn.id)
        drive.route("run test 2")
        drive.take(run, turn.id)
        assert do(ledger.state(HOME)).durations == (90.0,)

    def test_a_question_in_the_same_words_does_not_count(self, drive: Driver, ledger: Ledger, clock: Clock) -> None:
        run, turn = drive.working("run test 1")
        talker, talk = drive.working("run test 2", "chat")
        clock.now += 1
        do(ledger.call_tool(talker, "c1", "queue_task", {"text": "run test 2"}))
        drive.done(talker, talk.id, "It is queued.")
        clock.now += 89
        drive.done(run, turn.id)
        drive.take(run, turn.id)
        assert do(ledger.state(HOME)).durations == (90.0,)
