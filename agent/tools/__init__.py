"""The tools that a model is offered: name, words, JSON Schema, and the function that carries a call out."""

from agent.tools.base import Result, Tool, Toolbox

__all__ = ["Result", "Tool", "Toolbox"]
