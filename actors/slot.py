"""One of a chat's two slots: it has at most one run, and sees to it that open turns get one.

Stopping or losing this actor never touches its container; only `Cancel`, a deadline or a retired run
that won't go do. The next incarnation finds the run in the ledger and adopts it.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from actors import names
from actors.member import Member
from actors.messages import (
    Busy,
    Cancel,
    Deadline,
    EngineDown,
    EngineUp,
    Evict,
    Exited,
    Failed,
    Idle,
    IdleDue,
    Listen,
    Look,
    Outbox,
    PlaceFree,
    Revoked,
    RunOver,
    Signalled,
    SlotClear,
    Started,
    Stopped,
    Took,
    TurnEnded,
)
from actors.supervision import Parent
from actors.world import World
from klad import launch, slots, texts, workspace
from klad.errors import KladError
from klad.gateway import new_token
from klad.ledger import Granted, NoPlace, Occupied
from klad.runtime import Report
from klad.words import Run, Slot

log = logging.getLogger(__name__)

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL; the agent's entry needs at most one."""
LEAVE_S = 10.0
"""How long a run that was told to go (410) may take before it is stopped."""
AGAIN_S = 10.0
"""How often a start is tried again while the engine is away, should nobody tell that it is back."""
TAKE_S = 5.0
"""How often is looked whether a run has taken the turn that is open for it."""
HUNG_S = 60.0
"""A run that has taken no turn by then, while the engine is well, never will: it is ended."""
FAILURES = 3
"""Containers that may fail to take an open turn before the turn is given up."""


@dataclass(frozen=True, slots=True)
class LeaveDue:
    """slot's timer → slot: this run was told to go; has it?"""

    run: str


@dataclass(frozen=True, slots=True)
class TakeDue:
    """slot's timer → slot: has this run taken the turn that was open `waited` seconds ago?"""

    run: str
    waited: float


