"""How a slot finds work for its containers, and containers for its work."""

from __future__ import annotations

from dataclasses import replace

from actors import names
from actors.messages import EngineUp, Evict, Listen, Look, PlaceFree
from actors.scheduler import Scheduler
from actors.slot import AGAIN_S, FAILURES, TAKE_S
from klad.runtime import Exited, Failed, Started
from klad.words import Event
from tests.actors.house import CHAT, House
from tests.actors.room import Room, broken, drain, worker_elsewhere


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
        worker_elsewhere(house, f"9{number}")
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
        worker_elsewhere(house, f"9{number}", rests=number == 4)
    other = house.probe(names.slot("94", "worker"))
    Room(house).ask("$ make")
    other.expect(Evict("klad-94"))
    assert house.outbox() == []


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


def test_every_turn_is_told_when_no_container_can_be_prepared(house: House) -> None:
    house.world = replace(house.world, extra=broken)
    room = Room(house)
    room.ask("one")
    assert "mounts.json is broken" in house.outbox()[-1]
    room.ask("two")
    assert "mounts.json is broken" in house.outbox()[-1]
    assert house.ledger.open_turn(CHAT, "worker").result(10) is None


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
    drain(room.house.scheduler)
    room.finish(turn)
    assert PlaceFree() in drain(room.house.scheduler)


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
