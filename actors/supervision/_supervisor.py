"""An actor that starts, restarts and stops others. `_decide` says what is to happen; here it is carried out.

All of it runs in the supervisor's own thread, one message at a time, so there is nothing to lock. A child
that is down waits for a *ticket*: one timer, and everybody who is to be started when it is due, from left
to right. Whoever is given another ticket meanwhile is no longer meant by the first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pykka

from actors.supervision._actor import SupervisedActor
from actors.supervision._clock import Timer
from actors.supervision._decide import Again, Crash, Forget, GiveUp, Loss, Park, Rules, decide
from actors.supervision._parent import Parent, begin, halt, survivable
from actors.supervision._picture import Entry, Node, Snapshot, State
from actors.supervision._spec import (
    Backoff,
    Child,
    Down,
    GivingUp,
    Limit,
    StartChild,
    StopChild,
    Strategy,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """A supervisor → itself: start those who wait for this ticket."""

    ticket: int


@dataclass(eq=False, slots=True)
class _Slot:
    """A child's place, through all its incarnations."""

    child: Child
    parent: Parent | None = None  # the present incarnation's; None while there is none
    ticket: int = 0  # what it waits for; 0: nothing
    state: State = "starting"
    kind: str = "?"
    starts: int = 0
    up_since: float = 0.0
    parked: bool = False  # since on_parked, until it is up
    parkings: int = 0
    parked_for: float = 0.0
    wanted: Child | None = None  # somebody asked for it while it was ending

    @property
    def entry(self) -> Entry:
        return Entry(self.child.name, self.kind, self.state, max(0, self.starts - 1))


