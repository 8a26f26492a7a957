"""Faults on order, for tests of clients: this server, only unreliable in the way that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from klad.botapi.errors import ApiError
from klad.botapi.params import Params

Wanted = str | Callable[[str, Params], bool]
"""A method's name as the documentation spells it, or a predicate over (method, parameters)."""


@dataclass(slots=True)
class Fault:
    """What befalls `times` matching requests; after that it is used up."""

    wanted: Wanted
    error: ApiError | None = None
    """Answered in place of handling it."""
    delay: float = 0.0
    """Seconds before it is handled."""
    cut: bool = False
    """Handle it, then close the connection without an answer: the client can't know."""
    times: int = 1

    def matches(self, method: str, params: Params) -> bool:
        if isinstance(self.wanted, str):
            return self.wanted.lower() == method.lower()
        return self.wanted(method, params)


class Faults:
    """In the order of adding; the first that matches is taken."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._queue.append(fault)

    def clear(self) -> None:
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._queue)

    def take(self, method: str, params: Params) -> Fault | None:
        for fault in self._queue:
            if fault.matches(method, params):
                fault.times -= 1
                if fault.times <= 0:
                    self._queue.remove(fault)
                return fault
        return None
