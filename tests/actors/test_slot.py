from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors import names
from actors.messages import Cancel, Deadline, EngineUp, Evict, Listen, Look, PlaceFree, Signalled, SlotClear
from actors.scheduler import Scheduler
from actors.slot import AGAIN_S, FAILURES, HUNG_S, LEAVE_S, TAKE_S, SlotActor
from actors.supervision.testing import flush
from klad.errors import UsageError
from klad.ledger import Took, TurnEnded
from klad.routing import ToSlot
from klad.runtime import Exited, Failed, Mount, Started, Stopped
from klad.slots import CHAT_DEADLINE_S
from klad.words import Event, Inbound, Slot
from tests.actors.house import CHAT, House


class Room:
    """One slot's actor, with the test as its router, gateway and engine."""

    def __init__(self, house: House, slot: Slot = "worker") -> None:
        self.house, self.slot = house, slot
        self.router = house.probe(names.router(CHAT))
        self.path = names.slot(CHAT, slot)
        self.actor = house.start(SlotActor, self.path, CHAT, slot)
        self.settle()

    def again(self) -> None:
        """Lose this incarnation and start another one."""
        self.actor.stop()
        self.actor = self.house.start(SlotActor, self.path, CHAT, self.slot)
        self.settle()

    def tell(self, message: Any) -> None:
        self.actor.tell(message)
        self.settle()

    def settle(self) -> None:
        """Twice: what it tells itself while it handles something is behind the first question."""
        flush(self.actor)
        flush(self.actor)

    def ask(self, text: str) -> int:
        """Words in the slot's open turn; the turn."""
        update = self.house.mail(text)
        inbound = Inbound(CHAT, "private", "D", 1, "D", text, 100 + update, 1000.0)
        routed = self.house.ledger.route(update, inbound, lambda _: ToSlot(self.slot)).result(10)
        assert routed is not None
        self.tell(Look())
        return routed[1].id

    def run(self) -> str:
        run = self.house.ledger.live_run(CHAT, self.slot).result(10)
        assert run is not None
        return run.id

    def take(self, after: int = 0) -> int:
        taken = self.house.ledger.take_turn(self.run(), after).result(10)
        assert taken is not None
        turn = taken.turn.id  # type: ignore[union-attr]
        self.tell(Took(CHAT, self.slot, self.run(), turn))
        return int(turn)

    def finish(self, turn: int, seq: int = 1) -> None:
        self.house.ledger.record(self.run(), [Event(seq, "done", turn, {"text": "finished"})]).result(10)
        self.tell(TurnEnded(CHAT, self.slot, self.run(), turn))


@pytest.fixture
def room(house: House) -> Room:
    return Room(house)


def test_an_open_turn_gets_a_container_with_the_slots_own_mounts(room: Room) -> None:
    room.ask("$ make")
    (launch,) = room.house.runtime.started
    assert (launch.run, launch.chat, launch.slot, launch.image) == (room.run(), CHAT, "worker", "worker:1")
    assert {mount.target for mount in launch.mounts} >= {"/workspace/group", "/workspace/home", "/run/klad"}
    room.house.gateway.expect(Listen(CHAT, "worker"))


def test_a_second_look_starts_no_second_container(room: Room) -> None:
    room.ask("one")
    room.tell(Look())
    room.ask("two")
    assert len(room.house.runtime.started) == 1


def test_losing_the_actor_touches_no_container_and_the_next_one_adopts_it(room: Room) -> None:
    room.ask("$ make")
    room.take()
    run = room.run()
    room.again()
    assert room.house.runtime.stopped == []
    assert room.house.runtime.adopted == [run]
    assert len(room.house.runtime.started) == 1


def test_a_container_that_ends_before_any_tool_is_tried_once_more(room: Room) -> None:
    turn = room.ask("$ make")
    room.take()
    room.tell(Exited(room.run(), 1))
    assert len(room.house.runtime.started) == 2
    assert room.take() == turn
    room.tell(Exited(room.run(), 1))
    assert "tried this 2 times" in room.house.outbox()[-1]


