"""The scripted model's contract: commands, SAY, steering, and what holds for any conversation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klad.gateway import scripted, scripted_words

from .harness import BUSY, CHATTER, WORKER, Harness


@pytest.mark.parametrize("line", ["$ make", "/run make", "  $   make", "/run@klad_bot make"])
def test_a_command_is_run_and_answered_with_its_output(line: str) -> None:
    harness = Harness(run=lambda name, given: "built\n")
    assert harness.turn(line) == ["```\nbuilt\n```"]
    assert harness.calls == [("bash", {"command": "make"})]


def test_a_command_may_have_many_lines() -> None:
    harness = Harness()
    harness.turn("$ for i in 1 2\ndo\n  echo $i\ndone")
    assert harness.calls == [("bash", {"command": "for i in 1 2\ndo\n  echo $i\ndone"})]


def test_commands_on_lines_of_their_own_each_return_their_own_output() -> None:
    harness = Harness()
    assert harness.turn("$ one\n$ two") == ["```\nran one\n```", "```\nran two\n```"]


def test_several_messages_are_answered_in_order_and_each_as_soon_as_it_can_be() -> None:
    harness = Harness()
    said = harness.turn("SAY first", "$ one", "$ two", "SAY last", "$ one")
    assert said == ["first", "```\nran one\n```", "```\nran two\n```\n\nlast", "```\nran one\n```"]
    assert [given["command"] for _, given in harness.calls] == ["one", "two", "one"]
    assert len(set(harness.ids)) == 3


def test_the_same_command_in_a_later_turn_is_run_again() -> None:
    harness = Harness()
    harness.turn("$ date")
    harness.brief["turn"] = 2
    assert harness.turn("$ date") == ["```\nran date\n```"]
    assert len(set(harness.ids)) == 2


def test_a_conversation_that_was_forgotten_gives_no_call_an_id_for_the_second_time() -> None:
    """The host takes a call with a known id for a repeat, and gives it the first one's result."""
    harness = Harness()
    harness.turn("REMEMBER tea")
    harness.messages.clear()
    harness.brief["turn"] = 2
    harness.turn("REMEMBER tea")
    assert len(set(harness.ids)) == 2


def test_what_was_answered_in_an_earlier_turn_is_not_said_again() -> None:
    harness = Harness()
    harness.turn("SAY one", "$ a")
    assert harness.turn("SAY two") == ["two"]


def test_a_turn_that_was_broken_off_is_left_alone_by_the_next() -> None:
    harness = Harness()
    harness.messages = [
        {"role": "user", "content": "$ old"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "bash", "input": {"command": "old"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "?"}]},
        {"role": "assistant", "content": "I did not finish this"},
    ]
    assert harness.turn("SAY new") == ["new"]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("", "(no output)"),
        ("(no output)", "(no output)"),
        ("oops\n[exit 2]", "```\noops\n```\n[exit 2]"),
        ("[exit 1]", "(no output)\n[exit 1]"),
        ("[exit 9] is not the end\nok", "```\n[exit 9] is not the end\nok\n```"),
        ("```\ncode\n```", "````\n```\ncode\n```\n````"),
        ("  indented", "```\n  indented\n```"),
    ],
)
def test_output_is_shown_as_it_was(result: str, said: str) -> None:
    assert Harness(run=lambda *_: result).turn("$ x") == [said]


def test_long_output_keeps_head_and_tail() -> None:
    [said] = Harness(run=lambda *_: "begin" + "x" * 50_000 + "end\n[exit 3]").turn("$ x")
    assert len(said) < 3100
    assert "begin" in said
    assert "end\n```\n[exit 3]" in said
    assert "characters left out" in said


def test_a_command_that_goes_on_in_the_background_is_waited_for() -> None:
    results = iter(["[still running: job 7]\nstep 1\n[hint]", "[still running: job 7]\nstep 1\n", "step 1\nstep 2"])
    harness = Harness(run=lambda *_: next(results))
    assert harness.turn("$ slow") == ["```\nstep 1\nstep 2\n```"]
    assert harness.calls == [("bash", {"command": "slow"})] + [("bash_wait", {"job": 7})] * 2
    assert len(set(harness.ids)) == 3


def test_steering_is_acknowledged_with_the_next_call_and_once() -> None:
    results = iter(["[still running: job 1]\n", "done"])
    harness = Harness(run=lambda *_: next(results))
    harness.steers = {2: "be quick"}
    assert harness.turn("$ slow") == ["Taken up: be quick", "```\ndone\n```"]
    assert harness.calls[-1] == ("bash_wait", {"job": 1})


def test_steering_that_comes_last_is_acknowledged_with_the_answer() -> None:
    harness = Harness()
    harness.steers = {1: "in Dutch"}
    assert harness.turn("SAY hello") == ["Taken up: in Dutch\n\nhello"]


