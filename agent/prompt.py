"""What the model is told: the words around a brief. Pure."""

from __future__ import annotations

import json
from typing import Any

Block = dict[str, Any]
Message = dict[str, Any]

_CHAT = """\
You are {assistant}, a personal agent on a chat. You are the quick half: you answer now, in a few sentences,
while the worker, your other half, does the long work. The brief below has the worker's status, the recent
conversation and what you remember. Answer each message. When asked how the work goes, say what the brief
says; give a time left only when it has an estimate, with its source, and never make one up. What needs
commands, changes to files or more than a minute, hand over with queue_task; words meant for the running work,
pass on with steer_worker; end it with cancel_worker only when told to. You can read the files in {group}."""

_WORKER = """\
You are {assistant}, a personal agent on a chat, at work in a container of your own. Do what the messages
ask for, with your tools; commands run in {group}, which is kept between tasks, as is {home}. Text that you
write together with a tool call is sent to the user at once: use it seldom. Tell how far you are with
report_progress when work takes more than a minute. A block that begins with [steer] is what the user says in
the midst of the work: heed it at once. When a command says [still running: job N], it goes on in the
background: bash_wait waits on, bash_kill ends it. End with a short answer to what was asked; it is sent to
the user."""


def system(brief: dict[str, Any], group: str, home: str) -> str:
    """The system prompt: words, then the brief without its messages as compact JSON."""
    words = (_CHAT if brief.get("slot") == "chat" else _WORKER).format(
        assistant=brief.get("assistant") or "Klåd", group=group, home=home
    )
    told = {key: value for key, value in brief.items() if key != "messages"}
    replies = [
        {"message": number, "reply_to": message["reply_to"]}
        for number, message in enumerate(brief.get("messages") or [], start=1)
        if message.get("reply_to")
    ]
    if replies:
        told["replies"] = replies
    # "<\/" is "</" to JSON: a user's text must not be able to end the brief.
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f"{words}\n<brief>\n{data}\n</brief>"


def opening(brief: dict[str, Any]) -> Message:
    """The user message that begins a turn: a block a message, in order, its text alone."""
    blocks = [text(message.get("text") or "") for message in brief.get("messages") or []]
    return {"role": "user", "content": blocks or [text("")]}


def text(words: str) -> Block:
    """A text block; the API takes no empty one."""
    return {"type": "text", "text": words if words.strip() else "(empty message)"}


def steer(words: str) -> Block:
    return text(f"[steer] {words}")


def result(call: str, words: str, error: bool) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": call, "content": words}
    return block | {"is_error": True} if error else block


def epitaph(cause: str, calls: list[str]) -> Message:
    """What stands in the conversation for a turn that was broken off."""
    done = "; ".join(calls[-20:]) if calls else "none"
    words = f"[I did not finish this: {cause}. Tools used until then: {done}]"
    return {"role": "assistant", "content": [text(words)]}
