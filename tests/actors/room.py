"""One slot's actor under test, with the test in the places of its neighbours and of the engine."""

from __future__ import annotations

from typing import Any

from actors import names
from actors.messages import Look
from actors.slot import SlotActor
from actors.supervision.testing import flush
from klad.errors import UsageError
from klad.ledger import Took, TurnEnded
from klad.routing import ToSlot
from klad.runtime import Mount
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


def broken() -> tuple[Mount, ...]:
    raise UsageError("mounts.json is broken")


def worker_elsewhere(house: House, chat: str, rests: bool = False) -> None:
    update = house.mail("$ x", in_chat=chat)
    inbound = Inbound(chat, "private", "D", 1, "D", "$ x", update, 1000.0)
    house.ledger.route(update, inbound, lambda _: ToSlot("worker")).result(10)
    run = f"klad-{chat}"
    house.ledger.begin_run(chat, "worker", run, run, {}, 10).result(10)
    taken = house.ledger.take_turn(run, 0).result(10)
    if rests:
        turn = taken.turn.id  # type: ignore[union-attr]
        house.ledger.record(run, [Event(1, "done", turn, {"text": "x"})]).result(10)


def drain(probe: Any) -> list[Any]:
    found = []
    while True:
        try:
            found.append(probe.receive(timeout=0.05))
        except AssertionError:
            return found
