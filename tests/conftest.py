"""What holds for every test: which need an engine, and that nothing is left at the end."""

from __future__ import annotations

import functools
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = os.environ.get("KLAD_REQUIRE", "").split(",")


@functools.cache
def engine_missing() -> str:
    """Why there is no engine to test with; empty when there is one."""
    from klad.errors import EngineError
    from klad.runtime.docker import DockerRuntime

    runtime = DockerRuntime()
    try:
        runtime.check()
    except EngineError as error:
        return str(error)
    finally:
        runtime.close()
    return ""


_passed_over: list[str] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") is None or not engine_missing():
        return
    if "engine" in REQUIRED:
        pytest.fail(f"KLAD_REQUIRE=engine, and there is none: {engine_missing()}", pytrace=False)
    _passed_over.append(item.nodeid)
    pytest.skip("needs a container engine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _passed_over:
        terminalreporter.write_line(
            f"{len(_passed_over)} tests need a container engine and were passed over: {engine_missing()}", yellow=True
        )


def _containers() -> set[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", "label=klad.install"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return set(listed.stdout.split())


def _children() -> set[str]:
    """Our child processes, but for those that Python's own helpers keep (resource trackers)."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if command and "multiprocessing" not in command:
                found.add(f"{pid} {command.strip()[:120]}")
    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Containers, child processes and threads that tests left behind fail the session."""
    engine = not os.environ.get("KLAD_NO_ENGINE") and not engine_missing()
    before = _containers() if engine else set()
    yield
    left = [f"container {name}" for name in (_containers() - before if engine else ())]
    left += [f"process {name}" for name in _children()]
    left += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    assert not left, f"tests left behind: {left}"
