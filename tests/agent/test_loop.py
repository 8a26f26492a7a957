"""The small harness against a model that is a list."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from agent.attention import Attention
from agent.errors import TurnFailed
from agent.journal import Journal
from agent.loop import SmallLoop
from agent.model import Messages, TooLong
from agent.session import Session, preview
from agent.stream import Call, Reply, reply
from agent.tools import Result, Tool, Toolbox

Posted = list[tuple[str, dict[str, Any]]]


class Model:
    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []

    def create(self, request: dict[str, Any]) -> Reply:
        self.requests.append(copy.deepcopy(request))
        step = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(step, Exception):
            raise step
        return step


class Paper:
    """A journal that only writes down."""

    def __init__(self) -> None:
        self.posted: Posted = []

    def post(self, kind: str, data: dict[str, Any], turn: int | None, *, wait: bool = False) -> None:
        self.posted.append((kind, data))


TEXT = {"type": "text", "text": "done"}
CALL = {"type": "tool_use", "id": "c", "name": "big", "input": {}}
BRIEF = {"turn": 1, "slot": "worker", "messages": [{"text": "go"}], "model": "m"}


def session(paper: Paper) -> Session:
    def big(call: Call, given: dict[str, Any]) -> Result:
        return Result("x" * 90_000)

    attention = Attention()
    attention.begin(1)
    return Session(cast(Journal, paper), attention, Toolbox([Tool("big", "", {}, (), big)]))


def loop(model: Model, **steps: int) -> SmallLoop:
    return SmallLoop(cast(Messages, model), "/workspace", steps or None)


def test_a_turn_that_does_not_come_to_an_end_is_stopped_and_says_so() -> None:
    model, paper = Model(reply([{"type": "text", "text": "more"}, CALL], "tool_use")), Paper()
    words = loop(model, worker=3).run_turn(BRIEF, session(paper))
    assert "stopped after 3 steps" in words
    assert len(model.requests) == 3


def test_results_are_cut_to_30_000_characters() -> None:
    model = Model(reply([CALL], "tool_use"), reply([TEXT], "end_turn"))
    loop(model).run_turn(BRIEF, session(Paper()))
    assert len(model.requests[1]["messages"][-1]["content"][0]["content"]) <= 30_000


def test_a_conversation_that_is_too_long_for_the_model_is_shortened_once() -> None:
    model = Model(*[reply([CALL], "tool_use")] * 4, TooLong("too long"), reply([TEXT], "end_turn"))
    assert loop(model).run_turn(BRIEF, session(Paper())) == "done"
    assert len(str(model.requests[-1])) < len(str(model.requests[-2])) * 0.6
    with pytest.raises(TurnFailed):
        loop(Model(TooLong("too long"))).run_turn(BRIEF, session(Paper()))


def test_after_a_failure_the_conversation_still_alternates() -> None:
    model = Model(reply([CALL], "tool_use"), TurnFailed("no credit"), reply([TEXT], "end_turn"))
    small, paper = loop(model), Paper()
    with pytest.raises(TurnFailed):
        small.run_turn(BRIEF, session(paper))
    small.run_turn(BRIEF, session(paper))
    roles = [message["role"] for message in model.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert "no credit. Tools used until then: big" in str(model.requests[-1]["messages"][1])


def test_an_answer_cut_off_at_its_longest_says_so_and_an_empty_one_too() -> None:
    assert "cut off" in loop(Model(reply([TEXT], "max_tokens"))).run_turn(BRIEF, session(Paper()))
    assert "no answer" in loop(Model(reply([], "end_turn"))).run_turn(BRIEF, session(Paper()))


def test_a_preview_is_the_command_itself_or_else_compact_json() -> None:
    assert preview(Call("c", "bash", {"command": "x" * 400})) == "x" * 300
    assert preview(Call("c", "bash_wait", {"job": 1})) == "job 1"
    assert preview(Call("c", "worker_status", {})) == ""
