"""From an update's arrival to its place in a turn."""

from __future__ import annotations

import pytest

from klad import routing, texts
from klad.ledger import Ledger, Update
from klad.routing import ToSlot
from klad.words import ChatState, Slot
from tests.klad.ledger.support import HOME, Clock, Driver, do, held, inbound, query


def test_an_update_is_kept_once(ledger: Ledger) -> None:
    assert do(ledger.commit_update(5, HOME, '{"first": true}'))
    assert not do(ledger.commit_update(5, HOME, '{"second": true}'))
    assert do(ledger.pending_updates(HOME)) == [Update(5, '{"first": true}')]


def test_the_same_update_twice_in_one_commit_is_kept_once(ledger: Ledger) -> None:
    with held(ledger):
        futures = [ledger.commit_update(5, HOME, "{}") for _ in range(3)]
    assert [do(future) for future in futures] == [True, False, False]


def test_an_update_that_concerns_no_chat_is_kept_and_needs_nobody(ledger: Ledger) -> None:
    assert do(ledger.commit_update(5, None, "{}"))
    assert not do(ledger.commit_update(5, None, "{}"))
    assert query(ledger, 'SELECT state, why FROM "update"') == [("ignored", "it concerns no chat")]
    assert do(ledger.chats_to_wake()) == []


def test_updates_wait_in_order_each_chat_for_itself(ledger: Ledger) -> None:
    for number, chat in [(3, "7"), (1, "7"), (2, "8")]:
        do(ledger.commit_update(number, chat, "{}"))
    assert [update.update_id for update in do(ledger.pending_updates("7"))] == [1, 3]
    assert do(ledger.chats_to_wake()) == ["7", "8"]


def test_text_that_no_database_can_hold_is_mended_rather_than_refused(ledger: Ledger, drive: Driver) -> None:
    """JSON may carry half of a surrogate pair; one must not make a chat fail for ever."""
    do(ledger.commit_update(90, HOME, "\ud83d"))
    drive.route("half a \ud83d pair and a whole \U0001f600")
    assert query(ledger, "SELECT text FROM message") == [("half a \ufffd pair and a whole \U0001f600",)]
    do(ledger.say(HOME, "\udc00"))
    assert drive.said()[-1] == "\ufffd"


