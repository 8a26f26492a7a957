"""The restart decision, and nothing else: plain values in, one verdict out. No actor, clock or thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.supervision._spec import Backoff, Child, GivingUp, Limit, Restart, Strategy

WELL_LONGER = 2
"""A parked child that then lived this many times its last parking is parked for the first delay again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A supervisor's own rules."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    limit: Limit = field(default_factory=Limit)
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Crash:
    """One entry of a supervisor's history: an end that was followed by a restart."""

    name: str
    at: float
    apart: bool = False
    """It was a child with `park`, which counts against itself alone."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A child that went down or did not come up, and what its supervisor remembers of it."""

    child: Child
    reason: Exception | None
    lived: float = 0.0
    """Seconds since it came up; 0 when it didn't."""
    parkings: int = 0
    """How many times in a row it has been parked …"""
    parked_for: float = 0.0
    """… and for how many seconds the last time."""


@dataclass(frozen=True, slots=True)
class Forget:
    """It was meant to end: the child is no longer one."""


@dataclass(frozen=True, slots=True)
class Again:
    """Stop `stop` in this order, and start `start` in that order after `delay` seconds."""

    stop: tuple[str, ...]
    start: tuple[str, ...]
    delay: float
    history: tuple[Crash, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """As Again, but later, and not held against the supervisor. `times`: parkings in a row, with this one."""

    stop: tuple[str, ...]
    start: tuple[str, ...]
    delay: float
    times: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Too many restarts."""

    why: str


Verdict = Forget | Again | Park | GiveUp


def decide(
    loss: Loss,
    rules: Rules,
    family: Sequence[Child],
    history: Sequence[Crash],
    now: float,
    random: Callable[[], float],
) -> Verdict:
    """What follows from `loss`. `family`: all children, the lost one among them, in the order of starting."""
    child, reason = loss.child, loss.reason
    if child.restart is Restart.TEMPORARY or (child.restart is Restart.TRANSIENT and reason is None):
        return Forget()

    stop, start = _affected(child.name, rules.strategy, family)
    if child.park and isinstance(reason, GivingUp):
        return _park(child.park, loss, stop, start, random)

    recent = tuple(crash for crash in history if crash.at >= now - rules.limit.seconds)
    recent += (Crash(child.name, now, apart=child.park is not None),)
    own = sum(crash.name == child.name for crash in recent)
    counted = own if child.park else sum(not crash.apart for crash in recent)
    if counted <= rules.limit.restarts:
        return Again(stop, start, rules.backoff.delay(own, random), recent)
    if child.park:
        return _park(child.park, loss, stop, start, random)
    return GiveUp(f"{child.name}: more than {rules.limit.restarts} restarts in {rules.limit.seconds:g} s")


def _park(
    backoff: Backoff, loss: Loss, stop: tuple[str, ...], start: tuple[str, ...], random: Callable[[], float]
) -> Park:
    recovered = loss.lived >= WELL_LONGER * loss.parked_for
    times = 1 if recovered else loss.parkings + 1
    return Park(stop, start, backoff.delay(times, random), times)


def _affected(name: str, strategy: Strategy, family: Sequence[Child]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    at = next(i for i, child in enumerate(family) if child.name == name)
    match strategy:
        case Strategy.ONE_FOR_ONE:
            affected = family[at : at + 1]
        case Strategy.REST_FOR_ONE:
            affected = family[at:]
        case Strategy.ONE_FOR_ALL:
            affected = family
    stop = tuple(child.name for child in reversed(affected) if child.name != name)
    start = tuple(child.name for child in affected if child.restart is not Restart.TEMPORARY)
    return stop, start
