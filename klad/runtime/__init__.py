"""What starts containers. `Runtime` is the seam; `docker` is the real one.

Nothing here blocks its caller: each operation runs on the runtime's own threads and reports
through the callback it was given, which may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from klad.words import Slot


@dataclass(frozen=True, slots=True)
class Mount:
    """One bind mount (Engine API `HostConfig.Mounts`). `source` exists and was resolved."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Launch:
    """All that distinguishes one container from another; `specification` makes the rest of it."""

    run: str
    tenant: str
    install: str
    chat: str
    slot: Slot
    image: str
    mounts: tuple[Mount, ...]
    env: tuple[tuple[str, str], ...]
    user: str
    """`uid:gid`."""
    memory_bytes: int
    cpus: float
    pids: int
    runtime: str = ""
    """The engine's runtime (`CONTAINER_RUNTIME`); empty: its default."""


@dataclass(frozen=True, slots=True)
class Started:
    run: str
    container: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The container could not be started; nothing of it is left."""

    run: str
    reason: str
    """One line for a person."""
    engine_down: bool
    """True: the engine did not answer; trying again later may help."""


@dataclass(frozen=True, slots=True)
class Exited:
    run: str
    code: int | None
    """None: unknown (the engine went away, or the container was gone when we looked)."""
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    run: str
    seconds: float
    verified: bool
    """The engine was asked afterwards and has no such container."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A container with our labels, in whatever state."""

    run: str
    chat: str
    slot: str
    running: bool


@dataclass(frozen=True, slots=True)
class EngineUp:
    """The engine answers (again); containers may have changed unseen."""


@dataclass(frozen=True, slots=True)
class EngineDown:
    reason: str


Report = Started | Failed | Exited | Stopped


class Runtime(Protocol):
    def check(self) -> None:
        """Raise `EngineError` (one line: not running / permission denied / …) unless the engine answers."""

    def start(self, launch: Launch, report: Callable[[Report], None]) -> None:
        """Create and start; report `Started` then, at its end, `Exited`; or `Failed` alone."""

    def adopt(self, run: str, report: Callable[[Report], None]) -> None:
        """Watch a run started by an earlier process; report `Exited` when it ends or if it is gone.

        While the engine does not answer, nothing is reported: the caller adopts again on `EngineUp`.
        """

    def stop(self, run: str, grace_s: float, report: Callable[[Report], None]) -> None:
        """SIGTERM, after `grace_s` SIGKILL, remove; then ask the engine and report `Stopped`."""

    def find(self, install: str, tenant: str) -> list[Found]:
        """Blocking. Every container of this tenant, in any state. Raises `EngineError`."""

    def remove(self, run: str) -> None:
        """Blocking. Kill and remove, if there. Raises `EngineError`."""

    def watch(self, report: Callable[[EngineUp | EngineDown], None]) -> None:
        """Report the engine's health now and at each change, from a thread of its own."""

    def close(self) -> None:
        """End the runtime's threads. Containers are left alone."""
