"""The scripted model: a pure function of a Messages API request, for a tenant with no model configured.

Nothing is remembered: the turn's questions, which calls were made for them and what is said already
are read from the conversation each time. So any two requests that look alike get the same answer, and
a harness may retry, restart and adopt as it would with a real model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from klad.gateway import messages
from klad.gateway import scripted_words as words
from klad.gateway.messages import Said

MODEL = "klad-scripted"

STEER = "[steer]"
STRAYED = 50
"""Calls of one turn that we did not make: a harness that changes ours would have us make them for ever."""

_COMMAND = re.compile(r"(?:\$|/run(?:@\w+)?)[ \t]+(?=\S)")
_WORDS = re.compile(r"(SAY|STEER|REMEMBER)\s+(.+)", re.DOTALL)
_CANCEL = re.compile(r"CANCEL(?:\s+(.*))?", re.DOTALL)
_RUNNING = re.compile(r"\s*\[still running: job (\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    text: str
    error: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A call in the conversation, with what came back."""

    id: str
    call: Call
    result: Result


@dataclass(frozen=True, slots=True)
class Turn:
    """What the conversation says about the turn under way."""

    key: object
    """Makes its call ids its own: the brief's `turn`, else the position of its first message."""
    questions: tuple[str, ...]
    made: tuple[Made, ...]
    steers: tuple[str, ...]
    """Steering that came with the last message, and so was not taken up yet."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing asked for: `run`, `say`, `steer`, `remember`, `cancel`, or `other`."""

    kind: str
    text: str
    line: str
    """As it was written."""


Steps = Generator[Call, Result, str]
"""The calls that an answer takes, and the answer."""


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The message that answers a sound request (`messages.problem` finds nothing in it)."""
    brief = words.brief_of(messages.text_of(request.get("system", "")))
    turn = read(messages.conversation(request), brief.get("turn"))
    offered = frozenset(tool["name"] for tool in request.get("tools", []))
    text, call = _respond(turn, offered, brief)
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if call is not None:
        used = {
            "type": "tool_use",
            "id": _call_id(turn, len(turn.made), call),
            "name": call.name,
            "input": dict(call.input),
        }
        content.append(used)
    key = json.dumps([request["messages"], content], sort_keys=True)
    return {
        "id": f"msg_{_hash(key)}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": "end_turn" if call is None else "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens(request),
            "output_tokens": _tokens_in(content),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def tokens(request: Mapping[str, Any]) -> int:
    """Roughly: a token is four characters."""
    return _tokens_in([request.get(key) for key in ("system", "tools", "messages")])


def _tokens_in(value: Any) -> int:
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


def read(said: list[Said], key: object = None) -> Turn:
    """The turn under way. It begins with the last user message that brings words and no tool results, unless
    an answer was ended since; words that come along with results (messages that joined) belong to it too."""
    begin = 0
    for index, one in enumerate(said):
        if one.role == "user" and not one.of("tool_result") and any(not _is_steer(t) for t in one.texts):
            begin = index
        elif one.role == "assistant" and not one.of("tool_use") and index + 1 < len(said):
            begin = index + 1
    questions, steers, made = [], [], []
    uses: dict[str, Call] = {}
    for one in said[begin:]:
        if one.role == "assistant":
            uses = {use["id"]: Call(use["name"], use["input"]) for use in one.of("tool_use")}
            continue
        for block in one.of("tool_result"):
            call = uses.get(block["tool_use_id"])
            if call is not None:
                result = Result(messages.text_of(block.get("content")), bool(block.get("is_error")))
                made.append(Made(block["tool_use_id"], call, result))
        questions += [text.strip() for text in one.texts if not _is_steer(text)]
        steers = [text.strip()[len(STEER) :].strip() for text in one.texts if _is_steer(text)]
    return Turn(begin if key is None else key, tuple(questions), tuple(made), tuple(steers))


def _is_steer(text: str) -> bool:
    return text.lstrip().startswith(STEER)


def _respond(turn: Turn, offered: frozenset[str], brief: Mapping[str, Any]) -> tuple[str, Call | None]:
    """The words to say now, and the call to make after them; None when the turn is answered."""
    new = [words.taken_up(text) for text in turn.steers]
    unsaid: list[str] = []
    left = list(turn.made)
    asks = [ask for question in turn.questions for ask in _asks(question)]
    for index, ask in enumerate(asks):
        more = index + 1 < len(asks) and asks[index + 1].kind == "other"
        steps = _steps(ask, offered, brief, brief_follows=more)
        try:
            call = next(steps)
            while True:
                made, left = _find(turn, call, left)
                if made is None and len(left) >= STRAYED:
                    return _joined(new, unsaid, [words.STRAYED]), None
                if made is None:
                    return _joined(new, unsaid), call
                unsaid = []  # said along with that call
                call = steps.send(made.result)
        except StopIteration as end:
            unsaid.append(end.value)
    # Words without a question (a picture alone) and steering after the end still get an answer.
    return _joined(new, unsaid) or words.WHAT_I_AM, None


def _joined(*parts: list[str]) -> str:
    return "\n\n".join(text for part in parts for text in part if text)


def _find(turn: Turn, call: Call, left: list[Made]) -> tuple[Made | None, list[Made]]:
    """The first call left that is this one, and those after it. By its id or, where a harness gives calls
    ids of its own or has cut the conversation's beginning off, by what it says."""
    before = len(turn.made) - len(left)
    for index, made in enumerate(left):
        if made.id == _call_id(turn, before + index, call) or made.call == call:
            return made, left[index + 1 :]
    return None, left


