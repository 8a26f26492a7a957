"""Tools that the host carries out: the call goes over the gateway, once, whatever breaks in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.client import Gateway
from agent.errors import Refused
from agent.stream import Call
from agent.tools.base import Input, Result, Tool

Spec = tuple[str, dict[str, Any]]

_BOTH: dict[str, Spec] = {
    "search_history": (
        "Search what was said in this chat before.",
        {"query": {"type": "string"}},
    ),
    "remember": (
        "Keep a fact about the user or the chat for good.",
        {"text": {"type": "string"}},
    ),
}
_CHAT: dict[str, Spec] = {
    "worker_status": ("What the worker is doing at this moment.", {}),
    "steer_worker": (
        "Tell the running worker something; it reads it within seconds and goes on.",
        {"text": {"type": "string"}},
    ),
    "queue_task": (
        "Give the worker a task; it starts when what it has is done. Write it so that it stands alone.",
        {"text": {"type": "string"}},
    ),
    "cancel_worker": (
        "End the worker's task, with all that it runs. Only when the user asks for it.",
        {"reason": {"type": "string"}},
    ),
}


def tools(slot: str, gateway: Gateway, check: Callable[[], None]) -> list[Tool]:
    """The host's tools for a slot. They run on the thread that owns `gateway`."""

    def run(call: Call, given: Input) -> Result:
        # The model's own id of the call makes a repeat harmless: (run, call) is carried out once.
        try:
            _, answer = gateway.call(
                "POST", f"/agent/tools/{call.name}", {"call": call.id, "input": given}, check=check
            )
        except Refused as refusal:
            return Result(str(refusal), error=True)
        if not isinstance(answer, dict):
            return Result("The host gave no answer.", error=True)
        return Result(str(answer.get("text", "")), error=bool(answer.get("error")))

    specs = {**(_CHAT if slot == "chat" else {}), **_BOTH}
    return [Tool(name, words, keys, tuple(keys), run) for name, (words, keys) in specs.items()]
