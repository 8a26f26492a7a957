from __future__ import annotations

from typing import Any

import pytest

from actors import names
from actors.messages import Cancel, Look, Mail, SlotClear
from actors.router import STATUS_PATIENCE_S, STOP_LIMIT_S, Router
from actors.supervision.testing import Probe, flush
from klad.words import Event
from tests.actors.house import CHAT, House


class Desk:
    """A router with probes in its slots' places."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.worker, self.chat = house.probe(names.slot(CHAT, "worker")), house.probe(names.slot(CHAT, "chat"))
        self.router = house.start(Router, names.router(CHAT), CHAT)
        flush(self.router)
        flush(self.router)
        for slot in (self.worker, self.chat):  # at its start it has everyone look for themselves
            slot.expect(Look())

    def say(self, text: str, **message: Any) -> int:
        update = self.house.mail(text, **message)
        self.router.tell(Mail(CHAT))
        flush(self.router)
        return update

    def take(self, slot: Any = "worker") -> int:
        """A run takes the slot's open turn."""
        run = f"klad-{slot}"
        self.house.ledger.begin_run(CHAT, slot, run, f"hash {slot}", {}, 10).result(10)
        taken = self.house.ledger.take_turn(run, 0).result(10)
        return int(taken.turn.id)  # type: ignore[union-attr]


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_a_message_goes_to_the_free_worker_and_then_to_the_chat_slot(desk: Desk) -> None:
    desk.say("$ make")
    desk.worker.expect(Look())
    desk.take()
    desk.say("what did it print?")
    desk.chat.expect(Look())
    desk.worker.expect_nothing()


def test_messages_before_the_turn_is_taken_join_it_in_order(desk: Desk) -> None:
    desk.say("one")
    desk.say("two")
    desk.house.ledger.begin_run(CHAT, "worker", "klad-1", "h", {}, 10).result(10)
    taken = desk.house.ledger.take_turn("klad-1", 0).result(10)
    assert [item["text"] for item in taken.brief["messages"]] == ["one", "two"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("/status", "Nothing is running"),
        ("/tasks", "No tasks yet"),
        ("/help", "/stop"),
        ("/start", "I am Klåd"),
        ("stop", "Nothing is running here"),
        ("/nonsense", "I don't know /nonsense"),
        ("/new", "fresh start"),
    ],
)
def test_commands_are_answered_without_any_slot(desk: Desk, text: str, answer: str) -> None:
    desk.say(text)
    (said,) = desk.house.outbox()
    assert answer in said
    desk.chat.expect_nothing()
    assert desk.house.runtime.started == []


def test_a_stranger_is_told_their_id_once_and_reaches_nothing(desk: Desk) -> None:
    desk.say("hello", sender=666)
    desk.say("$ rm -rf /", sender=666)
    (said,) = desk.house.outbox()
    assert "666" in said
    desk.worker.expect_nothing()


def test_a_group_is_heard_only_when_the_bot_is_addressed(house: House) -> None:
    group = {"chat": {"id": int(CHAT), "type": "supergroup", "title": "G"}}
    desk = Desk(house)
    desk.say("stop talking everyone", **group)
    desk.say("stop", **group)
    desk.worker.expect_nothing()
    desk.say("@klad_bot $ make", entities=[{"type": "mention", "offset": 0, "length": 9}], **group)
    desk.worker.expect(Look())
    assert house.ledger.state(CHAT).result(10).worker.title == "$ make"  # type: ignore[union-attr]