class TestRoute:
    def test_the_first_message_opens_a_turn_of_the_worker(self, drive: Driver) -> None:
        decision, turn = drive.route("  build   the\nthing  ")
        assert decision == ToSlot("worker")
        assert (turn.slot, turn.state, turn.title) == ("worker", "open", "build the thing")
        assert drive.turn(turn.id)["kind"] == "build the"
        assert turn.reply_to == 1

    def test_words_that_come_before_it_is_taken_join_it_in_order(self, drive: Driver, ledger: Ledger) -> None:
        first = drive.route("one")[1]
        assert drive.route("two")[1].id == first.id
        assert drive.route("three")[1].id == first.id
        taken = drive.take(drive.begin())
        assert [message["text"] for message in taken.brief["messages"]] == ["one", "two", "three"]

    def test_a_taken_turn_takes_no_more_joiners(self, drive: Driver) -> None:
        _, turn = drive.working()
        decision, other = drive.route("and now?")
        assert decision.slot == "chat"
        assert other.id != turn.id

    def test_the_decision_is_made_on_the_state_of_its_own_transaction(self, drive: Driver, ledger: Ledger) -> None:
        """A worker that takes its turn between the message's arrival and its routing can't strand it."""
        turn = drive.route("build it")[1]
        run, late = drive.begin(), drive.update()
        seen: list[ChatState] = []

        def decide(state: ChatState) -> ToSlot:
            seen.append(state)
            return routing.choose_slot("and quickly", state)

        with held(ledger):
            taking = ledger.take_turn(run, 0)
            routing_it = ledger.route(late, inbound("and quickly"), decide)
        assert len(do(taking).brief["messages"]) == 1
        decision, other = do(routing_it)
        assert seen[0].worker is not None
        assert (seen[0].worker.id, seen[0].worker.state) == (turn.id, "taken")
        assert decision.slot == "chat"
        assert (other.slot, other.state) == ("chat", "open")

    def test_a_message_is_routed_once(self, drive: Driver, ledger: Ledger) -> None:
        number = drive.update()
        assert do(ledger.route(number, inbound("hello"), lambda _: ToSlot("worker"))) is not None
        assert do(ledger.route(number, inbound("hello"), lambda _: ToSlot("worker"))) is None
        assert do(ledger.answer(number, inbound("hello"), lambda *_: "no")) is False
        assert do(ledger.begin_stop(number, inbound("hello"))) is None
        assert do(ledger.start_afresh(number, inbound("hello"), texts.fresh)) is False
        assert do(ledger.deny(number, inbound("hello"), "no", 0.0)) is False
        assert query(ledger, "SELECT COUNT(*) FROM message") == [(1,)]
        assert drive.said() == []

    def test_a_decision_that_raises_leaves_the_update_to_be_routed_again(self, drive: Driver, ledger: Ledger) -> None:
        number = drive.update()

        def decide(_: ChatState) -> ToSlot:
            raise ValueError("a bug in a rule")

        with pytest.raises(ValueError, match="a bug in a rule"):
            do(ledger.route(number, inbound("hello"), decide))
        assert [update.update_id for update in do(ledger.pending_updates(HOME))] == [number]
        assert query(ledger, "SELECT COUNT(*) FROM turn") == [(0,)]

    def test_a_queued_task_is_no_turn_to_join(self, drive: Driver, ledger: Ledger) -> None:
        worker, turn = drive.working()
        drive.route("also test it")
        talker = drive.begin("chat")
        talk = drive.take(talker).turn
        do(ledger.call_tool(talker, "c1", "queue_task", {"text": "test it"}))
        drive.done(talker, talk.id)
        drive.done(worker, turn.id)
        decision, other = drive.route("what is going on?")
        assert decision.slot == "chat"
        assert other.request is None

    def test_words_join_a_turn_that_is_tried_again_and_not_the_task_queued_behind_it(
        self, drive: Driver, ledger: Ledger
    ) -> None:
        worker, turn = drive.working("build it")
        talker, _ = drive.working("then test it", "chat")
        do(ledger.call_tool(talker, "c1", "queue_task", {"text": "test it"}))
        do(ledger.end_run(worker, 137, "it was killed"))
        decision, joined = drive.route("with care")
        assert (decision.slot, joined.id) == ("worker", turn.id)

    @pytest.mark.parametrize("slot", ["chat", "worker"])
    def test_words_for_a_slot_whose_turn_is_taken_are_its_next_turn(
        self, drive: Driver, ledger: Ledger, slot: Slot
    ) -> None:
        drive.working("build it")
        drive.working("how far?", "chat")
        turns = []
        for text in ("and now?", "hello?"):
            number = drive.update()
            routed = do(ledger.route(number, inbound(text), lambda _: ToSlot(slot)))
            assert routed is not None
            turns.append(routed[1])
        assert (turns[0].state, turns[0].slot) == ("open", slot)
        assert turns[1].id == turns[0].id, "they wait together"

    def test_chats_know_nothing_of_each_other(self, drive: Driver, ledger: Ledger) -> None:
        drive.working(chat="7")
        decision, turn = drive.route("hello", chat="8")
        assert (decision.slot, turn.chat) == ("worker", "8")
        assert do(ledger.state("8")).recent == ()
        assert do(ledger.state("9")) == ChatState("9")


