"""A small actor that tells a probe of its life and fails on request, for the tests of this package."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from actors.supervision import Child, Parent, Registry, SupervisedActor, Supervisor, Tree
from actors.supervision.testing import PATIENCE, ManualClock, Probe, no_jitter

logging.getLogger("pykka").setLevel(logging.CRITICAL)  # crashes are what these tests are made of


class Worker(SupervisedActor):
    """Told an exception, raises it; told an Event, waits for it; told a callable, calls it with itself."""

    def __init__(self, parent: Parent, probe: Probe, boot: Callable[[], object] = lambda: None) -> None:
        super().__init__(parent)
        self.probe, self.boot = probe, boot
        self.name = self.path.rpartition("/")[2]

    def on_start(self) -> None:
        self.boot()
        self.probe(("start", self.name))

    def on_stop(self) -> None:
        self.probe(("stop", self.name))

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, threading.Event):
            message.wait(PATIENCE)
        elif callable(message):
            message(self)
        else:
            self.probe((self.name, message))
        return message


class World:
    """A tree under test, its clock, and a probe that hears all its workers."""

    def __init__(self) -> None:
        self.clock, self.probe, self.last_resort = ManualClock(), Probe(), Probe()
        self.registry = Registry()
        self.trees: list[Tree] = []

    def worker(self, name: str, boot: Callable[[], object] = lambda: None, **spec: Any) -> Child:
        return Child(name, lambda parent: Worker.start(parent, self.probe, boot), **spec)

    def tree(self, *children: Child, cls: type[Supervisor] = Supervisor, **rules: Any) -> Tree:
        root = Child("top", lambda parent: cls.start(parent, children, **rules), boot=PATIENCE, shutdown=PATIENCE)
        tree = Tree(
            root,
            registry=self.registry,
            clock=self.clock,
            random=no_jitter,
            last_resort=self.last_resort,
        )
        self.trees.append(tree)
        return tree

    def up(self, *children: Child, **rules: Any) -> Tree:
        """A tree that is up, with its workers' starts taken note of."""
        tree = self.tree(*children, **rules)
        tree.start()
        self.probe.expect(*(("start", child.name) for child in children))
        return tree

    def ref(self, path: str) -> Any:
        mailbox = self.registry.get(path)
        assert mailbox is not None, f"{path} is not up: {self.registry.names}"
        return mailbox

    def states(self) -> dict[str, str]:
        tree = self.registry.tree("top")
        return {} if tree is None else {child.name: child.state for child in tree.children}


def until(event: threading.Event) -> Callable[[], object]:
    """A boot, or another hook, that takes as long as the test likes."""
    return lambda: event.wait(PATIENCE)


def raises(exc: BaseException) -> Callable[[], None]:
    """A boot that fails."""

    def boot() -> None:
        raise exc

    return boot
