"""The base of Klåd's own actors: it knows the world, and retries what an ill ledger could not write."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any, TypeVar

from actors.supervision import Parent, SupervisedActor
from actors.world import STEP_S, World
from klad import faults
from klad.errors import LedgerError

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_S = 1.0


class Member(SupervisedActor):
    kind = "member"
    """Names this actor's fault point: `KIND.message`."""

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent)
        self.world = world
        self.ledger = world.ledger

    def on_receive(self, message: Any) -> None:
        faults.point(f"{self.kind}.message")
        try:
            self.handle(message)
        except (LedgerError, TimeoutError) as error:
            # Messages are nudges and steps are transactions: doing it again is safe, and the ledger
            # says what of it was done.
            log.warning("%s: %s; once more in %s s", self.path, error, AGAIN_S)
            self.on_retry()
            self.tell_later(AGAIN_S, message)

    def on_retry(self) -> None:
        """A step failed, or took so long that it may be committed all the same; the message comes again."""

    def handle(self, message: Any) -> None:
        raise TypeError(f"{self.path} has no use for {message!r}")

    def step(self, future: Future[T]) -> T:
        """Wait for a step of the ledger. Raises `LedgerError` or `TimeoutError`."""
        return future.result(STEP_S)

    def tell(self, name: str, message: object) -> bool:
        return self.registry.tell(name, message)