def _call_id(turn: Turn, place: int, call: Call) -> str:
    """The id of the turn's call number `place`: the same command twice makes two calls."""
    return f"toolu_{_hash(json.dumps([turn.key, place, call.name, dict(call.input)], sort_keys=True))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


def _asks(question: str) -> list[Ask]:
    """A message is one thing asked for, but for commands on lines of their own."""
    if _COMMAND.match(question):
        found: list[str] = []
        for line in question.split("\n"):
            if found and not _COMMAND.match(line):
                found[-1] += f"\n{line}"
            else:
                found.append(line)
        return [Ask("run", _COMMAND.sub("", line, count=1).strip(), line.strip()) for line in found]
    if match := _WORDS.fullmatch(question):
        return [Ask(match[1].lower(), match[2].strip(), question)]
    if match := _CANCEL.fullmatch(question):
        return [Ask("cancel", (match[1] or "").strip(), question)]
    return [Ask("other", question, question)]


def _steps(ask: Ask, offered: frozenset[str], brief: Mapping[str, Any], *, brief_follows: bool) -> Steps:
    chat = "worker_status" in offered
    match ask.kind:
        case "say":
            return ask.text
        case "run" if "bash" in offered:
            return (yield from _run(ask.text))
        case "run" if "queue_task" in offered:
            result = yield Call("queue_task", {"text": ask.line})
            return words.queued(ask.line, result.text, result.error)
        case "steer" if "steer_worker" in offered:
            result = yield Call("steer_worker", {"text": ask.text})
            return words.told(result.text, result.error)
        case "cancel" if "cancel_worker" in offered:
            result = yield Call("cancel_worker", {"reason": ask.text or "asked for in the chat"})
            return words.told(result.text, result.error)
        case "remember" if "remember" in offered:
            result = yield Call("remember", {"text": ask.text})
            return words.told(result.text, result.error)
        case _ if chat and brief:
            return words.from_status(ask.line, brief, whole=not brief_follows)
    return words.WHAT_I_AM


def _run(command: str) -> Steps:
    result = yield Call("bash", {"command": command})
    while match := _RUNNING.match(result.text):
        result = yield Call("bash_wait", {"job": int(match[1])})
    return words.output(result.text)  # bash_wait brings all of the output, also what was shown before