def test_a_container_that_ends_after_a_tool_began_is_not_tried_again_and_said_so(room: Room) -> None:
    turn = room.ask("$ make")
    room.take()
    room.house.ledger.record(room.run(), [Event(1, "tool", turn, {"name": "bash"})]).result(10)
    room.tell(Exited(room.run(), 137, out_of_memory=True))
    assert len(room.house.runtime.started) == 1
    (said,) = room.house.outbox()
    assert "out of memory" in said
    assert "did not try again" in said


def test_containers_that_never_take_the_turn_are_given_up_in_words(room: Room) -> None:
    room.ask("$ make")
    for _ in range(FAILURES):
        room.tell(Exited(room.run(), 127))
    assert len(room.house.runtime.started) == FAILURES
    assert "exit code 127" in room.house.outbox()[-1]


def test_an_engine_that_is_away_is_said_once_and_the_turn_starts_when_it_is_back(room: Room) -> None:
    turn = room.ask("$ make")
    room.tell(Failed(room.run(), "no engine answers.", engine_down=True))
    room.house.clock.advance(AGAIN_S)
    room.settle()
    room.tell(Failed(room.run(), "no engine answers.", engine_down=True))
    assert len([text for text in room.house.outbox() if "no engine answers" in text]) == 1
    room.tell(EngineUp())
    assert room.take() == turn


def test_a_slot_without_a_place_says_so_and_starts_when_one_is_free(house: House) -> None:
    for number in range(9):  # every worker's place of ten
        _worker_elsewhere(house, f"9{number}")
    room = Room(house)
    room.ask("$ make")
    assert house.runtime.started == []
    (said,) = house.outbox()
    assert "places for containers are taken" in said
    house.ledger.end_run("klad-90", 0, "").result(10)
    room.tell(Look())
    assert len(house.runtime.started) == 1


def test_a_resting_worker_is_asked_to_make_place(house: House) -> None:
    for number in range(9):
        _worker_elsewhere(house, f"9{number}", rests=number == 4)
    other = house.probe(names.slot("94", "worker"))
    Room(house).ask("$ make")
    other.expect(Evict("klad-94"))
    assert house.outbox() == []


def test_a_resting_worker_goes_when_evicted_and_a_working_one_stays(room: Room) -> None:
    turn = room.ask("$ make")
    room.take()
    run = room.run()
    room.tell(Evict(run))
    assert room.house.ledger.live_run(CHAT, "worker").result(10).state == "live"  # type: ignore[union-attr]
    room.finish(turn)
    room.tell(Evict(run))
    assert room.house.ledger.live_run(CHAT, "worker").result(10).state == "retiring"  # type: ignore[union-attr]


def test_a_worker_goes_after_idle_timeout_unless_it_worked_again(room: Room) -> None:
    room.finish(room.ask("one") and room.take())
    room.ask("two")
    second = room.take(1)
    room.house.clock.advance(300)
    flush(room.actor)
    assert room.house.ledger.live_run(CHAT, "worker").result(10).state == "live"  # type: ignore[union-attr]
    room.finish(second, seq=2)
    room.house.clock.advance(300)
    flush(room.actor)
    assert room.house.ledger.live_run(CHAT, "worker").result(10).state == "retiring"  # type: ignore[union-attr]


def test_a_retired_run_that_does_not_go_is_stopped(room: Room) -> None:
    room.finish(room.ask("one") and room.take())
    run = room.run()
    room.house.clock.advance(300)
    flush(room.actor)
    assert room.house.runtime.stopped == []
    room.house.clock.advance(LEAVE_S)
    flush(room.actor)
    assert room.house.runtime.stopped == [run]


def test_cancel_is_confirmed_only_after_the_engine_has_confirmed_it(room: Room) -> None:
    room.ask("$ make")
    room.take()
    run = room.run()
    room.tell(Cancel(7, run, "stop"))
    assert room.house.runtime.stopped == [run]
    assert Signalled(run) in _drain(room.house.gateway)
    room.tell(Exited(run, 143))
    room.router.expect_nothing()
    room.ask("$ next")
    assert len(room.house.runtime.started) == 1  # not before the slot is known to be clear
    room.tell(Stopped(run, 1.0, verified=True))
    room.router.expect(SlotClear(7, run))
    assert PlaceFree() in _drain(room.house.scheduler)


