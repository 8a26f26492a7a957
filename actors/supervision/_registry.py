"""Who is called what. Neighbours hold names, never refs, so that nobody dies of another's death.

One Registry a tree, handed around; every method may be called from any thread and none waits for an actor.
It also keeps the tree's picture: each supervisor leaves a snapshot here whenever something changes, so that
whoever looks needs no answer from an actor that may be stuck.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pykka

from actors.supervision._picture import Node, Snapshot, compose

log = logging.getLogger(__name__)


class Mailbox(Protocol):
    """What a name is bound to: an ActorRef, or in tests a Probe."""

    def tell(self, message: Any) -> None:
        """Take in `message` without waiting. Raises pykka.ActorDeadError when nobody is there any more."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody was there to take."""

    name: str
    message: Any


class Registry:
    """Names (paths such as "shop/tills/3/printer") to mailboxes; see the module's first lines."""

    def __init__(self, keep: int = 100) -> None:
        """`keep`: how many of the last dead letters are held on to."""
        self._changed = threading.Condition()
        self._mailboxes: dict[str, Mailbox] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._dead: deque[DeadLetter] = deque(maxlen=keep)
        self._dead_count = 0

    def tell(self, name: str, message: Any) -> bool:
        """Put `message` into the mailbox of `name`. False: nobody has that name; it is a dead letter.

        True is no promise that it will be handled: its reader may die first.
        """
        mailbox = self.get(name)
        if mailbox is not None:
            try:
                mailbox.tell(message)
            except pykka.ActorDeadError:
                pass
            else:
                return True
        with self._changed:
            self._dead.append(DeadLetter(name, message))
            self._dead_count += 1
            self._changed.notify_all()
        # The type only: a message may hold what does not belong in a log.
        log.debug("dead letter: %s for %s", type(message).__name__, name)
        return False

    def bind(self, name: str, mailbox: Mailbox) -> None:
        """From now on `name` is `mailbox`, whatever it was before."""
        with self._changed:
            self._mailboxes[name] = mailbox
            self._changed.notify_all()

    def unbind(self, name: str, mailbox: Mailbox) -> None:
        """Free `name`, but only if it still is `mailbox`: the next incarnation may have it already."""
        with self._changed:
            if self._mailboxes.get(name) is mailbox:
                del self._mailboxes[name]
                self._changed.notify_all()

    def get(self, name: str) -> Mailbox | None:
        """The mailbox of `name`, or None."""
        with self._changed:
            return self._mailboxes.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every bound name, sorted."""
        with self._changed:
            return tuple(sorted(self._mailboxes))

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The last ones, oldest first."""
        with self._changed:
            return tuple(self._dead)

    @property
    def dead_letter_count(self) -> int:
        """All of them since the start."""
        with self._changed:
            return self._dead_count

    def publish(self, name: str, snapshot: Snapshot) -> None:
        """A supervisor's present picture of itself and its children."""
        with self._changed:
            self._snapshots[name] = snapshot
            self._changed.notify_all()

    def withdraw(self, name: str, urn: str) -> None:
        """Forget the picture that the incarnation `urn` left, if it is still that one's."""
        with self._changed:
            if name in self._snapshots and self._snapshots[name].urn == urn:
                del self._snapshots[name]
                self._changed.notify_all()

    def tree(self, name: str) -> Node | None:
        """The picture of the supervisor `name` and all below it. None: it is not up."""
        with self._changed:
            snapshots = dict(self._snapshots)
        return compose(name, snapshots)

    def wait_until(self, holds: Callable[[Registry], bool], timeout: float) -> bool:
        """Wait until `holds(registry)` after some change of names, pictures or dead letters.

        `timeout` in seconds; False: it passed first. `holds` must not wait for anything.
        """
        with self._changed:
            return self._changed.wait_for(lambda: holds(self), timeout)
