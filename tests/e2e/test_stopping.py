"""A stop stops, however often: in order, with exit code 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import Program, remove_containers

pytestmark = pytest.mark.timeout(300)

SLEEPER = """
import os, signal, sys, threading
from klad.cli.serve import signals

with signals() as ending:
    threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
    ending.wait()
print("woken")
"""


@pytest.mark.engine
def test_each_of_many_stops_ends_the_program_in_order(tmp_path: Path) -> None:
    program = Program(tmp_path)
    try:
        for number in (signal.SIGTERM, signal.SIGINT) * 3:
            program.start()
            os.kill(program.pid, number)
            assert program.process is not None
            assert program.process.wait(60) == 0
            program.stop()
    finally:
        if program.process is not None and program.process.poll() is None:
            program.kill()
        remove_containers(tmp_path)


def test_a_signal_wakes_the_main_thread_whenever_it_comes() -> None:
    """It is sent from another thread, so that it falls before, into and after the beginning of the wait."""
    for _ in range(10):
        done = subprocess.run([sys.executable, "-c", SLEEPER], capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout == "woken\n"
