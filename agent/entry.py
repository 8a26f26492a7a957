"""The process: from its environment to its exit code.

One process, not a supervisor and a child: a second interpreter costs 8 MB and 12 ms before every answer.
So the agent itself posts `crash` for whatever Python can catch, on any thread. What it can't catch (a fatal
signal, the kernel's OOM killer) the host learns from the engine's `die` and `oom` events; faulthandler
leaves the stack in the stderr file for those who can still look.

Exit codes: 0 the run is over (410); 1 crashed; 2 bad environment; 75 gateway lost; 78 mounts are not those
that were checked (409); 143 SIGTERM.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from agent.attention import Attention
from agent.client import PROTOCOL, Gateway
from agent.errors import EndOfRun, Mismatch, Refused, Stopped
from agent.journal import Journal
from agent.setup import Setup, SetupError, mounts, own_directory, take, wipe
from agent.spool import Spool
from agent.stderr import Stderr

if TYPE_CHECKING:
    from agent.harness import Harness
    from agent.session import Session
    from agent.tools.jobs import Jobs

FLUSH_S = 1.0
"""What unsent events get when the agent is told to stop."""
CRASH_FLUSH_S = 5.0


def main() -> NoReturn:
    try:
        setup = take(os.environ)
        wipe("KLAD_TOKEN")
        own_directory(setup.spool)
        stderr = Stderr(os.path.join(setup.spool, "stderr"))
    except (SetupError, OSError) as error:
        print(f"klad agent: {error}", file=sys.stderr)
        sys.exit(2)
    faulthandler.enable()
    Agent(setup, stderr).run()


class Agent:
    def __init__(self, setup: Setup, stderr: Stderr) -> None:
        self._setup = setup
        self._stderr = stderr
        self._gateway = Gateway(setup.gateway, setup.token, lost_s=setup.lost_s)
        self._attention = Attention()
        self._attention.interrupt = self._gateway.interrupt
        spool = Spool(os.path.join(setup.spool, "events"))
        self._journal = Journal(spool, self._gateway.sibling(), self._end)
        self._jobs: Jobs | None = None
        self._leaving = threading.Lock()

    def run(self) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminate)
        threading.excepthook = self._thread_crashed
        try:
            self._serve()
        except EndOfRun as end:
            self._end(end)
        except Stopped:
            _park()
        except BaseException:  # noqa: BLE001 (told to the host, and then the process ends)
            self._crash()

    def _serve(self) -> NoReturn:
        try:
            hello = {"protocol": int(PROTOCOL), "mounts": mounts(self._setup)}
            self._gateway.call("POST", "/agent/hello", hello)
        except Refused as refusal:
            if refusal.status == 409:
                raise Mismatch(str(refusal)) from refusal
            raise
        # Imported while the first turn is waited for: a pre-started agent has them when it comes.
        threading.Thread(target=self._warm, name="warm", daemon=True).start()
        from agent.turns import serve

        serve(self._gateway, self._journal, self._attention, self._start, self._cleanup, self._left)

    def _left(self) -> int:
        """Processes that commands have left running."""
        if self._setup.slot != "worker":
            return 0
        from agent.tools.jobs import marked

        return len(marked(self._setup.run))

    def _warm(self) -> None:
        import agent.loop
        import agent.tools.slots

        if self._setup.slot == "worker":
            import agent.tools.bash
            import agent.tools.report  # noqa: F401

    def _start(self) -> tuple[Harness, Session]:
        from agent.loop import SmallLoop
        from agent.model import Messages
        from agent.session import Session
        from agent.signals import Signals
        from agent.tools import slots
        from agent.tools.paths import Workspace

        setup, gateway, attention = self._setup, self._gateway, self._attention
        Signals(gateway.sibling(), attention, self._end).start()
        workspace = Workspace(setup.workspace)
        if setup.slot == "chat":
            toolbox = slots.chat(workspace, gateway, attention)
        else:
            from agent.tools.jobs import Jobs

            self._jobs = Jobs(setup.group, setup.spool, setup.run, attention)
            toolbox = slots.worker(workspace, gateway, attention, self._journal, self._jobs)
        harness = SmallLoop(Messages(gateway, attention), setup.workspace)
        return harness, Session(self._journal, attention, toolbox)

    def _cleanup(self) -> None:
        if self._jobs is not None:
            self._jobs.kill_all()
        self._stderr.trim()

    def _terminate(self, number: int, frame: object) -> None:
        # On the main thread, between any two of its instructions: it may hold every lock, so leave on another.
        threading.Thread(target=self._leave, args=(128 + signal.SIGTERM, FLUSH_S), name="leave").start()

    def _end(self, end: EndOfRun) -> NoReturn:
        """The run is over, whichever thread has learned it."""
        if end.code:
            print(f"klad agent: {end}", file=sys.stderr)
            self._stderr.replay()
        self._leave(end.code, 0.0)

    def _crash(self) -> NoReturn:
        """Called while an exception is handled that nobody expected."""
        import traceback

        traceback.print_exc()
        self._tell_crash()

    def _thread_crashed(self, arguments: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(arguments)
        self._tell_crash()

    def _tell_crash(self) -> NoReturn:
        self._stderr.replay()
        self._journal.post("crash", {"stderr": self._stderr.tail()}, self._attention.turn)
        self._leave(1, CRASH_FLUSH_S)

    def _leave(self, code: int, flush_s: float) -> NoReturn:
        """End what commands have started, give the journal a moment, and go. The first caller's code counts."""
        if not self._leaving.acquire(blocking=False):
            _park()
        try:
            self._gateway.stop()
            if self._jobs is not None:
                self._jobs.kill_all(close=True)
                self._jobs.clear()
            if flush_s:
                self._journal.flush(flush_s)
            if code == 0:
                _remove(self._setup.spool)
        finally:
            os._exit(code)  # threads wait in reads that nothing else would end


def _park() -> NoReturn:
    """Wait for the thread that ends the process."""
    while True:
        threading.Event().wait()


def _remove(directory: str) -> None:
    try:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    except OSError:
        return
