"""Commands that run: each in a session of its own, in the background of whoever waits for it.

A job outlives the call that started it (steering, a time-out) and ends by itself, by `kill`, or with the
agent. What left its process group (`setsid`) is found by a mark in its environment; what hides even from
that dies with the container.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Literal

from agent.attention import Attention
from agent.tools.base import ToolError
from agent.tools.output import Output

FILE = 16 << 20
"""Bytes of output kept in a file, for one job."""
RUNNING = 32
"""Jobs at the same time."""
FIRST_SHOWN_S = 0.2
"""The first lines are shown soon, so that a question right after the start finds them."""
REMEMBERED = 16
"""Ended jobs whose output can still be asked for."""
DRAIN_S = 0.25
"""How long after its shell a job's pipe is read on: a daemon that it left behind may hold it open for ever."""
GRACE_S = 0.5
"""What a command still gets to end by itself when steering is there."""
TERM_S = 1.0
"""Between SIGTERM and SIGKILL."""

MARK = "KLAD_JOB"

Waited = Literal["ended", "steered", "late"]


class Job:
    def __init__(self, number: int, process: subprocess.Popen[bytes], path: str) -> None:
        self.number = number
        self.process = process
        self.output = Output()
        self.exit: int | None = None
        """As a shell says it: 128 + N for signal N."""
        self.path = path
        self.shown = 0
        """Bytes of output that had come when it was last shown."""

    def text(self) -> str:
        return self.output.text(f"{self.path} (its first {FILE >> 20} MiB)" if os.path.exists(self.path) else "")


class Jobs:
    def __init__(self, cwd: str, directory: str, mark: str, attention: Attention) -> None:
        self._cwd = cwd
        self._directory = directory
        self._mark = mark
        self._attention = attention
        self._bell = attention.bell
        self._jobs: dict[int, Job] = {}
        self._count = 0
        self._closed = False
        self._lock = threading.Lock()

    def start(self, command: str) -> Job:
        """Run a shell command. Raises ToolError."""
        with self._lock:
            if self._closed:
                raise ToolError("the agent is stopping")
            self._forget()
            if sum(job.exit is None for job in self._jobs.values()) >= RUNNING:
                raise ToolError(f"{RUNNING} commands are running already; bash_kill some")
            shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
            try:
                process = subprocess.Popen(
                    [shell, "-c", command],
                    cwd=self._cwd,
                    env=environment(os.environ) | {MARK: self._mark},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise ToolError(f"the command can't be started: {error}") from error
            self._count += 1
            job = Job(self._count, process, os.path.join(self._directory, f"job-{self._count}.out"))
            self._jobs[job.number] = job
        reader = threading.Thread(target=self._read, args=(job,), name=f"read-{job.number}", daemon=True)
        reader.start()
        threading.Thread(
            target=self._reap, args=(job, reader), name=f"reap-{job.number}", daemon=True
        ).start()
        return job

    def get(self, number: int) -> Job:
        """Raises ToolError."""
        job = self._jobs.get(number)
        if job is None:
            raise ToolError(f"there is no job {number}; there are {', '.join(map(str, self._jobs)) or 'none'}")
        return job

    def wait(self, job: Job, timeout: float, show: Callable[[str], None]) -> Waited:
        """Wait until the job ends, steering comes, or `timeout` s pass; `show` gets its last lines, at most
        each second and if they changed. Raises Cancelled.
        """
        until = time.monotonic() + timeout
        show_at = time.monotonic() + FIRST_SHOWN_S
        with self._bell:
            while True:
                self._attention.check()
                now = time.monotonic()
                if job.exit is not None:
                    return "ended"
                if self._attention.steered:
                    self._bell.wait_for(lambda: job.exit is not None or self._attention.cancelled, GRACE_S)
                    self._attention.check()
                    return "ended" if job.exit is not None else "steered"
                if now >= until:
                    return "late"
                if now >= show_at:
                    show_at = now + 1.0
                    if job.output.total != job.shown:
                        job.shown = job.output.total
                        show(job.output.last(2000))
                self._bell.wait(max(min(show_at, until) - now, 0.01))

    def kill(self, job: Job) -> None:
        """SIGTERM to the job's process group, and SIGKILL to what is left of it after TERM_S."""
        _signal(job, signal.SIGTERM)
        with self._bell:
            self._bell.wait_for(lambda: job.exit is not None, TERM_S)
        _signal(job, signal.SIGKILL)
        with self._bell:
            self._bell.wait_for(lambda: job.exit is not None, TERM_S)

    def kill_all(self, *, close: bool = False) -> None:
        """Everything that commands have started, at once; with `close`, none starts any more."""
        with self._lock:
            self._closed = self._closed or close
            jobs = list(self._jobs.values())
        for job in jobs:
            _signal(job, signal.SIGKILL)
        for _ in range(5):
            strays = marked(self._mark)
            for pid in strays:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    continue
            if not strays:
                break
        with self._bell:
            self._bell.wait_for(lambda: all(job.exit is not None for job in jobs), TERM_S / 2)

    def clear(self) -> None:
        """Remove the files of outputs."""
        for number in range(1, self._count + 1):
            _remove(os.path.join(self._directory, f"job-{number}.out"))

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.exit is not None]
        for job in ended[:-REMEMBERED]:
            del self._jobs[job.number]
            _remove(job.path)

    def _read(self, job: Job) -> None:
        assert job.process.stdout is not None
        pipe = job.process.stdout.fileno()
        try:
            file = os.open(job.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            file = -1
        try:
            while chunk := os.read(pipe, 65536):
                room = FILE - job.output.total
                if file >= 0 and room > 0:
                    try:
                        os.write(file, chunk[:room])
                    except OSError:  # a full disk: the command goes on, and so does what is shown
                        os.close(file)
                        file = -1
                job.output.add(chunk)
        finally:
            job.process.stdout.close()
            if file >= 0:
                os.close(file)
            if job.output.complete:
                _remove(job.path)

    def _reap(self, job: Job, reader: threading.Thread) -> None:
        code = job.process.wait()
        reader.join(DRAIN_S)
        with self._bell:
            job.exit = code if code >= 0 else 128 - code
            self._bell.notify_all()


def environment(own: os._Environ[str]) -> dict[str, str]:
    """What a command gets to see of our environment: nothing of Klåd's."""
    return {name: value for name, value in own.items() if not name.startswith("KLAD_")}


def marked(mark: str) -> list[int]:
    """Processes that were started with that mark in their environment (Linux; elsewhere none are found)."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read(1 << 20).split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


def _signal(job: Job, number: int) -> None:
    try:
        os.killpg(job.process.pid, number)
    except OSError:
        return


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
