"""report_progress: what the chat slot's answers and estimates come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from agent.stream import Call
from agent.tools.base import Input, Result, Tool, ToolError


def tool(post: Callable[[dict[str, Any]], None]) -> Tool:
    """`post` gets the data of a `progress` event."""

    def report_progress(call: Call, given: Input) -> Result:
        done, total = _number(given, "done"), _number(given, "total")
        post({"done": done, "total": total, "step": given["step"][:500]})
        return Result("Noted.")

    return Tool(
        "report_progress",
        "Tell how far the work is. done and total are counts of anything: steps, files, percent.",
        {"done": {"type": "number"}, "total": {"type": "number"}, "step": {"type": "string"}},
        ("step",),
        report_progress,
    )


def _number(given: Input, name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if not math.isfinite(value) or value < 0:
        raise ToolError(f"{name} is a number from 0")
    return float(value)
