"""One run from its start, or its adoption, to its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import docker

from klad.runtime import Exited, Failed, Launch, Report, Started, calls
from klad.runtime.engine import FAULTS, Engine, is_down, status_of
from klad.runtime.gate import StartGate
from klad.runtime.specification import specification

logger = logging.getLogger(__name__)

CALL_S: Final = 60.0
"""The longest that one call may take; creating and starting wait for a loaded machine's disk."""

LOOK_AGAIN_S: Final = 300.0
"""A wait is armed anew after this, so that a connection that died unseen can't hide an end for ever."""

_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0


def tell(report: Callable[[Report], None], news: Report) -> None:
    """A listener's error is its own: the thread that reports has more to do."""
    try:
        report(news)
    except Exception:
        logger.exception("nobody could be told %r", news)


class Life:
    """One run that a runtime starts or watches; it has at most one for each run at any time.

    `report` may be replaced by an adopter; `bury` forgets this life and answers who hears its end.
    """

    def __init__(
        self,
        run: str,
        report: Callable[[Report], None],
        engine: Engine,
        gate: StartGate,
        closing: threading.Event,
        bury: Callable[[Life], Callable[[Report], None]],
    ) -> None:
        self.run = run
        self.report = report
        self.withdrawn = threading.Event()
        """Somebody wants it stopped: it need not start any more."""
        self.settled = threading.Event()
        """It is started, or certain never to be."""
        self._engine = engine
        self._gate = gate
        self._closing = closing
        self._bury = bury
        self._wait: calls.Wait | None = None

    def live(self, launch: Launch | None) -> None:
        """Blocks until the run's end was reported, or the runtime closes. None: adopted."""
        try:
            if launch is None:
                self.settled.set()
                self._watch()
            elif not self._start_and_follow(launch):
                self._watch()
        except Exception as error:
            logger.exception("the watch over %s died", self.run)
            if not self.settled.is_set():
                self._fail(f"a fault in Klåd: {error}", engine_down=False)
            else:
                self._bury(self)  # whoever adopts it next has it watched anew
        finally:
            self.settled.set()

    def cut(self) -> None:
        """Wake `live` from its wait. From any thread, after `closing` was set."""
        if self._wait is not None:
            self._wait.cut()

    def _start_and_follow(self, launch: Launch) -> bool:
        """True: all that there was to report is reported."""
        with ExitStack() as stack:
            started = self._start(stack, launch)
            if started is None:
                return True
            container, client, wait = started
            self._say(Started(self.run, container))
            self.settled.set()
            return self._follow(client, wait)

    def _start(self, stack: ExitStack, launch: Launch) -> tuple[str, docker.APIClient, calls.Wait] | None:
        """None: it could not be started, nothing of it is left, and `Failed` is reported."""
        asked, container = False, ""
        with self._gate.place(launch.slot, self._given_up) as mine:
            if not mine:
                self._fail("stopped before it was started", engine_down=False)
                return None
            try:
                client = stack.enter_context(self._engine.client(CALL_S))
                asked = True
                container = calls.create(client, self.run, specification(launch))
                wait = calls.arm(client, self.run, "next-exit")
                if self.withdrawn.is_set():
                    self._clear()
                    self._fail("stopped before it was started", engine_down=False)
                    return None
                calls.start(client, self.run)
                return container, client, wait
            except FAULTS as error:
                fault = error
        # Auto-remove doesn't take away what never ran, and a lost reply may have been a yes. A name
        # that was taken before (409) is somebody else's.
        if container or (asked and is_down(fault)):
            self._clear()
        self._fail(self._why(fault, launch), is_down(fault))
        return None

    def _follow(self, client: docker.APIClient, wait: calls.Wait) -> bool:
        """True: it ended and that is reported. False: the engine went away first, or it is time to look."""
        self._wait = wait
        if self._closing.is_set():
            return True
        try:
            code = wait.result(LOOK_AGAIN_S)
            killed = code == calls.KILLED and not self.withdrawn.is_set()
            out_of_memory = killed and calls.recall(client, self.run).out_of_memory
        except FAULTS:
            return False
        self._finish(Exited(self.run, code, out_of_memory))
        return True

    def _watch(self) -> None:
        """Look until the engine says that it ended; meanwhile the engine may come and go."""
        retry_s = _FIRST_RETRY_S
        while not self._closing.is_set():
            try:
                with self._engine.client(CALL_S) as client:
                    if self._look(client):
                        return
                    retry_s = _FIRST_RETRY_S
            except FAULTS as error:
                logger.debug("%s can't be watched now: %s", self.run, self._engine.explain(error))
            self._closing.wait(retry_s)
            retry_s = min(retry_s * 2, _LAST_RETRY_S)

    def _look(self, client: docker.APIClient) -> bool:
        state = calls.state(client, self.run)
        if state is not None and state.alive:
            try:
                # Not "next-exit": it may have ended since the look, and would have no next one.
                return self._follow(client, calls.arm(client, self.run, "not-running"))
            except FAULTS as error:
                if status_of(error) != 404:
                    raise
                state = None
        if state is None:
            ended = calls.recall(client, self.run)
        else:
            # Created and never run (its starter died), or left behind by an engine that died.
            ended = calls.Ended(state.code, state.out_of_memory)
            self._clear()
        self._finish(Exited(self.run, ended.code, ended.out_of_memory))
        return True

    def _clear(self) -> None:
        """Remove what is left. What can't be is found by the sweep later."""
        try:
            with self._engine.client() as client:
                calls.remove(client, self.run)
        except FAULTS as error:
            logger.warning("%s may be left in the engine: %s", self.run, self._engine.explain(error))

    def _why(self, error: BaseException, launch: Launch) -> str:
        if status_of(error) == 404 and "no such image" in str(error).lower():
            return f"the image {launch.image} is missing: run `klad build`"
        return str(self._engine.explain(error))

    def _given_up(self) -> bool:
        return self.withdrawn.is_set() or self._closing.is_set()

    def _fail(self, reason: str, engine_down: bool) -> None:
        self._finish(Failed(self.run, reason, engine_down))

    def _finish(self, news: Exited | Failed) -> None:
        report = self._bury(self)
        if not self._closing.is_set():
            tell(report, news)

    def _say(self, news: Started) -> None:
        if not self._closing.is_set():
            tell(self.report, news)