def test_a_stop_the_engine_does_not_confirm_is_passed_on_and_tried_again(room: Room) -> None:
    room.ask("$ make")
    room.take()
    run = room.run()
    room.tell(Cancel(7, run, "stop"))
    room.tell(Stopped(run, 9.0, verified=False, error="no engine answers"))
    room.router.expect(SlotClear(7, run, "no engine answers"))
    room.tell(EngineUp())
    room.house.clock.advance(LEAVE_S)
    flush(room.actor)
    assert room.house.runtime.stopped == [run, run]


def test_cancel_of_a_run_that_is_on_record_as_ended_is_clear_when_the_engine_says_so(room: Room) -> None:
    room.tell(Cancel(7, "klad-gone", "stop"))
    room.router.expect_nothing()
    room.tell(Stopped("klad-gone", 0.0, verified=True))
    room.router.expect(SlotClear(7, "klad-gone"))


def test_a_cancel_told_again_after_the_stop_does_not_touch_what_was_begun_since(room: Room) -> None:
    room.ask("$ make")
    room.take()
    old = room.run()
    room.tell(Cancel(7, old, "stop"))
    room.tell(Stopped(old, 0.1, verified=True))
    room.ask("$ new work")
    new = room.run()
    room.tell(Cancel(7, old, "stop"))
    assert room.house.runtime.stopped == [old, old]
    assert room.run() == new


def test_fresh_start_lets_the_worker_finish_what_it_does(room: Room) -> None:
    turn = room.ask("$ make")
    room.take()
    run = room.run()
    update = room.house.mail("/new")
    inbound = Inbound(CHAT, "private", "D", 1, "D", "/new", 200, 1000.0)
    room.house.ledger.start_afresh(update, inbound, str).result(10)
    room.tell(Look())
    room.house.clock.advance(LEAVE_S)
    room.settle()
    assert room.house.runtime.stopped == []
    room.finish(turn)
    room.house.clock.advance(LEAVE_S)
    room.settle()
    assert room.house.runtime.stopped == [run]


def test_an_engine_that_is_away_is_asked_again_only_after_a_while(house: House) -> None:
    room = Room(house)
    house.start(Scheduler, "tenant/scheduler-itself")
    room.ask("$ make")
    room.tell(Failed(room.run(), "no engine answers.", engine_down=True))
    room.tell(Look())
    room.tell(Look())
    assert len(house.runtime.started) == 1
    house.clock.advance(AGAIN_S)
    room.settle()
    assert len(house.runtime.started) == 2


def test_a_chat_container_whose_question_was_answered_meanwhile_is_sent_away(house: House) -> None:
    room = Room(house, "chat")
    turn = room.ask("status?")
    run = room.run()
    assert house.ledger.answer_if_open(turn, lambda _state, _now: "from state").result(10)
    room.tell(Started(run, "c"))
    house.clock.advance(TAKE_S)
    room.settle()
    assert house.ledger.live_run(CHAT, "chat").result(10).state == "retiring"  # type: ignore[union-attr]


def test_a_chat_run_that_has_answered_and_hangs_is_ended_by_the_next_incarnation_too(house: House) -> None:
    room = Room(house, "chat")
    room.ask("one")
    turn = room.take()
    run = room.run()
    house.ledger.record(run, [Event(1, "done", turn, {"text": "finished"})]).result(10)
    room.again()
    house.clock.advance(LEAVE_S)
    room.settle()
    assert house.runtime.stopped == [run]


def test_every_turn_is_told_when_no_container_can_be_prepared(house: House) -> None:
    house.world = replace(house.world, extra=_broken)
    room = Room(house)
    room.ask("one")
    assert "mounts.json is broken" in house.outbox()[-1]
    room.ask("two")
    assert "mounts.json is broken" in house.outbox()[-1]
    assert house.ledger.open_turn(CHAT, "worker").result(10) is None


def _broken() -> tuple[Mount, ...]:
    raise UsageError("mounts.json is broken")


def test_a_start_withdrawn_by_a_stop_is_clear_after_the_engine_was_asked(room: Room) -> None:
    room.ask("$ make")
    run = room.run()
    room.tell(Cancel(7, run, "stop"))
    room.tell(Failed(run, "withdrawn", engine_down=False))
    room.router.expect_nothing()
    room.tell(Stopped(run, 0.1, verified=True))
    room.router.expect(SlotClear(7, run))


