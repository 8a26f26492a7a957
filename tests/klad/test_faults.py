"""The fault hook of tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from klad import faults

SCRIPT = "from klad import faults; faults.point('a'); print('passed', flush=True)"


def arm(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setattr(faults, "_SETTING", setting)
    monkeypatch.setattr(faults, "_left", faults._parse(setting))


def raises(name: str) -> bool:
    try:
        faults.point(name)
    except faults.Fault:
        return True
    return False


def test_nothing_is_armed_unless_set() -> None:
    assert not faults.armed()
    faults.point("anything")


def test_a_point_fails_as_often_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "a:raise:2,b:raise:1")
    assert faults.armed()
    assert [raises("a") for _ in range(4)] == [True, True, False, False]
    assert [raises("b") for _ in range(2)] == [True, False]
    assert not raises("c")


@pytest.mark.parametrize(
    "setting", ["a", "a:raise", "a:raise:", "a:raise:x", "a:raise:0", "a:raise:-1", "a:raise:²", ",,:"]
)
def test_what_is_no_fault_arms_nothing(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    arm(monkeypatch, setting)
    assert not raises("a")


def test_a_file_can_be_armed_while_the_program_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "faults"
    arm(monkeypatch, f"@{path}")
    assert not raises("a")
    path.write_text("a:raise:2\nb:raise:1\n")
    assert [raises("a"), raises("a"), raises("a")] == [True, True, False]
    assert path.read_text() == "b:raise:1"
    path.write_text("a:raise:1")
    assert raises("a")


def test_a_delay_is_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", slept.append)
    arm(monkeypatch, "a:delay:1")
    faults.point("a")
    assert slept == [1]


def test_a_kill_ends_the_process_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={"KLAD_FAULTS": "a:kill:1"}, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b""