class TestAnswer:
    def test_an_answer_from_state_is_an_ended_turn_with_one_final_row(self, drive: Driver, ledger: Ledger) -> None:
        number = drive.update()
        said = inbound("/status", telegram_id=55)
        assert do(ledger.answer(number, said, lambda state, now: f"{state.worker} at {now:.0f}"))
        ((turn, text, final, reply_to),) = query(ledger, "SELECT turn, text, final, reply_to FROM outbox")
        assert (text, final, reply_to) == ("None at 1700000000", 1, 55)
        assert drive.turn(turn)["state"] == "done"
        assert query(ledger, "SELECT turn FROM message WHERE update_id = ?", number) == [(turn,)]

    def test_a_status_question_that_nobody_took_is_answered_from_state(self, drive: Driver, ledger: Ledger) -> None:
        drive.working("build it")
        question = drive.route("status?")[1]
        assert do(ledger.answer_if_open(question.id, texts.status))
        (text,) = drive.finals(question.id)
        assert "build it" in text
        assert "An answer is on its way" not in text, "this is the answer"
        assert not do(ledger.answer_if_open(question.id, texts.status))

    def test_a_turn_without_a_status_question_is_not_answered_from_state(self, drive: Driver, ledger: Ledger) -> None:
        drive.working("build it")
        question = drive.route("what did step 2 print?")[1]
        assert not do(ledger.answer_if_open(question.id, texts.status))
        assert drive.turn(question.id)["state"] == "open"

    def test_a_status_question_that_was_taken_is_left_to_its_run(self, drive: Driver, ledger: Ledger) -> None:
        drive.working("build it")
        question = drive.route("status?")[1]
        drive.take(drive.begin("chat"))
        assert not do(ledger.answer_if_open(question.id, texts.status))
        assert drive.finals(question.id) == []

    def test_other_words_that_joined_a_status_question_still_get_their_own_answer(
        self, drive: Driver, ledger: Ledger
    ) -> None:
        drive.working("build it")
        question = drive.route("status?")[1]
        drive.route("what did step 2 print?")
        drive.route("how long?")
        assert do(ledger.answer_if_open(question.id, texts.status))
        kept = drive.turn(question.id)
        assert (kept["state"], kept["title"]) == ("open", "what did step 2 print?")
        taken = drive.take(drive.begin("chat"))
        assert [message["text"] for message in taken.brief["messages"]] == ["what did step 2 print?"]
        assert taken.turn.reply_to == kept["reply_to"] == 3
        rows = query(ledger, "SELECT turn FROM message WHERE text IN ('status?', 'how long?')")
        assert len(set(rows)) == 1
        assert len(drive.finals(rows[0][0])) == 1


class TestDeny:
    def test_a_stranger_is_told_once_in_a_while(self, drive: Driver, ledger: Ledger, clock: Clock) -> None:
        def ask() -> bool:
            return do(ledger.deny(drive.update(), inbound("let me in"), "No.", 3600.0))

        assert [ask(), ask()] == [True, False]
        clock.now += 3601
        assert ask()
        assert drive.said() == ["No.", "No."]
        assert do(ledger.pending_updates(HOME)) == []
        assert query(ledger, "SELECT COUNT(*) FROM message") == [(0,)]

    def test_what_is_ignored_says_why(self, drive: Driver, ledger: Ledger) -> None:
        number = drive.update()
        do(ledger.ignore_update(number, "not addressed in a group"))
        assert query(ledger, 'SELECT state, why FROM "update"') == [("ignored", "not addressed in a group")]
        do(ledger.ignore_update(number, "another reason"))
        assert query(ledger, 'SELECT why FROM "update"') == [("not addressed in a group",)]


class TestFresh:
    def say_new(self, drive: Driver, ledger: Ledger) -> None:
        assert do(ledger.start_afresh(drive.update(), inbound("/new"), texts.fresh))

    def test_what_was_said_before_is_in_no_later_brief(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working("my secret plan")
        drive.done(run, turn.id, "a secret answer")
        do(ledger.end_run(run, 0, "it left early"))
        self.say_new(drive, ledger)
        assert "no longer look" in drive.said()[-1]
        drive.route("hello")
        taken = drive.take(drive.begin())
        assert taken.brief["history"] == []

    def test_a_resting_worker_with_the_old_conversation_goes(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working()
        drive.done(run, turn.id)
        self.say_new(drive, ledger)
        assert drive.run(run)["state"] == "retiring"

    def test_other_chats_keep_what_was_said(self, drive: Driver, ledger: Ledger) -> None:
        run, turn = drive.working("the plan of chat 8", chat="8")
        drive.done(run, turn.id)
        self.say_new(drive, ledger)
        drive.route("hello", chat="8")
        taken = drive.take(run, turn.id)
        assert [said["text"] for said in taken.brief["history"]] == ["the plan of chat 8", "Here it is."]
