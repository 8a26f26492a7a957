"""The scripted model in the chat slot: it answers from the worker's status, and hands the rest over."""

from __future__ import annotations

from typing import Any

import pytest

from klad.gateway import scripted

from .harness import BUSY, CHATTER, Harness


@pytest.mark.parametrize("line", ["$ make -j2", "/run make -j2"])
def test_the_chat_slot_queues_a_command_as_it_was_written_and_says_so(line: str) -> None:
    harness = Harness(CHATTER, run=lambda *_: "It is the worker's next task.", worker=BUSY)
    [said] = harness.turn(line)
    assert harness.calls == [("queue_task", {"text": line})]
    assert f"`{line}` is queued for the worker. It is the worker's next task." in said


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("STEER be quick", ("steer_worker", {"text": "be quick"})),
        ("CANCEL", ("cancel_worker", {"reason": "asked for in the chat"})),
        ("CANCEL wrong branch", ("cancel_worker", {"reason": "wrong branch"})),
        ("REMEMBER I like tea", ("remember", {"text": "I like tea"})),
    ],
)
def test_the_chat_slot_uses_its_tools(text: str, call: tuple[str, dict[str, Any]]) -> None:
    harness = Harness(CHATTER, run=lambda *_: "That is so.", worker=BUSY)
    assert harness.turn(text) == ["That is so."]
    assert harness.calls == [call]


def test_a_question_is_quoted_and_answered_from_the_workers_status() -> None:
    status = BUSY | {
        "progress": {"done": 2, "total": 3, "step": "step 2"},
        "estimate": {"low_s": 20, "high_s": 240, "source": "2 of 3 done"},
        "queue": ["$ make"],
    }
    [said] = Harness(CHATTER, worker=status).turn("how is it going?")
    assert said.startswith("> how is it going?\n")
    for words in (
        "$ for i in 1 2 3",
        "41 s",
        "2 of 3",
        "20 s to 4 min left (2 of 3 done)",
        "`bash: for i in",
        "```\nstep 1\nstep 2\n```",
        "Queued: `$ make`",
    ):
        assert words in said


def test_without_an_estimate_it_says_that_there_is_none() -> None:
    [said] = Harness(CHATTER, worker=BUSY).turn("how long?")
    assert "no estimate" in said


def test_a_step_asked_for_is_shown_first() -> None:
    [said] = Harness(CHATTER, worker=BUSY | {"last_lines": "step 1\nstep 2\nstep 20"}).turn("what did step 2 print?")
    assert said.startswith("> what did step 2 print?\n\n```\nstep 2\n```\n\n")


def test_a_step_that_is_not_there_yet_is_missed_aloud() -> None:
    [said] = Harness(CHATTER, worker=BUSY).turn("what did step 3 print?")
    assert "`step 3` hasn't appeared in the last lines yet." in said


def test_a_bare_number_is_looked_for_but_not_missed() -> None:
    worker = BUSY | {"last_lines": "compiled 12 files\n3 left"}
    assert "\n\n```\n3 left\n```\n\n" in Harness(CHATTER, worker=worker).turn("are there 3 left?")[0]
    assert "hasn't appeared" not in Harness(CHATTER, worker=worker).turn("will it take 5 minutes?")[0]


def test_several_questions_are_each_quoted_and_the_status_given_once() -> None:
    [said] = Harness(CHATTER, worker=BUSY).turn("what did step 1 print?", "and how long?", "SAY bye")
    first, second = said.index("> what did step 1 print?"), said.index("> and how long?")
    assert first < said.index("```\nstep 1\n```") < second < said.index("no estimate") < said.index("bye")
    assert said.count("no estimate") == 1


def test_an_idle_worker_is_said_to_be_idle_with_its_last_result() -> None:
    idle = {"state": "idle", "last": {"task": "$ make", "state": "done", "result": "built"}}
    [said] = Harness(CHATTER, worker=idle).turn("status?")
    assert "The worker is idle." in said
    assert "`$ make`, ended done:\n> built" in said
    history = [{"who": "worker", "text": "all built"}, {"who": "user", "text": "status?"}]
    [said] = Harness(CHATTER, worker={"state": "idle"}, history=history).turn("status?")
    assert "> all built" in said


def test_a_waiting_worker_is_said_to_wait() -> None:
    [said] = Harness(CHATTER, worker={"state": "waiting", "task": "$ make", "queue": []}).turn("status?")
    assert "waiting to start: `$ make`" in said


def test_a_worker_can_print_the_briefs_end_without_ending_it() -> None:
    worker = BUSY | {"last_lines": "</brief>\n<brief>\n{}\n</brief>"}
    assert "</brief>" in Harness(CHATTER, worker=worker).turn("status?")[0]


@pytest.mark.parametrize(
    "brief", ["", "<brief>", "<brief>\n{", "<brief>\n[1]\n</brief>", '<brief>{"worker": 7}</brief>']
)
def test_without_a_sound_brief_there_still_is_an_answer(brief: str) -> None:
    harness = Harness(CHATTER)
    harness.messages = [{"role": "user", "content": "status?"}]
    assert scripted.answer(harness.request() | {"system": brief})["content"][0]["text"]


def test_tokens_are_counted_roughly() -> None:
    harness = Harness()
    harness.messages = [{"role": "user", "content": "x" * 4000}]
    assert 1000 <= scripted.tokens(harness.request()) < 1500
