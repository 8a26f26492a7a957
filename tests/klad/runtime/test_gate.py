from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from klad.runtime.gate import StartGate
from klad.words import Slot


class Waiter:
    """A thread that goes through the gate, notes its name, and goes on when it is let."""

    def __init__(self, gate: StartGate, name: str, slot: Slot, through: list[str]) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.given_up = threading.Event()
        self.entered: bool | None = None

        def body() -> None:
            with gate.place(slot, self.given_up.is_set) as self.entered:
                if self.entered:
                    through.append(name)
                    self.inside.set()
                    self.leave.wait(10)

        before = len(gate._queue)
        self.thread = threading.Thread(target=body)
        self.thread.start()
        while len(gate._queue) == before and not self.inside.is_set():
            pass  # until it stands in the queue, or is through

    def done(self) -> None:
        self.leave.set()
        self.thread.join(10)


def test_chat_goes_before_workers_that_came_first() -> None:
    gate, through = StartGate(1), []
    first = Waiter(gate, "first", "worker", through)
    assert first.inside.wait(10)
    rest = [Waiter(gate, name, slot, through) for name, slot in _waiting]
    for waiter in (first, *rest):
        waiter.leave.set()
    for waiter in (first, *rest):
        waiter.done()

    assert through == ["first", "chat 1", "chat 2", "worker 1", "worker 2"]


_waiting: list[tuple[str, Slot]] = [
    ("worker 1", "worker"),
    ("chat 1", "chat"),
    ("worker 2", "worker"),
    ("chat 2", "chat"),
]


def test_no_more_than_its_places_are_inside() -> None:
    gate, through = StartGate(2), []
    waiters = [Waiter(gate, str(n), "chat", through) for n in range(2)]
    assert all(waiter.inside.wait(10) for waiter in waiters)
    third = Waiter(gate, "third", "chat", through)

    assert not third.inside.is_set()
    waiters[0].done()
    assert third.inside.wait(10)
    for waiter in (*waiters, third):
        waiter.done()


def test_who_gives_up_leaves_the_queue_to_the_next() -> None:
    gate, through = StartGate(1), []
    first = Waiter(gate, "first", "chat", through)
    second = Waiter(gate, "second", "chat", through)
    third = Waiter(gate, "third", "worker", through)

    second.given_up.set()
    gate.look()
    second.thread.join(10)
    assert second.entered is False
    first.done()
    assert third.inside.wait(10)
    third.done()
    assert through == ["first", "third"]


def test_a_place_is_given_back_when_a_start_fails() -> None:
    gate = StartGate(1)
    with pytest.raises(RuntimeError), gate.place("chat", lambda: False):
        raise RuntimeError("the engine said no")

    with ExitStack() as stack:
        assert stack.enter_context(gate.place("chat", lambda: False))


def test_a_gate_without_places_is_refused() -> None:
    with pytest.raises(ValueError):
        StartGate(0)
