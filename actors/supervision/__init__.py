"""Supervision in the manner of Erlang/OTP over Pykka ≥ 4.5, < 5. It knows nothing of what it supervises.

An actor is a `SupervisedActor`; a `Supervisor` keeps a list of `Child` and restarts whoever goes down, by
its `Strategy`, within its `Limit`, after its `Backoff`; past the limit it gives up to its own parent. A
`Tree` holds the topmost one. Actors know each other by name: `registry.tell("shop/tills/3", message)`.
`actors.supervision.testing` has a clock moved by hand and probes, for the tests of whoever builds on this.
"""

from actors.supervision._actor import SupervisedActor
from actors.supervision._clock import Clock, SystemClock, Timer
from actors.supervision._parent import Parent, end_process
from actors.supervision._picture import Node, render
from actors.supervision._registry import DeadLetter, Mailbox, Registry
from actors.supervision._spec import (
    Backoff,
    BootTimeout,
    Child,
    Down,
    Escaped,
    GivingUp,
    Limit,
    Restart,
    StartChild,
    StopChild,
    Strategy,
)
from actors.supervision._supervisor import Supervisor
from actors.supervision._tree import Tree

__all__ = [
    "Backoff",
    "BootTimeout",
    "Child",
    "Clock",
    "DeadLetter",
    "Down",
    "Escaped",
    "GivingUp",
    "Limit",
    "Mailbox",
    "Node",
    "Parent",
    "Registry",
    "Restart",
    "StartChild",
    "StopChild",
    "Strategy",
    "SupervisedActor",
    "Supervisor",
    "SystemClock",
    "Timer",
    "Tree",
    "end_process",
    "render",
]
