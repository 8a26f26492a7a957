"""Messages API requests: what is wrong with one, and reading its conversation. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that one side said until the other spoke."""

    role: str
    blocks: tuple[Block, ...]

    def of(self, kind: str) -> list[Block]:
        return [block for block in self.blocks if block.get("type") == kind]

    @property
    def texts(self) -> list[str]:
        return [block["text"] for block in self.of("text")]


def blocks(content: Any) -> tuple[Block, ...]:
    """A `content` or `system` as blocks; a string is one text block."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    return tuple(content or ())


def conversation(request: Mapping[str, Any]) -> list[Said]:
    """The messages of a sound request; neighbours of one role are one, as the API has it."""
    found: list[Said] = []
    for message in request["messages"]:
        parts = blocks(message["content"])
        if found and found[-1].role == message["role"]:
            found[-1] = Said(message["role"], found[-1].blocks + parts)
        else:
            found.append(Said(message["role"], parts))
    return found


def text_of(content: Any) -> str:
    """The text of a `tool_result`'s or system's content, whichever form it has."""
    return "\n".join(str(block.get("text", "")) for block in blocks(content) if block.get("type") == "text")


def problem(request: Any, *, counting: bool = False) -> str:
    """What the real API would refuse with `invalid_request_error`, in its words; empty for a sound request."""
    if not isinstance(request, Mapping):
        return "the body must be a JSON object"
    if not isinstance(request.get("model"), str) or not request["model"]:
        return "model: Field required"
    limit = request.get("max_tokens")
    if not counting and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        return "max_tokens: must be a whole number greater than or equal to 1"
    if not isinstance(request.get("stream", False), bool):
        return "stream: Input should be a valid boolean"
    if not _are_objects(request.get("tools", [])):
        return "tools: Input should be a valid list of objects"
    if any(not isinstance(tool.get("name"), str) for tool in request.get("tools", [])):
        return "tools: name: Field required"
    system = request.get("system", "")
    if not isinstance(system, str) and not _are_objects(system):
        return "system: Input should be a string or a list of text blocks"
    return _messages_problem(request.get("messages"))


def _are_objects(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, Mapping) for v in value)


def _messages_problem(given: Any) -> str:
    if not _are_objects(given):
        return "messages: Field required"
    if not given:
        return "messages: at least one message is required"
    for index, message in enumerate(given):
        if message.get("role") not in ("user", "assistant"):
            return f'messages.{index}.role: Input should be "user" or "assistant"'
        found = _content_problem(message.get("content"))
        if found:
            return f"messages.{index}.content{found}"
    if given[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    if given[-1]["role"] != "user":
        return "messages: the conversation must end with a user message"
    return _pairs_problem(conversation({"messages": given}))


def _content_problem(content: Any) -> str:
    if isinstance(content, str):
        return "" if content.strip() else ": must not be empty"
    if not _are_objects(content):
        return ": Input should be a string or a list of blocks"
    if not content:
        return ": must not be empty"
    for index, block in enumerate(content):
        kind = block.get("type")
        if kind == "text" and not (isinstance(block.get("text"), str) and block["text"].strip()):
            return f".{index}: text content blocks must be non-empty"
        if kind == "tool_use":
            named = isinstance(block.get("id"), str) and isinstance(block.get("name"), str)
            if not named or not isinstance(block.get("input"), Mapping):
                return f".{index}: tool_use needs id, name and input"
        if kind == "tool_result":
            inner = block.get("content", "")
            if not isinstance(block.get("tool_use_id"), str):
                return f".{index}.tool_use_id: Field required"
            if not isinstance(inner, str) and not _are_objects(inner):
                return f".{index}.content: Input should be a string or a list of blocks"
        if not isinstance(kind, str):
            return f".{index}.type: Field required"
    return ""


def _pairs_problem(said: Sequence[Said]) -> str:
    open_calls: list[str] = []
    for index, one in enumerate(said):
        results = [block["tool_use_id"] for block in one.of("tool_result")]
        for call in results:
            if one.role == "assistant" or call not in open_calls:
                return (
                    f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        missing = [call for call in open_calls if call not in results]
        if missing:
            return (
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}."
            )
        open_calls = [block["id"] for block in one.of("tool_use")] if one.role == "assistant" else []
    return ""
