from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad.gateway import messages, scripted

from .test_reports import JSON

USE = {"type": "tool_use", "id": "t1", "name": "bash", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) else list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return user(*blocks) | {"role": "assistant"}


def request(*said: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": list(said), **fields}


def test_a_sound_request_has_no_problem() -> None:
    assert not messages.problem(request(user("hi"), assistant(USE), user(RESULT), assistant("ok"), user("more")))
    assert not messages.problem(request(user("hi"), assistant(USE), user(RESULT), user("more")))
    assert not messages.problem(
        request(user({"type": "image", "source": {}}), system=[{"type": "text", "text": "x"}])
    )
    assert not messages.problem(request(user("hi"), metadata={"user_id": "x"}, unknown=1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "object"),
        ({}, "model"),
        ({"model": "m", "messages": [user("x")]}, "max_tokens"),
        (request(user("x"), max_tokens=0), "max_tokens"),
        (request(user("x"), max_tokens=True), "max_tokens"),
        (request(user("x"), stream="yes"), "stream"),
        (request(user("x"), tools=[{}]), "tools"),
        (request(user("x"), tools="bash"), "tools"),
        (request(user("x"), system=7), "system"),
        ({"model": "m", "max_tokens": 1}, "messages"),
        (request(), "at least one"),
        (request({"role": "system", "content": "x"}), "role"),
        (request(user("")), "empty"),
        (request(user()), "empty"),
        (request({"role": "user"}), "content"),
        (request(user({"type": "text", "text": " "})), "non-empty"),
        (request(user({"text": "x"})), "type"),
        (request(user("x"), assistant({"type": "tool_use", "id": "t1"}), user(RESULT)), "tool_use needs"),
        (request(assistant("x"), user("y")), "first message"),
        (request(user("x"), assistant("y")), "end with a user message"),
        (request(user(RESULT)), "unexpected `tool_use_id`"),
        (request(user("x"), assistant("y"), user(RESULT)), "unexpected `tool_use_id`"),
        (request(user("x"), assistant(USE), user("y")), "without `tool_result` blocks"),
    ],
)
def test_obvious_errors_are_refused_as_the_real_api_does(given: Any, words: str) -> None:
    assert words in messages.problem(given)


def test_counting_needs_no_limit() -> None:
    assert not messages.problem({"model": "m", "messages": [user("x")]}, counting=True)


def test_neighbours_of_one_role_are_one() -> None:
    said = messages.conversation(request(user("a"), user({"type": "text", "text": "b"}), assistant("c"), user("d")))
    assert [(one.role, one.texts) for one in said] == [("user", ["a", "b"]), ("assistant", ["c"]), ("user", ["d"])]


SAID = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant"]),
        "content": st.lists(st.sampled_from([USE, RESULT, {"type": "text", "text": "x"}]), max_size=3) | JSON,
    }
)


@given(
    st.builds(lambda said, more: request(*said, **more), st.lists(SAID, max_size=4), st.fixed_dictionaries({})) | JSON
)
def test_any_request_has_a_problem_or_an_answer(given: Any) -> None:
    if not messages.problem(given):
        assert scripted.answer(given)["content"]


@given(st.dictionaries(st.sampled_from(["system", "tools", "messages", "stream"]), JSON))
def test_any_odd_part_has_a_problem_or_an_answer(odd: dict[str, Any]) -> None:
    given = request(user("SAY x")) | odd
    if not messages.problem(given):
        assert scripted.answer(given)["content"]
