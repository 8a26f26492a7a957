"""bash, bash_wait, bash_kill: commands that yield to steering."""

from __future__ import annotations

from collections.abc import Callable

from agent.stream import Call
from agent.tools.base import Input, Result, Tool, ToolError
from agent.tools.jobs import Job, Jobs

TIMEOUT_S = 600.0
LONGEST_S = 3600.0


def tools(jobs: Jobs, show: Callable[[str], None]) -> list[Tool]:
    """`show` is told a waited-for command's last lines while it runs."""

    def bash(call: Call, given: Input) -> Result:
        timeout = _seconds(given)
        return wait(jobs.start(given["command"]), timeout)

    def bash_wait(call: Call, given: Input) -> Result:
        return wait(jobs.get(given["job"]), _seconds(given))

    def bash_kill(call: Call, given: Input) -> Result:
        job = jobs.get(given["job"])
        jobs.kill(job)
        if job.exit is None:
            raise ToolError(f"job {job.number} does not end, even by SIGKILL")
        return Result(result(job))

    def wait(job: Job, timeout: float) -> Result:
        why = jobs.wait(job, timeout, show)
        if why == "ended":
            return Result(result(job), error=job.exit != 0)
        hint = "It was put in the background because the user has something to say"
        if why == "late":
            hint = f"It was put in the background after {timeout:g} s"
        return Result(
            f"[still running: job {job.number}]\n{job.text()}\n[{hint}; bash_wait waits on, bash_kill ends it.]"
        )

    seconds = {"type": "number", "description": f"Longest wait in seconds; default {TIMEOUT_S:g}."}
    number = {"type": "integer", "description": "The job's number."}
    return [
        Tool(
            "bash",
            "Run a shell command in the workspace; stdout and stderr come back together, and the exit code if "
            "it is not 0. Of a long output, head and tail. A command that takes longer than timeout_s, or "
            "during which the user says something, goes on in the background as a job.",
            {"command": {"type": "string"}, "timeout_s": seconds},
            ("command",),
            bash,
        ),
        Tool(
            "bash_wait",
            "Go on waiting for a command in the background.",
            {"job": number, "timeout_s": seconds},
            ("job",),
            bash_wait,
        ),
        Tool("bash_kill", "End a command in the background.", {"job": number}, ("job",), bash_kill),
    ]


KILLED = 128 + 9


def result(job: Job) -> str:
    """The words about a job that has ended."""
    text = job.text().strip("\n")
    if job.exit == 0:
        return text or "(no output)"
    if job.exit == KILLED:
        text += "\n(killed by SIGKILL: if nobody did that, memory ran out)"
    return f"{text}\n[exit {job.exit}]".lstrip("\n")


def _seconds(given: Input) -> float:
    seconds = float(given.get("timeout_s", TIMEOUT_S))
    if not 0 < seconds <= LONGEST_S:
        raise ToolError(f"timeout_s is more than 0 and at most {LONGEST_S:g}")
    return seconds