def test_a_chat_turn_past_its_deadline_is_answered_from_state_and_its_container_ended(house: House) -> None:
    room = Room(house, "chat")
    room.ask("how far?")
    turn = room.take()
    run = room.run()
    house.clock.advance(CHAT_DEADLINE_S)
    flush(room.actor)
    (said,) = house.outbox()
    assert "No answer within 60 s" in said
    assert house.runtime.stopped == [run]
    room.tell(Deadline(run, turn))
    assert house.outbox() == []


def test_a_late_deadline_does_nothing_to_an_answered_turn(house: House) -> None:
    room = Room(house, "chat")
    room.ask("how far?")
    room.finish(room.take())
    assert house.outbox() == ["finished"]
    house.clock.advance(CHAT_DEADLINE_S - LEAVE_S - 1)
    flush(room.actor)
    assert house.outbox() == []


def test_the_next_incarnation_keeps_what_is_left_of_the_deadline(house: House) -> None:
    room = Room(house, "chat")
    room.ask("how far?")
    room.take()
    house.time += 50
    room.again()
    house.clock.advance(CHAT_DEADLINE_S - 50)
    flush(room.actor)
    assert any("No answer within" in text for text in house.outbox())


def test_each_turn_of_the_chat_slot_has_a_container_of_its_own(house: House) -> None:
    room = Room(house, "chat")
    room.ask("one")
    room.finish(room.take())
    first = room.run()
    room.ask("two")
    assert len(house.runtime.started) == 1  # the first has not gone yet
    room.tell(Exited(first, 0))
    assert [launch.run for launch in house.runtime.started] == [first, room.run()]
    assert room.run() != first


def test_processes_that_a_turn_leaves_running_are_told_with_its_answer(room: Room) -> None:
    turn = room.ask("$ server &")
    room.take()
    room.house.ledger.record(room.run(), [Event(1, "done", turn, {"text": "up", "left": 2})]).result(10)
    (said,) = room.house.outbox()
    assert said.startswith("up\n\n2 processes go on in the background")


def test_started_is_put_on_record(room: Room) -> None:
    room.ask("$ make")
    room.tell(Started(room.run(), "c0ffee"))
    assert room.house.ledger.live_run(CHAT, "worker").result(10).state == "live"  # type: ignore[union-attr]


def test_a_worker_that_begins_to_rest_is_told_to_whoever_waits_for_a_place(room: Room) -> None:
    turn = room.ask("$ make")
    room.take()
    _drain(room.house.scheduler)
    room.finish(turn)
    assert PlaceFree() in _drain(room.house.scheduler)


def test_a_run_that_takes_no_turn_while_the_engine_is_away_is_told_of(room: Room) -> None:
    room.ask("$ make")
    room.house.world.health.set("engine", "no engine answers.")
    room.house.clock.advance(TAKE_S)
    room.settle()
    (said,) = room.house.outbox()
    assert "no engine answers" in said
    room.house.clock.advance(TAKE_S)
    room.settle()
    assert room.house.outbox() == []


def test_an_agent_that_never_asks_for_its_turn_is_ended_and_another_one_tried(room: Room) -> None:
    room.ask("$ make")
    hung = room.run()
    for _ in range(int(HUNG_S / TAKE_S)):
        room.house.clock.advance(TAKE_S)
        room.settle()
    assert room.house.runtime.stopped == [hung]
    room.tell(Stopped(hung, 1.0, verified=True))
    assert [launch.run for launch in room.house.runtime.started] == [hung, room.run()]


def _worker_elsewhere(house: House, chat: str, rests: bool = False) -> None:
    update = house.mail("$ x", in_chat=chat)
    inbound = Inbound(chat, "private", "D", 1, "D", "$ x", update, 1000.0)
    house.ledger.route(update, inbound, lambda _: ToSlot("worker")).result(10)
    run = f"klad-{chat}"
    house.ledger.begin_run(chat, "worker", run, run, {}, 10).result(10)
    taken = house.ledger.take_turn(run, 0).result(10)
    if rests:
        turn = taken.turn.id  # type: ignore[union-attr]
        house.ledger.record(run, [Event(1, "done", turn, {"text": "x"})]).result(10)


def _drain(probe: Any) -> list[Any]:
    found = []
    while True:
        try:
            found.append(probe.receive(timeout=0.05))
        except AssertionError:
            return found
