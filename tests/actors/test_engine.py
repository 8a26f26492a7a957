from __future__ import annotations

from dataclasses import replace

from actors import names
from actors.engine import Engine
from actors.messages import EngineDown, EngineUp, Wake
from actors.supervision.testing import Probe, flush
from klad.errors import ImageMissingError
from klad.routing import ToSlot
from klad.runtime import Found
from klad.words import Inbound
from tests.actors.house import CHAT, House


def open_turn(house: House) -> None:
    update = house.mail("$ make")
    inbound = Inbound(CHAT, "private", "D", 1, "D", "$ make", 100 + update, 1000.0)
    house.ledger.route(update, inbound, lambda _: ToSlot("worker")).result(10)


def test_the_sweep_removes_only_what_the_ledger_has_ended_or_does_not_know(house: House) -> None:
    open_turn(house)
    house.ledger.begin_run(CHAT, "worker", "klad-live", "h", {}, 10).result(10)
    house.runtime.found = [Found("klad-live", CHAT, "worker", True), Found("klad-stray", CHAT, "chat", False)]
    house.start(Engine, names.ENGINE)
    house.runtime.asked.expect(("remove", "klad-stray"))
    assert house.runtime.removed == ["klad-stray"]


def test_slots_that_wait_are_told_when_the_engine_comes_and_goes(house: House) -> None:
    open_turn(house)
    slot = house.probe(names.slot(CHAT, "worker"))
    engine = house.start(Engine, names.ENGINE)
    engine.tell(EngineDown("it is gone"))
    slot.expect(EngineDown("it is gone"))
    assert house.world.health.get()["engine"] == "it is gone"
    engine.tell(EngineUp())
    slot.expect(EngineUp())
    assert house.world.health.get()["engine"] == "ok"


def test_a_chat_that_sleeps_is_woken_instead(house: House) -> None:
    open_turn(house)
    chats = house.probe(names.CHATS)
    house.start(Engine, names.ENGINE).tell(EngineDown("it is gone"))
    chats.expect(Wake(CHAT))


def test_an_engine_without_the_image_is_not_ready_until_it_is_built(house: House) -> None:
    def missing() -> None:
        raise ImageMissingError("no image for the agent")

    house.world = replace(house.world, ensure_images=missing)
    told = Probe()
    house.registry.bind(names.slot(CHAT, "worker"), told)
    open_turn(house)
    engine = house.start(Engine, names.ENGINE)
    engine.tell(EngineUp())
    told.expect(EngineDown("no image for the agent"))
    flush(engine)
    assert house.world.health.get()["engine"] == "no image for the agent"
