"""Which tools each slot has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.attention import Attention
from agent.client import Gateway
from agent.journal import Journal
from agent.tools import files, host
from agent.tools.base import Toolbox
from agent.tools.paths import Workspace

if TYPE_CHECKING:  # it brings subprocess, which the chat slot never needs
    from agent.tools.jobs import Jobs


def chat(workspace: Workspace, gateway: Gateway, attention: Attention) -> Toolbox:
    """Reads and talks; changes nothing."""
    return Toolbox([*files.reading(workspace), *host.tools("chat", gateway, attention.check)])


def worker(workspace: Workspace, gateway: Gateway, attention: Attention, journal: Journal, jobs: Jobs) -> Toolbox:
    from agent.tools import bash, report

    return Toolbox([
        *bash.tools(jobs, lambda tail: journal.output(tail, attention.turn)),
        *files.reading(workspace),
        *files.writing(workspace),
        report.tool(lambda data: journal.post("progress", data, attention.turn)),
        *host.tools("worker", gateway, attention.check),
    ])
