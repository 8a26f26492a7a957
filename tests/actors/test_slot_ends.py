"""How a slot's runs end: by a stop, a deadline, rest, or because they hang."""

from __future__ import annotations

from actors.messages import Cancel, Deadline, EngineUp, Evict, Look, PlaceFree, Signalled, SlotClear
from actors.slot import HUNG_S, LEAVE_S, TAKE_S
from actors.supervision.testing import flush
from klad.runtime import Exited, Failed, Stopped
from klad.slots import CHAT_DEADLINE_S
from klad.words import Event, Inbound
from tests.actors.house import CHAT, House
from tests.actors.room import Room, drain


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
    assert Signalled(run) in drain(room.house.gateway)
    room.tell(Exited(run, 143))
    room.router.expect_nothing()
    room.ask("$ next")
    assert len(room.house.runtime.started) == 1  # not before the slot is known to be clear
    room.tell(Stopped(run, 1.0, verified=True))
    room.router.expect(SlotClear(7, run))
    assert PlaceFree() in drain(room.house.scheduler)


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


def test_an_agent_that_never_asks_for_its_turn_is_ended_and_another_one_tried(room: Room) -> None:
    room.ask("$ make")
    hung = room.run()
    for _ in range(int(HUNG_S / TAKE_S)):
        room.house.clock.advance(TAKE_S)
        room.settle()
    assert room.house.runtime.stopped == [hung]
    room.tell(Stopped(hung, 1.0, verified=True))
    assert [launch.run for launch in room.house.runtime.started] == [hung, room.run()]
