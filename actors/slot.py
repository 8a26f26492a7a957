"""One of a chat's two slots: it has at most one run, and sees to it that open turns get one.

Stopping or losing this actor never touches its container; only `Cancel`, a deadline or a retired run
that won't go do. The next incarnation finds the run in the ledger and adopts it.
"""

from __future__ import annotations

import logging
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
    LeaveDue,
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
    TakeDue,
    Took,
    TurnEnded,
)
from actors.starting import prepare
from actors.supervision import Parent
from actors.world import World
from klad import slots, texts
from klad.errors import KladError
from klad.ledger import Granted, NoPlace, Occupied
from klad.runtime import Report
from klad.words import Run, Slot

log = logging.getLogger(__name__)

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL; the agent's entry needs at most one."""
EVICT_S = 3.0
"""How long a resting worker has to make place before somebody else is asked, or the wait is told."""
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


class SlotActor(Member):
    kind = "slot"

    def __init__(self, parent: Parent, world: World, chat: str, slot: Slot) -> None:
        super().__init__(parent, world)
        self.chat, self.slot = chat, slot
        self.kind = f"slot-{slot}"
        self._run: Run | None = None
        self._stops: dict[str, set[int]] = {}
        """Run → the router's turns that wait for its end."""
        self._stopping: set[str] = set()
        """Runs whose end the engine was asked for, and has not reported."""
        self._failures = 0
        self._not_before = 0.0
        """After a failed start: no other one before this moment of the tree's clock."""
        self._watching = False

    def on_start(self) -> None:
        run = self.step(self.ledger.live_run(self.chat, self.slot))
        if run is None:
            # An earlier incarnation may have died between a run's end and telling of it.
            self._clear()
        else:
            self._run = run
            self.tell(names.GATEWAY, Listen(self.chat, self.slot))
            self.world.runtime.adopt(run.id, self._report)
            turn = self.step(self.ledger.taken_turn(run.id))
            if turn is not None:
                passed = self.ledger.clock() - (turn.taken or 0.0)
                self._took(turn.id, passed)
            elif run.state == "retiring" or (self.slot == "chat" and run.last_turn is not None):
                self._see_off(run.id)
            elif run.last_turn is not None:
                self._rests(run.id, run.last_turn)
            self._watch(run.id, 0.0)
        self.tell_self(Look())

    def handle(self, message: Any) -> None:
        match message:
            case Look():
                self._look()
            case EngineUp():
                self._engine_up()
            case Took():
                self._failures = 0
                self._took(message.turn, 0.0)
                self._outbox()  # taking it may have ended another one, with words
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
                # One that works was told to go only after its turn (`/new`), or took one in time.
                if self._is_mine(message.run) and (
                    message.by_force or self.step(self.ledger.taken_turn(message.run)) is None
                ):
                    self._end_run(message.run)
            case TakeDue():
                self._take_due(message)
            case EngineDown():
                pass  # a start that fails says so; a run that lives on is adopted when the engine is back
            case _:
                super().handle(message)

    # Finding work

    def _engine_up(self) -> None:
        self._not_before = 0.0
        if self._run is not None:
            self.world.runtime.adopt(self._run.id, self._report)
        for run in tuple(self._stopping):
            self._stopping.discard(run)
            self._end_run(run)
        self._look()

    def _look(self) -> None:
        run = self._run
        if run is None:
            self._begin()
            return
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
        if self._run is None:
            return
        if not self._is_mine(due.run):
            self._watch(self._run.id, 0.0)
            return
        if self.step(self.ledger.taken_turn(due.run)) is not None:
            return  # it works; what is open comes next
        if self.step(self.ledger.open_turn(self.chat, self.slot)) is None:
            current = self.step(self.ledger.live_run(self.chat, self.slot))
            if current is not None and current.last_turn is None and self.step(self.ledger.retire_if_idle(due.run)):
                self._see_off(due.run)  # its turn was answered by somebody else while it was starting
            return
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
        if self.clock.now() < self._not_before:
            return  # its own timer looks again
        turn = self.step(self.ledger.open_turn(self.chat, self.slot))
        if turn is None:
            return
        world = self.world
        try:
            prepared = prepare(world, self.chat, self.slot)
        except KladError as error:
            self.step(self.ledger.fail_open_turn(turn.id, f"I can't start a container: {error}"))
            self._outbox()
            self.tell_self(Look())  # each of those behind it hears of it too
            return
        limit = world.settings.max_concurrent_containers
        begun = self.step(
            self.ledger.begin_run(
                self.chat, self.slot, prepared.run, prepared.token_hash, prepared.expected, limit
            )
        )
        match begun:
            case Granted():
                self._run = begun.run
                self._watch(prepared.run, 0.0)
                self.tell(names.GATEWAY, Listen(self.chat, self.slot))
                world.runtime.start(prepared.launch, self._report)
            case Occupied():
                self._run = begun.run
                world.runtime.adopt(begun.run.id, self._report)
            case NoPlace():
                if begun.evict is not None:
                    self.tell(names.slot(begun.evict.chat, begun.evict.slot), Evict(begun.evict.id))
                    self.tell_later(EVICT_S, Look())  # it may have been given work in the meantime
                elif self.step(self.ledger.say_waiting(self.chat, self.slot, texts.waiting_for_place(limit))):
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
            current = self.step(self.ledger.live_run(self.chat, self.slot))
            if current is not None and current.state == "retiring":
                self._see_off(ended.run)
            self.tell(names.SCHEDULER, PlaceFree())  # it could make place for somebody who waits

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
        current = self.step(self.ledger.live_run(self.chat, self.slot))
        if current is not None and current.id == deadline.run and current.state == "retiring":
            self._end_run(deadline.run)

    def _exited(self, exited: Exited) -> None:
        run = self._run
        if run is None or run.id != exited.run:
            return
        current = self.step(self.ledger.live_run(self.chat, self.slot))
        crash = current.crash if current is not None else ""
        cause = slots.cause_of_exit(exited.code, exited.out_of_memory, crash)
        held = self.step(self.ledger.end_run(exited.run, exited.code, cause)).turn
        log.info("%s ended%s", exited.run, f": {cause}" if held is not None or exited.code else "")
        took_nothing = current is not None and current.last_turn is None
        if exited.run in self._stopping:
            return  # `Stopped` follows, when the engine has been asked; until then the slot is not clear
        self._clear()
        if took_nothing and self._give_up(cause):
            return
        self.tell_self(Look())

    def _start_failed(self, failed: Failed) -> None:
        if not self._is_mine(failed.run):
            return
        self.step(self.ledger.abandon_start(failed.run, failed.reason))
        if failed.run in self._stopping:
            return  # withdrawn by a stop; `Stopped` follows
        wait = AGAIN_S if failed.engine_down else float(self._failures + 1)
        self._not_before = self.clock.now() + wait
        self._clear()
        if failed.engine_down:
            if self.step(self.ledger.say_waiting(self.chat, self.slot, texts.engine_trouble(failed.reason))):
                self._outbox()
        else:
            self._give_up(failed.reason)
        self.tell_later(wait, Look())

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
        self._stops.setdefault(cancel.run, set()).add(cancel.stop)
        if self._is_mine(cancel.run) and cancel.run not in self._stopping:
            self.step(self.ledger.signal_cancel(cancel.run, cancel.reason))
            self.tell(names.GATEWAY, Signalled(cancel.run))
        # Also one that is on record as ended: the engine is asked, and the answer is its word.
        self._end_run(cancel.run)

    def _end_run(self, run: str) -> None:
        if run not in self._stopping:
            self._stopping.add(run)
            self.world.runtime.stop(run, GRACE_S, self._report)

    def _stopped(self, stopped: Stopped) -> None:
        if not stopped.verified:
            # The run stays on record: when the engine is back, it is stopped for good.
            self._answer_stops(stopped.run, stopped.error or "the engine does not answer")
            self._stopping.discard(stopped.run)
            self.tell_later(AGAIN_S, LeaveDue(stopped.run, by_force=True))
            return
        self.step(self.ledger.end_run(stopped.run, None, "it was stopped"))
        self._stopping.discard(stopped.run)
        if self._is_mine(stopped.run):
            self._clear()
        self._answer_stops(stopped.run, "")
        self.tell_self(Look())

    def _answer_stops(self, run: str, error: str) -> None:
        for stop in self._stops.pop(run, ()):
            self.tell(names.router(self.chat), SlotClear(stop, run, error))

    def _clear(self) -> None:
        if self._run is not None:
            self.tell(names.GATEWAY, RunOver(self._run.id))
        self._run = None
        self.tell(names.TELEGRAM, Idle(self.chat, self.slot))
        self.tell(names.SCHEDULER, PlaceFree())
        self._outbox()  # a run's end may have ended its turn, with words

    def _outbox(self) -> None:
        self.tell(names.TELEGRAM, Outbox(self.chat))
