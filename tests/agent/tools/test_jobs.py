"""Commands and their bounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attention import Attention
from agent.tools import jobs as module
from agent.tools.base import ToolError
from agent.tools.jobs import Jobs


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(str(tmp_path), str(tmp_path), f"test-{tmp_path}", Attention())
    yield jobs
    jobs.kill_all(close=True)


def run(jobs: Jobs, command: str) -> tuple[int | None, str]:
    job = jobs.start(command)
    assert jobs.wait(job, 10, lambda tail: None) == "ended"
    return job.exit, job.text()


def test_a_command_that_dies_of_a_signal_ends_as_a_shell_would_say(jobs: Jobs) -> None:
    assert run(jobs, "kill -9 $$")[0] == 137


def test_a_command_has_no_terminal_and_no_input(jobs: Jobs) -> None:
    assert run(jobs, "cat; [ -t 0 ] || echo none") == (0, "none\n")


def test_small_outputs_leave_no_file_and_old_jobs_are_forgotten(jobs: Jobs, tmp_path: Path) -> None:
    for _ in range(module.REMEMBERED + 5):
        run(jobs, ":")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ToolError, match="no job 1;"):
        jobs.get(1)


def test_more_commands_than_may_run_and_those_that_cannot_be_started_are_refused(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUNNING", 1)
    with pytest.raises(ToolError, match="can't be started"):
        jobs.start("echo " + "x" * 3_000_000)
    with pytest.raises(ToolError, match="can't be started"):
        jobs.start("a\0b")
    jobs.start("sleep 60")
    with pytest.raises(ToolError, match="running already"):
        jobs.start("echo")


def test_a_command_that_ignores_sigterm_is_killed(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TERM_S", 0.2)
    os.mkfifo(tmp_path / "ready")
    job = jobs.start("trap '' TERM; echo > ready; while :; do sleep 0.05; done")
    (tmp_path / "ready").read_text()
    jobs.kill(job)
    assert job.exit == 137


def test_after_the_end_nothing_starts(jobs: Jobs) -> None:
    jobs.kill_all(close=True)
    with pytest.raises(ToolError, match="stopping"):
        jobs.start("echo")


def test_commands_see_nothing_of_klads_environment(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLAD_GATEWAY", "x")
    monkeypatch.setenv("TZ", "UTC")
    assert run(jobs, "env | grep -e ^KLAD -e ^TZ | cut -d= -f1 | sort")[1] == "KLAD_JOB\nTZ\n"
