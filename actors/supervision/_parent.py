"""An actor's tie to who started it, and the two things that are done by it: begin and halt.

Every incarnation has a Parent of its own. A starter waits on its events and never on the actor: an answer
from an actor can fail to come in more ways than a thread can fail to end.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import random as _random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pykka import ActorRef

from actors.supervision._clock import Clock, SystemClock
from actors.supervision._registry import Registry
from actors.supervision._spec import BootTimeout, Child, Down, Escaped

log = logging.getLogger(__name__)

GAVE_UP = 70
"""Exit status of a process that ends because a thread of it can't be stopped (EX_SOFTWARE of sysexits.h)."""


def end_process(reason: str) -> None:
    """The default last resort: say why, show where every thread stands, and leave with status 70 at once."""

    def say() -> None:
        log.critical("%s; a thread can't be killed, so the process ends", reason)
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)

    # On a thread of its own, as the stuck one may hold the lock of a log handler.
    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(timeout=2)
    os._exit(GAVE_UP)


@dataclass(eq=False)
class Parent:
    """What a SupervisedActor gets as its first argument: its name, its world, and whom to tell of its end."""

    name: str
    """The actor's own path."""
    deliver: Callable[[Down], None]
    """Called once, in the actor's thread, when all else of it is over. Must not wait."""
    registry: Registry = field(default_factory=Registry)
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = _random.random
    last_resort: Callable[[str], None] = end_process
    """Called when a child outstays its shutdown limit. Should not come back."""

    ref: ActorRef[Any] | None = field(default=None, init=False)
    """The incarnation, from just before its thread starts."""
    started: bool = field(default=False, init=False)
    """on_start has finished well."""
    reason: Exception | None = field(default=None, init=False)
    """What ended it; valid from `ended`."""
    settled: threading.Event = field(default_factory=threading.Event, init=False)
    """on_start has finished well, or the thread is over."""
    stopping: threading.Event = field(default_factory=threading.Event, init=False)
    """It was told to stop: a supervisor starts nobody any more."""
    ended: threading.Event = field(default_factory=threading.Event, init=False)
    """The thread is over: children stopped, name free, Down delivered."""

    def below(self, child: str, deliver: Callable[[Down], None]) -> Parent:
        """The tie to a child called `child` of the actor that this one belongs to."""
        path = f"{self.name}/{child}"
        return Parent(path, deliver, self.registry, self.clock, self.random, self.last_resort)

    @property
    def alive(self) -> bool:
        """The actor has not begun to end."""
        return self.ref is not None and self.ref.is_alive()


def begin(child: Child, parent: Parent) -> Exception | None:
    """Start `child` and wait until its on_start has finished. None: it is up; else why not.

    When it is not up, nothing of it is left (or the last resort was called). Raises nothing but what is no
    Exception: Ctrl-C while the main thread waits, or a SystemExit in the actor's constructor.
    """
    failure: Exception
    try:
        child.start(parent)
        if parent.ref is None:
            failure = TypeError(f"{parent.name}: start must start a SupervisedActor with the given parent")
        elif not parent.settled.wait(_timeout(child.boot)):
            failure = BootTimeout(f"{parent.name} was still in on_start after {child.boot:g} s")
        elif not parent.started:
            failure = parent.reason or RuntimeError(f"{parent.name} ended in on_start")
        else:
            return None
    except Exception as exc:  # noqa: BLE001 (whatever a start raises is a failed start)
        failure = exc
    except BaseException:
        halt(child, parent)
        raise
    halt(child, parent)
    return failure


def halt(child: Child, parent: Parent) -> None:
    """Stop the incarnation and wait until its thread is over; past its limit, the last resort."""
    if parent.ref is None:
        return
    parent.stopping.set()
    parent.ref.stop(block=False)  # of no effect on one that is ending already; its thread may still be busy
    if not parent.ended.wait(_timeout(child.shutdown)):
        try:
            parent.last_resort(f"{parent.name} did not stop within {child.shutdown:g} s")
        except Exception:
            log.exception("the last resort failed")


def survivable(exc: BaseException, name: str) -> Exception:
    """`exc`, which left the code of `name`, as an Exception: Pykka doesn't survive anything else."""
    if isinstance(exc, Exception):
        return exc
    wrapped = Escaped(f"{type(exc).__name__} left {name}")
    wrapped.__cause__ = exc
    return wrapped


def _timeout(seconds: float) -> float | None:
    return None if math.isinf(seconds) else min(seconds, threading.TIMEOUT_MAX)
