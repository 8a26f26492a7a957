"""The small harness: ask the model, carry out its calls, ask again."""

from __future__ import annotations

import os
from typing import Any

from agent import context, prompt
from agent.errors import Cancelled, TurnFailed
from agent.harness import Brief
from agent.model import Messages, TooLong
from agent.session import Session
from agent.stream import Reply

STEPS = {"chat": 20, "worker": 300}
"""Requests of one turn."""


class SmallLoop:
    def __init__(self, model: Messages, workspace: str, steps: dict[str, int] | None = None) -> None:
        self._model = model
        self._workspace = workspace
        self._steps = steps or STEPS
        self._messages: list[prompt.Message] = []

    def run_turn(self, brief: Brief, session: Session) -> str:
        self._messages = context.forget(self._messages, context.BUDGET // 2)
        mark = len(self._messages)
        first = prompt.opening(brief)
        calls: list[str] = []
        self._messages.append(first)
        try:
            return self._work(brief, session, calls)
        except (Cancelled, TurnFailed) as end:
            cause = "it was cancelled" if isinstance(end, Cancelled) else str(end)
            self._messages[mark:] = [first, prompt.epitaph(cause, calls)]
            raise

    def _work(self, brief: Brief, session: Session, calls: list[str]) -> str:
        limit = self._steps.get(str(brief.get("slot")), STEPS["worker"])
        said = ""
        for step in range(1, limit + 1):
            session.attention.check()
            self._steer(session, step)
            reply = self._ask(brief, session)
            self._messages.append({"role": "assistant", "content": reply.content})
            if reply.calls:
                if reply.text:
                    said = reply.text
                    session.say(reply.text)
                self._messages.append({"role": "user", "content": self._carry_out(reply, session, calls)})
            elif session.attention.steered:
                if reply.text:
                    session.say(reply.text)
            else:
                return _final(reply)
        stopped = f"I stopped after {limit} steps without coming to an end; say “go on” and I will."
        self._messages.append({"role": "assistant", "content": [prompt.text(stopped)]})
        return f"{said}\n\n{stopped}".strip()

    def _ask(self, brief: Brief, session: Session) -> Reply:
        request: dict[str, Any] = {
            "model": brief.get("model") or "",
            "max_tokens": brief.get("max_tokens") or 8192,
            "system": prompt.system(
                brief, os.path.join(self._workspace, "group"), os.path.join(self._workspace, "home")
            ),
            "tools": session.toolbox.offered(),
        }
        self._messages = context.shrink(self._messages)
        try:
            return self._model.create(request | {"messages": self._messages})
        except TooLong:
            # Sizes are guessed in characters, and a small model's window is smaller than the guess.
            self._messages = context.shrink(self._messages, context.size(self._messages) // 2)
            return self._model.create(request | {"messages": self._messages})

    def _carry_out(self, reply: Reply, session: Session, calls: list[str]) -> list[prompt.Block]:
        results = []
        for call in reply.calls:
            calls.append(call.name)
            result = session.use(call)
            results.append(prompt.result(call.id, result.text, result.error))
        return results

    def _steer(self, session: Session, step: int) -> None:
        """Put waiting words where the next request has them: after the tool results."""
        for steer in session.attention.take():
            if self._messages[-1]["role"] != "user":
                self._messages.append({"role": "user", "content": []})
            self._messages[-1]["content"].append(prompt.steer(steer.text))
            session.steered(steer.id, step)


def _final(reply: Reply) -> str:
    words = reply.text or "(The model gave no answer.)"
    if reply.stop == "max_tokens":
        words += "\n\n(My answer was cut off at its longest length.)"
    return words
