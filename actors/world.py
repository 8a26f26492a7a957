"""What every actor of a tenant is given: the library's parts, opened once by the entry. No state of its own."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from klad.aio import LoopThread
from klad.botapi import BotApi
from klad.errors import KladError
from klad.ledger import Ledger
from klad.redact import Redactor
from klad.runtime import Mount, Runtime
from klad.runtime.image import Images
from klad.settings import Settings
from klad.tenants import Tenant
from klad.workspace import Identity

STEP_S = 15.0
"""How long an actor waits for a step of the ledger: longer than SQLite's own busy_timeout."""


class Health:
    """One word for each thing that a tenant depends on, for /healthz and /status. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words = {"telegram": "starting", "engine": "starting"}

    def set(self, what: str, word: str) -> None:
        with self._lock:
            self._words[what] = word

    def get(self) -> dict[str, str]:
        with self._lock:
            return dict(self._words)


class Ending:
    """Why the process is to end. Any thread may ask for it; the main thread waits.

    It waits on a pipe that a signal writes to as well (`signal.set_wakeup_fd(ending.pipe)`). A main thread
    that waits on a lock alone was seen to sleep through a SIGTERM once (CPython 3.11): a handler runs only
    when the main thread runs again, and presumably nothing made it.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.reason: KladError | None = None
        self._read, self.pipe = os.pipe()
        for end in (self._read, self.pipe):
            os.set_blocking(end, False)

    def wait(self) -> None:
        """Return when somebody has asked. For the main thread, whose signal handlers run in here."""
        while not self.asked.is_set():
            select.select([self._read], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 4096)

    def ask(self, reason: KladError | None = None) -> None:
        """End in order, with the exit code of `reason` (0 without). The first one counts."""
        if not self.asked.is_set():
            self.reason = reason
            self.asked.set()
            with contextlib.suppress(OSError):  # full: it wakes all the same; closed: it has ended
                os.write(self.pipe, b"!")


@dataclass(frozen=True)
class World:
    tenant: Tenant
    settings: Settings
    install: str
    ledger: Ledger
    runtime: Runtime
    images: Images
    ensure_images: Callable[[], object]
    """Build them if they are missing. Blocks; raises `EngineError`."""
    loop: LoopThread
    """The one loop of the gateway, the embedded Bot API and the web."""
    redact: Redactor
    identity: Identity
    source: Path
    """Where klad/, actors/ and agent/ are, for the worker to read."""
    extra: Callable[[], tuple[Mount, ...]]
    """The allow-listed mounts, read anew for each container."""
    botapi: BotApi | None
    """The embedded Bot API; None with a token of Telegram's."""
    token: str
    """The bot token in use: Telegram's, or the embedded server's own."""
    api_url: str
    owners: frozenset[int]
    """Who may speak: ALLOWED_USERS, and the web chat's bearer where there is one."""
    ending: Ending
    health: Health = field(default_factory=Health)
    watching: threading.Event = field(default_factory=threading.Event)
    """Set once the runtime reports the engine's health; it does so for as long as the process lives."""
