"""The fake gateway, and the real agent as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.fake_gateway import TOKEN, FakeGateway

ROOT = Path(__file__).parents[2]


class AgentProcess:
    """`python -m agent` with a workspace of its own."""

    def __init__(self, gateway: FakeGateway, place: Path) -> None:
        self.gateway = gateway
        self.workspace = place / "workspace"
        self.group = self.workspace / "group"
        self.spool = place / "spool"
        for name in ("group", "home", "inbox"):
            (self.workspace / name).mkdir(parents=True)
        self.process: subprocess.Popen[str] | None = None

    def start(self, slot: str = "worker", **more: str) -> AgentProcess:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.workspace / "home"),
            "PYTHONPATH": str(ROOT),
            "KLAD_RUN": f"klad-{os.getpid():x}{id(self) & 0xFFFFFF:x}",
            "KLAD_TOKEN": TOKEN,
            "KLAD_SLOT": slot,
            "KLAD_GATEWAY": self.gateway.path,
            "KLAD_WORKSPACE": str(self.workspace),
            "KLAD_SPOOL": str(self.spool),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent"], env=environment | more, cwd="/", stderr=subprocess.PIPE, text=True
        )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def status(self, key: str) -> int:
        """A number of /proc/PID/status, in kB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
        raise KeyError(key)

    def running(self, command: str) -> bool:
        """Whether a process with that command line runs on this machine."""
        wanted = command.encode().replace(b" ", b"\0") + b"\0"
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if path.read_bytes() == wanted:
                    return True
            except OSError:
                continue
        return False

    def exit(self, timeout: float = 15) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        return self.process.wait(timeout)

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def errors(self) -> str:
        assert self.process is not None
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.terminate()
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait(5)
            if self.process.stderr is not None:
                self.process.stderr.close()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    # Not tmp_path: a unix socket's path has at most 108 bytes.
    directory = tempfile.mkdtemp(prefix="klad-")
    gateway = FakeGateway(os.path.join(directory, "gateway.sock"))
    gateway.start()
    yield gateway
    gateway.model_holds.set()
    gateway.stop()
    shutil.rmtree(directory)


@pytest.fixture
def agent(gateway: FakeGateway, tmp_path: Path) -> Iterator[AgentProcess]:
    agent = AgentProcess(gateway, tmp_path)
    yield agent
    agent.close()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