def test_steering_after_the_answer_is_acknowledged_alone() -> None:
    harness = Harness()
    harness.turn("SAY hello")
    harness.messages.append({"role": "user", "content": "[steer] too late"})
    assert scripted.answer(harness.request())["content"] == [{"type": "text", "text": "Taken up: too late"}]


def test_messages_that_join_a_turn_are_answered_after_it() -> None:
    harness = Harness()
    harness.messages = [{"role": "user", "content": "$ one"}]
    first = scripted.answer(harness.request())
    [use] = first["content"]
    results: list[dict[str, Any]] = [{"type": "tool_result", "tool_use_id": use["id"], "content": "out"}]
    joined = {"type": "text", "text": "SAY joined"}
    harness.messages += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [*results, joined]},
    ]
    assert scripted.answer(harness.request())["content"][0]["text"] == "```\nout\n```\n\njoined"


def test_a_harness_with_call_ids_of_its_own_is_served_too() -> None:
    harness = Harness()
    harness.messages = [
        {"role": "user", "content": "$ one"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "x1", "name": "bash", "input": {"command": "one"}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "x1", "content": [{"type": "text", "text": "o"}]}],
        },
    ]
    assert scripted.answer(harness.request())["content"] == [{"type": "text", "text": "```\no\n```"}]


def test_a_harness_that_changes_calls_beyond_recognition_is_not_followed_for_ever() -> None:
    harness = Harness()
    harness.messages = [{"role": "user", "content": "$ one"}]
    for step in range(60):
        if scripted.answer(harness.request())["stop_reason"] == "end_turn":
            break
        harness.messages += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"x{step}", "name": "sh", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"x{step}", "content": "o"}]},
        ]
    assert scripted.answer(harness.request())["content"][0]["text"] == scripted_words.STRAYED


@pytest.mark.parametrize("text", ["hello", "$", "SAY", "$5 is much", "run it", "STEER left", "(empty message)"])
def test_a_worker_says_of_anything_else_what_it_is_and_how_to_have_a_real_model(text: str) -> None:
    [said] = Harness().turn(text)
    assert "\n" not in said
    for word in ("scripted model", "$ COMMAND", "SAY TEXT", "ANTHROPIC_API_KEY", ".env"):
        assert word in said


def test_a_message_without_words_is_answered() -> None:
    harness = Harness()
    harness.messages = [{"role": "user", "content": [{"type": "image", "source": {}}]}]
    assert "scripted model" in scripted.answer(harness.request())["content"][0]["text"]


def test_say_keeps_lines_and_spaces() -> None:
    assert Harness().turn("SAY  *two*\n\n  lines") == ["*two*\n\n  lines"]


QUESTION = st.one_of(
    st.sampled_from(["hello", "what did step 2 print?", "CANCEL", "$ a\n$ b", "[steer] x", "/run c", "SAY y\nz"]),
    st.text(min_size=1).map(lambda text: f"$ {text}"),
    st.text(min_size=1).filter(lambda text: text.strip()),
)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([WORKER, CHATTER, ()]))
def test_any_conversation_ends_and_answers_every_message_in_order(
    data: st.DataObject, tools: tuple[str, ...]
) -> None:
    running = st.integers(0, 3).map(lambda job: f"[still running: job {job}]\nsome")
    left = 6

    def run(name: str, given: dict[str, Any]) -> str:
        nonlocal left
        left -= 1
        return data.draw(st.one_of(st.text(), running) if left > 0 else st.text().map(lambda text: f"out {text}"))

    harness = Harness(tools, run, worker=BUSY)
    for number in range(data.draw(st.integers(1, 3))):
        harness.brief["turn"] = number
        left = 6
        questions = data.draw(st.lists(QUESTION, min_size=1, max_size=4))
        marked = [f"SAY mark{number}.{place}" if place % 2 else text for place, text in enumerate(questions)]
        harness.steers = data.draw(st.dictionaries(st.integers(1, 4), st.sampled_from(["left", "right"]), max_size=2))
        said = "\n".join(harness.turn(*marked))
        places = [said.index(text[4:]) for text in marked if text.startswith("SAY mark")]
        assert places == sorted(places)
        assert said
    assert len(set(harness.ids)) == len(harness.ids)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.from_regex(r"[!-~é]([ -~\u2028\x0b]*[!-~])?", fullmatch=True), min_size=1, max_size=5))
def test_every_command_is_run_once_and_in_order(commands: list[str]) -> None:
    harness = Harness()
    harness.turn(*[f"$ {command}" for command in commands])
    assert [name for name, _ in harness.calls] == ["bash"] * len(harness.calls)
    assert [given["command"] for _, given in harness.calls] == commands