class Supervisor(SupervisedActor):
    """Starts its children from left to right, each when the one before is up; stops them from right to left.

    Rules are class attributes of a subclass or arguments of `start`. Children are the argument `children`,
    and whoever is started later by `StartChild`. A subclass that overrides on_start calls super's.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    limit: Limit = Limit()
    backoff: Backoff = Backoff()

    def __init__(
        self,
        parent: Parent,
        children: Iterable[Child] = (),
        *,
        strategy: Strategy | None = None,
        limit: Limit | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(parent)
        self._rules = Rules(strategy or self.strategy, limit or self.limit, backoff or self.backoff)
        self._slots: dict[str, _Slot] = {}
        self._history: tuple[Crash, ...] = ()
        self._tickets = 1
        self._timers: dict[int, Timer] = {}
        for child in children:
            if child.name in self._slots:
                raise ValueError(f"{self.path} has two children called {child.name}")
            self._slots[child.name] = _Slot(child, ticket=self._tickets)

    # --- what it offers: as messages (StartChild, StopChild), or as methods to those who may wait for it ---

    def start_child(self, child: Child) -> None:
        """Have this child; nothing happens if one of its name is there, waiting or parked.

        Returns when its on_start has finished, also if it failed: then the restart rule decides.
        """
        slot = self._slots.get(child.name)
        if slot is None:
            slot = self._slots[child.name] = _Slot(child)
            self._start(slot)
        elif slot.parent is not None and not slot.parent.alive:
            slot.wanted = child  # its Down is on the way; if that makes it forgotten, it is started anew

    def stop_child(self, name: str) -> None:
        """Stop and forget this child; nothing happens if there is none. Returns when its thread is over."""
        if slot := self._slots.get(name):
            self._halt(slot)
            self._remove(slot)

    def which_children(self) -> dict[str, pykka.ActorRef[Any] | None]:
        """Children in the order of starting; None: it is down at the moment."""
        return {name: slot.parent.ref if slot.parent else None for name, slot in self._slots.items()}

    def tree(self) -> Node | None:
        """The picture from here downwards. `registry.tree(path)` gives the same and never waits."""
        return self.registry.tree(self.path)

    # --- what a subclass may be told; called in the supervisor's thread, and what they raise is only logged ---

    def on_parked(self, name: str, seconds: float, reason: Exception | None) -> None:
        """The child `name` gave up because of `reason`, and is started again after `seconds`."""

    def on_unparked(self, name: str) -> None:
        """The parked child `name` is up again."""

    def on_gone(self, name: str) -> None:
        """The child `name` has ended for good: stopped by StopChild, or forgotten by its restart rule.

        The place to look whether it is needed again after all: messages that came to it while it was
        ending have had no reader.
        """

    # --- its life ---

    def on_start(self) -> None:
        self._publish()
        self._start_waiting(self._tickets)

    def _welcome(self) -> None:
        self._publish()

    def on_stop(self) -> None:
        self._farewell()  # here too, so that who waits for the stop waits for everybody below

    def _farewell(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for slot in reversed(self._slots.values()):
            self._halt(slot)
        self.registry.withdraw(self.path, self.actor_urn)

    def _handle_receive(self, message: Any) -> Any:
        # Before on_receive, so that a subclass that overrides it need not think of supervision.
        try:
            match message:
                case Down() | _Due() | StartChild() if self._parent.stopping.is_set():
                    return None
                case Down():
                    return self._on_down(message)
                case _Due():
                    return self._on_due(message)
                case StartChild():
                    return self.start_child(message.child)
                case StopChild():
                    return self.stop_child(message.name)
            return super()._handle_receive(message)
        except GivingUp as exc:  # also when start_child was asked for, which Pykka would survive
            self._blame(exc)
            self._leave()
            raise

    def _on_down(self, down: Down) -> None:
        slot = self._slots.get(down.name.rpartition("/")[2])
        parent = slot and slot.parent
        if not slot or not parent or not parent.ref or parent.ref.actor_urn != down.urn:
            return  # an earlier incarnation, or one that was stopped from here
        slot.parent = None
        self._lost(slot, down.reason, lived=self.clock.now() - slot.up_since)

    def _on_due(self, due: _Due) -> None:
        self._timers.pop(due.ticket, None)
        self._start_waiting(due.ticket)

    def _start_waiting(self, ticket: int) -> None:
        for slot in list(self._slots.values()):
            # Looked at anew each time: a failed start may have given those after it another ticket.
            if slot.ticket == ticket and not self._parent.stopping.is_set():
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        slot.ticket, slot.wanted = 0, None
        slot.starts += 1
        slot.state = "starting"
        slot.parent = parent = self._parent.below(slot.child.name, self.tell_self)
        self._publish()
        try:
            failure = begin(slot.child, parent)
        except BaseException as exc:  # noqa: BLE001 (a SystemExit of its constructor, here in our thread)
            failure = survivable(exc, parent.name)
        slot.kind = parent.ref.actor_class.__name__ if parent.ref else slot.kind
        if failure is not None:
            slot.parent = None
            self._lost(slot, failure, lived=0.0)
            return
        slot.state, slot.up_since = "up", self.clock.now()
        self._publish()
        if slot.parked:
            slot.parked = False
            self._call(self.on_unparked, slot.child.name)

    def _lost(self, slot: _Slot, reason: Exception | None, lived: float) -> None:
        loss = Loss(slot.child, reason, lived, slot.parkings, slot.parked_for)
        family = [other.child for other in self._slots.values()]
        verdict = decide(loss, self._rules, family, self._history, self.clock.now(), self._parent.random)
        path = f"{self.path}/{slot.child.name}"
        match verdict:
            case Forget():
                log.info("%s ended (%s) and is forgotten", path, _cause(reason))
                self._remove(slot)
                if slot.wanted is not None:
                    self.start_child(slot.wanted)
            case GiveUp(why):
                slot.state = "restarting"
                raise GivingUp(f"{self.path} gives up: {why}; {_cause(reason)}") from reason
            case Again(stop, start, delay, history):
                log.warning("%s went down (%s); again in %.1f s: %s", path, _cause(reason), delay, start)
                self._history = history
                self._wait(stop, start, delay)
            case Park(stop, start, delay, times):
                log.warning("%s went down (%s); parked for %.1f s", path, _cause(reason), delay)
                slot.parked, slot.parkings, slot.parked_for = True, times, delay
                self._wait(stop, start, delay)
                self._call(self.on_parked, slot.child.name, delay, reason)

    def _wait(self, stop: tuple[str, ...], start: tuple[str, ...], delay: float) -> None:
        for name in stop:
            slot = self._slots[name]
            self._halt(slot)
            if name not in start:
                self._remove(slot)
        self._tickets += 1
        due = _Due(self._tickets)
        for name in start:
            slot = self._slots[name]
            slot.ticket, slot.state = due.ticket, "parked" if slot.parked else "restarting"
        self._publish()
        if delay > 0:
            self._timers[due.ticket] = self.tell_later(delay, due)
        else:
            self.tell_self(due)  # by the mailbox all the same: those who wait in it get their turn

    def _halt(self, slot: _Slot) -> None:
        parent, slot.parent = slot.parent, None  # from here on its Down is a stale one
        if parent is not None:
            halt(slot.child, parent)

    def _remove(self, slot: _Slot) -> None:
        del self._slots[slot.child.name]
        self._publish()
        self._call(self.on_gone, slot.child.name)

    def _publish(self) -> None:
        entries = tuple(slot.entry for slot in self._slots.values())
        state: State = "up" if self._parent.started else "starting"
        self.registry.publish(self.path, Snapshot(self.actor_urn, type(self).__name__, state, entries))

    def _call(self, hook: Callable[..., None], *args: Any) -> None:
        try:
            hook(*args)
        except Exception:
            log.exception("%s: %s%r failed", self.path, hook.__name__, args)


def _cause(reason: Exception | None) -> str:
    return "it stopped" if reason is None else f"{type(reason).__name__}: {reason}"
