"""Runs as containers of a Docker engine: `docker run --rm`, adopted by whoever comes after.

One thread and one client for each run, from its start to its end. The wait for its end is armed
before it is started: a container that ends at once is gone (auto-remove) before anyone could ask.
The engine may go away at any time; a run's thread then looks again until it answers, and only what
the engine itself says counts as an end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from klad.errors import EngineError
from klad.runtime import (
    EngineDown,
    EngineUp,
    Found,
    Launch,
    Report,
    Stopped,
    calls,
    labels,
)
from klad.runtime.engine import FAULTS, Engine
from klad.runtime.gate import StartGate
from klad.runtime.health import Health
from klad.runtime.life import CALL_S, Life, tell

logger = logging.getLogger(__name__)

GONE_S = 10.0
"""How long the engine may take to remove a container before it counts as not removed."""


class DockerRuntime:
    """Implements `klad.runtime.Runtime`.

    `base_url`: the engine's address; None as `docker` itself finds it (`DOCKER_HOST`, the current
    context, the default socket). `max_starts`: how many containers may be starting at once.
    """

    def __init__(self, base_url: str | None = None, max_starts: int | None = None) -> None:
        self.engine = Engine(base_url)
        self._gate = StartGate(max_starts or max(2, os.cpu_count() or 1))
        self._lock = threading.Lock()
        self._lives: dict[str, Life] = {}
        self._healths: list[Health] = []
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()

    def check(self) -> None:
        """Blocking (10 s at most). Raises `EngineError`."""
        self.engine.check()

    def start(self, launch: Launch, report: Callable[[Report], None]) -> None:
        """Create and start; report `Started` then, at its end, `Exited`; or `Failed` alone.

        A run that is already being started or watched here is not started twice; `report` then gets
        what is still to come of it.
        """
        self._live(launch.run, report, launch)

    def adopt(self, run: str, report: Callable[[Report], None]) -> None:
        """Report `Exited` when the run ends, or if it has.

        If this runtime still watches the run, `report` takes the place of the earlier callback and
        gets what is still to come (a `Started` too, if it is just being started); each end is
        reported once. The code of a run that is gone is what the engine remembers of it, else None.
        While the engine does not answer nothing is reported, and watching goes on by itself when it does.
        """
        self._live(run, report, None)

    def stop(self, run: str, grace_s: float, report: Callable[[Report], None]) -> None:
        """SIGTERM, after `grace_s` SIGKILL, remove; then ask the engine and report `Stopped`.

        A start that is still under way is withdrawn (its starter gets `Failed`) or seen through first.
        """
        self._thread(f"stop {run}", lambda: self._stop(run, grace_s, report))

    def find(self, install: str, tenant: str) -> list[Found]:
        """Blocking. Every container of this tenant, in any state. Raises `EngineError`."""
        try:
            with self.engine.client() as client:
                listed = client.containers(all=True, filters=labels.filters(install, tenant))
        except FAULTS as error:
            raise self.engine.explain(error) from error
        looked = (labels.found(one, install, tenant) for one in listed)
        return [one for one in looked if one is not None]

    def remove(self, run: str) -> None:
        """Blocking. Kill and remove, if there. Raises `EngineError`."""
        try:
            with self.engine.client() as client:
                gone = calls.end(client, run, 0, GONE_S)
        except FAULTS as error:
            raise self.engine.explain(error) from error
        if not gone:
            raise EngineError(f"the engine could not remove the container {run}")

    def watch(self, report: Callable[[EngineUp | EngineDown], None]) -> None:
        """Report the engine's health now and at each change, from a thread of its own.

        An engine that was away only for a moment is reported down and up all the same: containers
        may have changed unseen.
        """
        health = Health(self.engine, report)
        with self._lock:
            self._healths.append(health)
        self._thread("engine health", health.run)

    def close(self) -> None:
        """End the runtime's threads (5 s at most). Containers are left alone, nothing more is reported."""
        self._closing.set()
        self._gate.look()
        with self._lock:
            healths, lives, threads = list(self._healths), list(self._lives.values()), list(self._threads)
        for health in healths:
            health.close()
        for life in lives:
            life.cut()
        until = time.monotonic() + 5
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _live(self, run: str, report: Callable[[Report], None], launch: Launch | None) -> None:
        with self._lock:
            known = self._lives.get(run)
            if known is not None:
                known.report = report
                return
            life = self._lives[run] = Life(run, report, self.engine, self._gate, self._closing, self._bury)
        self._thread(f"run {run}", lambda: life.live(launch))

    def _bury(self, life: Life) -> Callable[[Report], None]:
        """Forget `life` and say who hears its end, in one step: who adopts later looks for itself."""
        with self._lock:
            if self._lives.get(life.run) is life:
                del self._lives[life.run]
            return life.report

    def _stop(self, run: str, grace_s: float, report: Callable[[Report], None]) -> None:
        begun = time.monotonic()
        with self._lock:
            life = self._lives.get(run)
        if life is not None:
            life.withdrawn.set()
            self._gate.look()
            if not life.settled.wait(2 * CALL_S):
                # To the engine it is not there yet; "gone" would be true now, and false in a moment.
                waited = time.monotonic() - begun
                tell(report, Stopped(run, waited, verified=False, error=f"{run} is still being started"))
                return
        error = ""
        try:
            with self.engine.client() as client:
                verified = calls.end(client, run, grace_s, GONE_S)
            if not verified:
                error = f"the engine still has the container {run}"
        except FAULTS as fault:
            verified, error = False, str(self.engine.explain(fault))
        except Exception as fault:
            logger.exception("stopping %s", run)
            verified, error = False, f"a fault in Klåd: {fault}"
        tell(report, Stopped(run, time.monotonic() - begun, verified, error))

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        def body() -> None:
            try:
                work()
            except Exception:
                logger.exception("the thread %r died", name)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        # Daemons: a hung engine must not keep the process from ending.
        thread = threading.Thread(target=body, name=name, daemon=True)
        with self._lock:
            if self._closing.is_set():
                return
            self._threads.add(thread)
        thread.start()
