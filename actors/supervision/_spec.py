"""What a supervisor is told about its children: plain frozen values, no behaviour but arithmetic."""

from __future__ import annotations

import enum
import random as _random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.supervision._parent import Parent


class Restart(enum.Enum):
    """Which ends of a child are followed by a new start (OTP's restart types)."""

    PERMANENT = "always"
    TRANSIENT = "after a crash"
    TEMPORARY = "never"


class Strategy(enum.Enum):
    """Who is restarted together with the child that went down (OTP's supervisor strategies)."""

    ONE_FOR_ONE = "only the child that went down"
    REST_FOR_ONE = "it and those started after it"
    ONE_FOR_ALL = "every child"


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before the n-th restart: first, 2·first, 4·first … seconds, never more than `cap`.

    Up to the fraction `jitter` of each wait is taken off at random, so that those who fell together
    don't get up together. `jitter=0`: none.
    """

    first: float = 0.0
    cap: float = 30.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.first < 0 or self.cap < 0 or not 0 <= self.jitter <= 1:
            raise ValueError(f"{self}: first and cap are seconds ≥ 0, jitter a fraction of 1")

    def delay(self, attempt: int, random: Callable[[], float] = _random.random) -> float:
        """Seconds before restart number `attempt` (1, 2, …). `random` gives numbers from 0 up to 1."""
        doublings = min(attempt - 1, 64)  # 2.0**1024 is an OverflowError, and cap was reached long before
        return float(min(self.cap, self.first * 2.0**doublings) * (1 - self.jitter * random()))


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `restarts` restarts within `seconds`, and the supervisor gives up (OTP's intensity).

    Choose it together with the backoff: if the waits before `restarts` restarts add up to more than
    `seconds`, the limit is never reached.
    """

    restarts: int = 3
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.seconds <= 0:
            raise ValueError(f"{self}: restarts must be ≥ 0 and seconds > 0")


@dataclass(frozen=True, slots=True)
class Child:
    """How one child is started, restarted and stopped (OTP's child specification)."""

    name: str
    """Its name below its parent's; its path is `PARENT/NAME`."""
    start: Callable[[Parent], ActorRef[Any]]
    """Starts one incarnation: `lambda parent: Printer.start(parent, …)`. Runs in the supervisor's thread."""
    restart: Restart = Restart.PERMANENT
    boot: float = 5.0
    """Seconds that on_start may take; longer is a failed start. A supervisor starts its children in its
    own on_start: give it their sum, or `math.inf` (each of them has a limit)."""
    shutdown: float = 5.0
    """Seconds from being told to stop until its thread is over; longer ends the process. For a
    supervisor: the sum of its children's, or `math.inf`."""
    park: Backoff | None = None
    """For a child that is a supervisor: when it gives up, it is started again after `park.delay(n)`, and
    nothing that it does counts against its parent's limit. Meant for ONE_FOR_ONE."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"a child's name must not be empty nor contain '/': {self.name!r}")


@dataclass(frozen=True, slots=True)
class Down:
    """An actor → who started it: my thread is over. Once per incarnation, whatever the cause."""

    name: str
    """The path."""
    urn: str
    """Pykka's actor_urn: which incarnation it was."""
    reason: Exception | None
    """None: it was stopped, or stopped by itself."""

    def causes(self) -> Iterator[BaseException]:
        """The reason, its cause, and so on: from the last GivingUp down to the crash that began it."""
        exc: BaseException | None = self.reason
        while exc is not None:
            yield exc
            exc = exc.__cause__


@dataclass(frozen=True, slots=True)
class StartChild:
    """Anyone → a supervisor: have this child. Nothing happens when it has one of that name already."""

    child: Child


@dataclass(frozen=True, slots=True)
class StopChild:
    """Anyone → a supervisor: stop and forget this child. Nothing happens when there is none."""

    name: str


class GivingUp(Exception):
    """The restart limit was reached: the supervisor goes down, so that its own parent decides."""


class BootTimeout(Exception):
    """A child's on_start took longer than its `boot`."""


class Escaped(Exception):
    """A SystemExit, KeyboardInterrupt or other non-Exception left an actor's code; it is the __cause__."""
