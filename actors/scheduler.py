"""The scheduler: who gets a place when one is free. (Timers of tasks will live here too.)"""

from __future__ import annotations

from typing import Any

from actors import names
from actors.member import Member
from actors.messages import Look, PlaceFree, Wake


class Scheduler(Member):
    kind = "scheduler"

    def on_start(self) -> None:
        # While this actor was away a place may have become free and nobody was told.
        self.tell_self(PlaceFree())

    def handle(self, message: Any) -> None:
        match message:
            case PlaceFree():
                # All who wait are told, those for answering first, then by age: the ledger grants a
                # place in the transaction that takes it, so that asking in vain costs nothing.
                for chat, slot in self.step(self.ledger.waiting_slots()):
                    if not self.tell(names.slot(chat, slot), Look()):
                        self.tell(names.CHATS, Wake(chat))
            case _:
                super().handle(message)