class SlotActor(Member):
    kind = "slot"

    def __init__(self, parent: Parent, world: World, chat: str, slot: Slot) -> None:
        super().__init__(parent, world)
        self.chat, self.slot = chat, slot
        self.kind = f"slot-{slot}"
        self._run: Run | None = None
        self._stops: list[int] = []
        self._stopping: str | None = None
        self._failures = 0
        self._watching = False

    def on_start(self) -> None:
        run = self.step(self.ledger.live_run(self.chat, self.slot))
        if run is not None:
            self._run = run
            self.tell(names.GATEWAY, Listen(self.chat, self.slot))
            self.world.runtime.adopt(run.id, self._report)
            turn = self.step(self.ledger.taken_turn(run.id))
            if turn is not None:
                passed = self.ledger.clock() - (turn.taken or 0.0)
                self._took(turn.id, passed)
            elif run.state == "retiring":
                self._see_off(run.id)
            elif run.last_turn is not None:
                self._rests(run.id, run.last_turn)
        self.tell_self(Look())

    def handle(self, message: Any) -> None:
        match message:
            case Look() | EngineUp():
                self._look(again=isinstance(message, EngineUp))
            case Took():
                self._failures = 0
                self._took(message.turn, 0.0)
            case TurnEnded():
                self._turn_ended(message)
            case Started():
                self.step(self.ledger.run_started(message.run, message.container))
            case Exited():
                self._exited(message)
            case Failed():
                self._start_failed(message)
            case Stopped():
                self._stopped(message)
            case Cancel():
                self._cancel(message)
            case Revoked():
                if self._is_mine(message.run):
                    self.step(self.ledger.signal_cancel(message.run, message.reason))
                    self.tell(names.GATEWAY, Signalled(message.run))
                    self._end_run(message.run)
            case Deadline():
                self._deadline(message)
            case IdleDue():
                self._idle_due(message)
            case Evict():
                if self._is_mine(message.run) and self.step(self.ledger.retire_if_idle(message.run)):
                    self._see_off(message.run)
            case LeaveDue():
                if self._is_mine(message.run):
                    self._end_run(message.run)
            case TakeDue():
                self._take_due(message)
            case EngineDown():
                pass  # a start that fails says so; a run that lives on is adopted when the engine is back
            case _:
                super().handle(message)

    # Finding work

    def _look(self, again: bool = False) -> None:
        run = self._run
        if run is None:
            self._begin()
            return
        if again:
            self.world.runtime.adopt(run.id, self._report)
            if self._stopping is not None:
                self._stopping = None
                self._end_run(run.id)
        current = self.step(self.ledger.live_run(self.chat, self.slot))
        if current is not None and current.state == "retiring":
            self._see_off(run.id)
        else:
            self.tell(names.GATEWAY, Signalled(run.id))
            self._watch(run.id, 0.0)

    def _watch(self, run: str, waited: float) -> None:
        if not self._watching:
            self._watching = True
            self.tell_later(TAKE_S, TakeDue(run, waited + TAKE_S))

    def _take_due(self, due: TakeDue) -> None:
        """An open turn and a run that doesn't take it: gone unseen, or hung. Either way not a word is kept back."""
        self._watching = False
        turn = self.step(self.ledger.open_turn(self.chat, self.slot))
        if turn is None or self._run is None:
            return
        if not self._is_mine(due.run):
            self._watch(self._run.id, 0.0)
            return
        if self.step(self.ledger.taken_turn(due.run)) is not None:
            return  # it works on another; this one is next
        engine = self.world.health.get()["engine"]
        if engine not in ("ok", "starting"):
            if self.step(self.ledger.say_waiting(self.chat, self.slot, texts.engine_trouble(engine))):
                self._outbox()
        elif due.waited >= HUNG_S:
            log.warning("%s has not asked for its turn in %.0f s and is ended", due.run, due.waited)
            self._give_up("the agent in it never asked for its work")
            self._end_run(due.run)
            return
        self._watch(due.run, due.waited)

    def _begin(self) -> None:
        world = self.world
        turn = self.step(self.ledger.open_turn(self.chat, self.slot))
        if turn is None:
            return
        places = workspace.places(world.tenant, world.install, self.chat, self.slot, world.identity)
        try:
            workspace.prepare(places, world.identity)
            binds = workspace.mounts(places, self.slot, world.source, world.extra())
            expected = workspace.identify(binds)
        except (OSError, KladError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self.step(self.ledger.fail_open_turn(turn.id, f"I can't start a container: {reason}"))
            self._outbox()
            return
        run_id, (token, token_hash) = f"klad-{secrets.token_hex(6)}", new_token()
        begun = self.step(
            self.ledger.begin_run(
                self.chat, self.slot, run_id, token_hash, expected, world.settings.max_concurrent_containers
            )
        )
        match begun:
            case Granted():
                self._run = begun.run
                self._watch(run_id, 0.0)
                self.tell(names.GATEWAY, Listen(self.chat, self.slot))
                world.runtime.start(
                    launch.compose(
                        run=run_id,
                        token=token,
                        tenant=world.tenant.name,
                        install=world.install,
                        chat=self.chat,
                        slot=self.slot,
                        image=world.images.chat if self.slot == "chat" else world.images.worker,
                        mounts=binds,
                        user=world.identity.user,
                        timezone=world.settings.timezone,
                        runtime=world.settings.container_runtime,
                    ),
                    self._report,
                )
            case Occupied():
                self._run = begun.run
                self.world.runtime.adopt(begun.run.id, self._report)
            case NoPlace():
                if begun.evict is not None:
                    self.tell(names.slot(begun.evict.chat, begun.evict.slot), Evict(begun.evict.id))
                else:
                    text = texts.waiting_for_place(world.settings.max_concurrent_containers)
                    if self.step(self.ledger.say_waiting(self.chat, self.slot, text)):
                        self._outbox()

    # A run's life

    def _report(self, report: Report) -> None:
        """From a thread of the runtime's. By name: whoever is this slot's actor then gets it."""
        self.registry.tell(self.path, report)

    def _is_mine(self, run: str) -> bool:
        return self._run is not None and self._run.id == run

    def _took(self, turn: int, passed: float) -> None:
        if self._run is None:
            return
        self.tell(names.TELEGRAM, Busy(self.chat, self.slot))
        if self.slot == "chat":
            left = max(0.0, slots.CHAT_DEADLINE_S - passed)
            self.tell_later(left, Deadline(self._run.id, turn))

    def _turn_ended(self, ended: TurnEnded) -> None:
        self.tell(names.TELEGRAM, Idle(self.chat, self.slot))
        if not self._is_mine(ended.run):
            return
        if self.slot == "chat":
            self.tell_later(LEAVE_S, LeaveDue(ended.run))
        else:
            self._rests(ended.run, ended.turn)

    def _rests(self, run: str, turn: int) -> None:
        self.tell_later(self.world.settings.idle_timeout / 1000, IdleDue(run, turn))

    def _idle_due(self, due: IdleDue) -> None:
        if not self._is_mine(due.run):
            return
        current = self.step(self.ledger.live_run(self.chat, self.slot))
        if current is None or current.last_turn != due.turn:
            return  # it has worked since; that turn's own timer counts
        if self.step(self.ledger.retire_if_idle(due.run)):
            self._see_off(due.run)

    def _see_off(self, run: str) -> None:
        """A retired run: its waiting request is answered 410 now, and it is stopped if it doesn't go."""
        self.tell(names.GATEWAY, Signalled(run))
        self.tell_later(LEAVE_S, LeaveDue(run))

    def _deadline(self, deadline: Deadline) -> None:
        if not self._is_mine(deadline.run):
            return
        state = self.step(self.ledger.state(self.chat))
        text = texts.too_late(slots.CHAT_DEADLINE_S, state, self.ledger.clock())
        if self.step(self.ledger.overdue(deadline.run, deadline.turn, text)):
            self._outbox()
            self._end_run(deadline.run)

    def _exited(self, exited: Exited) -> None:
        run = self._run
        if run is None or run.id != exited.run:
            return
        current = self.step(self.ledger.live_run(self.chat, self.slot))
        crash = current.crash if current is not None else ""
        cause = slots.cause_of_exit(exited.code, exited.out_of_memory, crash)
        ended = self.step(self.ledger.end_run(exited.run, exited.code, cause))
        log.info("%s ended: %s", exited.run, cause)
        took_nothing = current is not None and current.last_turn is None
        if self._stopping == exited.run:
            return  # `Stopped` follows, when the engine has been asked; until then the slot is not clear
        self._clear()
        if ended.turn is not None and not ended.requeued:
            self._outbox()
        if took_nothing and self._give_up(cause):
            return
        self.tell_self(Look())

    def _start_failed(self, failed: Failed) -> None:
        if not self._is_mine(failed.run):
            return
        self.step(self.ledger.abandon_start(failed.run, failed.reason))
        if self._stopping == failed.run:
            return  # withdrawn by a stop; `Stopped` follows
        self._clear()
        if failed.engine_down:
            if self.step(self.ledger.say_waiting(self.chat, self.slot, texts.engine_trouble(failed.reason))):
                self._outbox()
            self.tell_later(AGAIN_S, Look())
        elif not self._give_up(failed.reason):
            self.tell_later(float(self._failures), Look())

    def _give_up(self, reason: str) -> bool:
        """Count a container that never took a turn; after some, tell the user instead of trying for ever."""
        turn = self.step(self.ledger.open_turn(self.chat, self.slot))
        if turn is None:
            self._failures = 0
            return False
        self._failures += 1
        if self._failures < FAILURES:
            return False
        self._failures = 0
        text = f"I tried {FAILURES} times to start a container for this, in vain: {reason}"
        self.step(self.ledger.fail_open_turn(turn.id, text))
        self._outbox()
        self.tell_self(Look())
        return True

    # Ending a run

    def _cancel(self, cancel: Cancel) -> None:
        if self._run is None:
            self.tell(names.router(self.chat), SlotClear(cancel.stop, self.slot))
            return
        if cancel.stop not in self._stops:
            self._stops.append(cancel.stop)
        if self._stopping is None:
            self.step(self.ledger.signal_cancel(self._run.id, cancel.reason))
            self.tell(names.GATEWAY, Signalled(self._run.id))
            self._end_run(self._run.id)

    def _end_run(self, run: str) -> None:
        if self._stopping == run:
            return
        self._stopping = run
        self.world.runtime.stop(run, GRACE_S, self._report)

    def _stopped(self, stopped: Stopped) -> None:
        if not self._is_mine(stopped.run):
            return
        if not stopped.verified:
            # The run stays on record: when the engine is back, it is stopped for good.
            self._answer_stops(stopped.error or "the engine does not answer")
            self.tell_later(AGAIN_S, LeaveDue(stopped.run))
            self._stopping = None
            return
        ended = self.step(self.ledger.end_run(stopped.run, None, "it was stopped"))
        if ended.turn is not None and not ended.requeued:
            self._outbox()
        self._stopping = None
        self._clear()
        self._answer_stops("")
        self.tell_self(Look())

    def _answer_stops(self, error: str) -> None:
        for stop in self._stops:
            self.tell(names.router(self.chat), SlotClear(stop, self.slot, error))
        self._stops.clear()

    def _clear(self) -> None:
        if self._run is not None:
            self.tell(names.GATEWAY, RunOver(self._run.id))
        self._run = None
        self.tell(names.TELEGRAM, Idle(self.chat, self.slot))
        self.tell(names.SCHEDULER, PlaceFree())

    def _outbox(self) -> None:
        self.tell(names.TELEGRAM, Outbox(self.chat))
