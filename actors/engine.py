"""The engine's watcher: tells the slots when it comes and goes, and sweeps away what nobody needs.

The sweep asks the engine and the ledger on a thread of its own, and removes only containers with this
install's and this tenant's labels whose runs the ledger has ended or doesn't know. A run is on record
before its container is created, so that "doesn't know" can't be "not yet".
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from actors import names
from actors.member import Member
from actors.messages import EngineDown, EngineUp, Wake
from actors.supervision import Parent
from actors.world import STEP_S, World
from klad.errors import EngineError, LedgerError

log = logging.getLogger(__name__)
SWEEP_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class SweepDue:
    """engine's timer → engine."""


@dataclass(frozen=True, slots=True)
class Ready:
    """engine's thread → engine: the engine answers, and the images are there."""


class Engine(Member):
    kind = "engine"

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent, world)
        self._sweeping = threading.Lock()

    def on_start(self) -> None:
        if not self.world.watching.is_set():
            self.world.watching.set()
            self.world.runtime.watch(self._report)
        else:
            # What was reported while nobody had this name is not reported again.
            threading.Thread(target=self._ask, name="engine?", daemon=True).start()
        self.tell_self(SweepDue())

    def _report(self, report: EngineUp | EngineDown) -> None:
        """From the runtime's thread, for as long as the process lives: whoever has this name gets it."""
        self.registry.tell(self.path, report)

    def _ask(self) -> None:
        try:
            self.world.runtime.check()
        except EngineError as error:
            self._report(EngineDown(str(error)))
        else:
            self._report(EngineUp())

    def handle(self, message: Any) -> None:
        match message:
            case EngineUp():
                threading.Thread(target=self._make_ready, name="engine is up", daemon=True).start()
            case Ready():
                self.world.health.set("engine", "ok")
                self._tell_slots(EngineUp())
                self._sweep()
            case EngineDown():
                self.world.health.set("engine", message.reason)
                self._tell_slots(message)
            case SweepDue():
                self._sweep()
                self.tell_later(SWEEP_EVERY_S, message)
            case _:
                super().handle(message)

    def _make_ready(self) -> None:
        """On a thread of its own: an image may have to be built, after a start without an engine."""
        try:
            self.world.ensure_images()
        except EngineError as error:
            self.registry.tell(self.path, EngineDown(str(error)))
        else:
            self.registry.tell(self.path, Ready())

    def _tell_slots(self, message: EngineUp | EngineDown) -> None:
        waiting = self.step(self.ledger.waiting_slots())
        concerned = {(run.chat, run.slot) for run in self.step(self.ledger.live_runs())}.union(waiting)
        for chat, slot in concerned:
            if not self.tell(names.slot(chat, slot), message):
                self.tell(names.CHATS, Wake(chat))

    def _sweep(self) -> None:
        if self._sweeping.acquire(blocking=False):
            threading.Thread(target=self._sweep_now, name="sweep", daemon=True).start()

    def _sweep_now(self) -> None:
        world = self.world
        try:
            found = world.runtime.find(world.install, world.tenant.name)
            stale = self.ledger.ended_or_unknown([container.run for container in found]).result(STEP_S)
            for run in stale:
                self._remove(run)
        except (EngineError, LedgerError, TimeoutError) as error:
            log.warning("sweep: %s", error)
        finally:
            self._sweeping.release()

    def _remove(self, run: str) -> None:
        log.warning("sweeping away %s: its run has ended or is not known", run)
        try:
            self.world.runtime.remove(run)
        except EngineError as error:  # the others are swept all the same
            log.warning("sweep: %s", error)
