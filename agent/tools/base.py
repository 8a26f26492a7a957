"""A tool, its result, and the box of them: the one place where a call meets its function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from agent.errors import AgentError
from agent.stream import Call

Input = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Result(NamedTuple):
    text: str
    error: bool = False


class ToolError(Exception):
    """The call can't be carried out; `str()` tells the model why."""


class Tool(NamedTuple):
    name: str
    description: str
    properties: dict[str, Any]
    """JSON Schema of each key."""
    required: tuple[str, ...]
    run: Callable[[Call, Input], Result]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": self.properties, "required": list(self.required)}


class Toolbox:
    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def offered(self) -> list[dict[str, Any]]:
        """The `tools` of a Messages request."""
        return [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in self._tools.values()
        ]

    def problem(self, call: Call) -> str:
        """What is wrong with a call, in words for the model; empty when it may run."""
        tool = self._tools.get(call.name)
        if tool is None:
            return f"There is no tool {call.name}; there are {', '.join(self._tools)}."
        if call.input is None:
            return "The input was no JSON object: it may have been cut off. Call again with less."
        return mistake(tool, call.input)

    def run(self, call: Call) -> Result:
        """Carry out a call that has no `problem`. Raises only the agent's own errors (Cancelled, Gone…)."""
        try:
            return self._tools[call.name].run(call, call.input or {})
        except ToolError as error:
            return Result(str(error), error=True)
        except AgentError:
            raise
        except Exception as error:  # noqa: BLE001 (a tool's bug is the model's to go round, not the run's end)
            print(f"{call.name}: {error!r}", file=sys.stderr)
            return Result(f"{call.name} failed: {error!r}", error=True)


def mistake(tool: Tool, given: Input) -> str:
    """The first way in which an input does not fit its schema, or nothing."""
    for name in tool.required:
        if name not in given:
            return f"{tool.name} needs {name!r}."
    for name, value in given.items():
        wanted = tool.properties.get(name, {}).get("type", "")
        types = _TYPES.get(wanted)
        if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            return f"{name!r} of {tool.name} must be {'an' if wanted[0] in 'aeiou' else 'a'} {wanted}."
    return ""