def test_a_status_question_that_no_run_takes_is_answered_from_state(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("status?")
    desk.house.clock.wait_for_timers()
    desk.house.clock.advance(STATUS_PATIENCE_S)
    flush(desk.router)
    (said,) = desk.house.outbox()
    assert "$ make" in said


def test_a_status_question_while_nothing_runs_starts_no_container(desk: Desk) -> None:
    desk.say("status?")
    (said,) = desk.house.outbox()
    assert said.startswith("Nothing is running.")
    desk.worker.expect_nothing()
    desk.chat.expect_nothing()


def test_a_stop_counts_what_was_queued_and_not_what_was_just_starting(desk: Desk) -> None:
    desk.say("$ make")
    desk.house.ledger.begin_run(CHAT, "worker", "klad-worker", "h", {}, 10).result(10)
    desk.say("stop please")
    cancel = _cancel(desk.worker)
    desk.router.tell(SlotClear(cancel.stop, "klad-worker"))
    flush(desk.router)
    assert desk.house.outbox() == ["Stopped `$ make` in 0.0 s; nothing left running."]


def test_a_status_question_that_a_run_has_taken_is_left_to_it(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("status?")
    desk.take("chat")
    desk.house.clock.wait_for_timers()
    desk.house.clock.advance(STATUS_PATIENCE_S)
    flush(desk.router)
    assert desk.house.outbox() == []


def test_a_stop_is_answered_when_every_slot_is_clear_and_not_before(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("status?")
    desk.take("chat")
    desk.say("/stop")
    cancel = _cancel(desk.worker)
    assert _cancel(desk.chat).run == "klad-chat"
    desk.router.tell(SlotClear(cancel.stop, "klad-worker"))
    flush(desk.router)
    assert not any("nothing left running" in text for text in desk.house.outbox())
    desk.router.tell(SlotClear(cancel.stop, "klad-chat"))
    flush(desk.router)
    (said,) = desk.house.outbox()
    assert said.startswith('Stopped `$ make` in 0.0 s; nothing left running.')


def test_a_stop_that_could_not_be_verified_says_so(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("stop")
    cancel = _cancel(desk.worker)
    desk.router.tell(SlotClear(cancel.stop, "klad-worker", "the engine does not answer"))
    flush(desk.router)
    said = desk.house.outbox()[-1]
    assert "could not verify" in said
    assert "nothing left running" not in said


def test_a_stop_that_no_slot_confirms_ends_all_the_same(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("stop")
    desk.house.clock.wait_for_timers()
    desk.house.clock.advance(STOP_LIMIT_S)
    flush(desk.router)
    for _ in range(20):
        desk.house.clock.advance(5)
        flush(desk.router)
    assert "did not confirm" in desk.house.outbox()[-1]


def test_a_stop_that_was_begun_before_a_crash_is_finished_after_it(desk: Desk) -> None:
    desk.say("$ make")
    desk.take()
    desk.say("stop")
    cancel = _cancel(desk.worker)
    desk.router.stop()
    again = desk.house.start(Router, names.router(CHAT), CHAT)
    assert _cancel(desk.worker) == cancel
    again.tell(SlotClear(cancel.stop, "klad-worker"))
    flush(again)
    assert "nothing left running" in desk.house.outbox()[-1]


def test_what_a_stopped_agent_still_says_is_not_sent(desk: Desk) -> None:
    desk.say("$ make")
    turn = desk.take()
    desk.say("stop")
    desk.house.outbox()
    desk.house.ledger.record("klad-worker", [Event(1, "done", turn, {"text": "late"})]).result(10)
    assert desk.house.outbox() == []


def test_mail_that_came_while_no_router_lived_is_read_at_its_start(house: House) -> None:
    worker = house.probe(names.slot(CHAT, "worker"))
    house.mail("$ make")
    house.start(Router, names.router(CHAT), CHAT)
    worker.expect(Look())


def test_an_update_that_can_not_be_read_is_recorded_and_the_next_one_routed(desk: Desk) -> None:
    desk.house.ledger.commit_update(999, CHAT, "not json").result(10)
    desk.say("$ make")
    desk.worker.expect(Look())
    assert desk.house.ledger.pending_updates(CHAT).result(10) == []


def test_a_photo_without_words_is_answered_and_a_notice_is_not(desk: Desk) -> None:
    desk.say("", photo=[{"file_id": "x"}])
    desk.say("", new_chat_title="T")
    (said,) = desk.house.outbox()
    assert "photo" in said


def _cancel(slot: Probe) -> Cancel:
    while not isinstance(message := slot.receive(), Cancel):
        assert isinstance(message, Look)
    return message
