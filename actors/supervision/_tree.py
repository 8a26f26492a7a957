"""A whole tree as its owner holds it: an ordinary thread, usually the main one, that is no actor."""

from __future__ import annotations

import random as _random
import threading
from collections.abc import Callable

from actors.supervision._clock import Clock, SystemClock
from actors.supervision._parent import Parent, begin, end_process, halt
from actors.supervision._picture import Node
from actors.supervision._registry import Registry
from actors.supervision._spec import Child, Down


class Tree:
    """Starts and stops the topmost supervisor, and waits for its end. It is started once.

    The root is never restarted: that its Down has a reason (GivingUp, as a rule) means that the process
    should end and be started again from outside. `restart` and `park` of the root's Child don't count.
    """

    def __init__(
        self,
        root: Child,
        *,
        registry: Registry | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = _random.random,
        last_resort: Callable[[str], None] = end_process,
        on_down: Callable[[Down], None] | None = None,
    ) -> None:
        """`random` is for jitter; `on_down` is called once, in the root's thread, and must not wait."""
        self._root = root
        self._on_down = on_down
        self._down: Down | None = None
        self._parent = Parent(
            root.name, self._deliver, registry or Registry(), clock or SystemClock(), random, last_resort
        )

    @property
    def registry(self) -> Registry:
        """The tree's names."""
        return self._parent.registry

    @property
    def started(self) -> threading.Event:
        """Set when the root is up, or has failed to come up."""
        return self._parent.settled

    def start(self) -> None:
        """Returns when every on_start has run; a child that failed in it waits for its restart as ever after.

        Raises what kept the root itself from coming up: GivingUp when a failed start was past the limit,
        BootTimeout, … All that had been started is stopped again then.
        """
        if self._parent.ref is not None or self._parent.ended.is_set():
            raise RuntimeError(f"{self._root.name} was started already")
        failure = begin(self._root, self._parent)
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Stop everybody, from right to left; returns when their threads are over. May be called again."""
        halt(self._root, self._parent)

    def wait(self, timeout: float | None = None) -> Down | None:
        """The root's end, by `stop` (its reason is None) or by itself. None: `timeout` seconds passed first."""
        return self._down if self._parent.ended.wait(timeout) else None

    def picture(self) -> Node | None:
        """All there is, now; never waits for an actor. None: the root is not up."""
        return self.registry.tree(self._root.name)

    def _deliver(self, down: Down) -> None:
        self._down = down
        if self._on_down is not None:
            self._on_down(down)
