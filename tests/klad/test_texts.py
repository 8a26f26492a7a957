"""What Klåd itself says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad import texts
from klad.words import ChatState, Progress, Turn

NOW = 1_700_000_100.0
TIMES = st.one_of(st.none(), st.floats(NOW - 1e6, NOW + 1e6))
NUMBERS = st.one_of(st.none(), st.floats(-1e15, 1e15, allow_nan=False))
TURNS = st.builds(
    Turn,
    id=st.integers(1),
    chat=st.just("7"),
    slot=st.sampled_from(["chat", "worker"]),
    state=st.sampled_from(["open", "taken", "done", "failed", "cancelled"]),
    created=st.floats(0, NOW),
    taken=TIMES,
    ended=TIMES,
    title=st.text(max_size=60),
    progress=st.one_of(st.none(), st.builds(Progress, done=NUMBERS, total=NUMBERS, step=st.text(max_size=20))),
    tools=st.integers(0, 5),
)
STATES = st.builds(
    ChatState,
    chat=st.just("7"),
    worker=st.one_of(st.none(), TURNS),
    talk=st.one_of(st.none(), TURNS),
    queue=st.lists(TURNS, max_size=3).map(tuple),
    recent=st.lists(TURNS, max_size=3).map(tuple),
    lines=st.text(max_size=50),
    tool=st.text(max_size=20),
    durations=st.lists(st.floats(0, 1e6), max_size=3).map(tuple),
)


def task(**more: Any) -> Turn:
    given = {"state": "taken", "created": NOW - 70, "taken": NOW - 60, "title": "build it", **more}
    return Turn(1, "7", "worker", **given)


@given(STATES)
def test_every_state_has_words(state: ChatState) -> None:
    for said in (texts.status(state, NOW), texts.tasks(state, NOW), texts.too_late(60.0, state, NOW)):
        assert said.strip()


class TestStatus:
    def test_nothing(self) -> None:
        assert texts.status(ChatState("7"), NOW) == "Nothing is running."

    def test_a_working_worker(self) -> None:
        state = ChatState(
            "7",
            worker=task(progress=Progress(5, 10, "compile")),
            queue=(task(state="open"), task(state="open")),
            lines="1\n2\n3\n4\n5\n6\n",
            tool="bash: make",
        )
        assert texts.status(state, NOW).splitlines() == [
            "Working for 60 s on: `build it`",
            "Progress: 5 of 10 – compile",
            "Time: 40 s to 80 s left (5 of 10 done)",
            "Now: `bash: make`",
            "Last lines:",
            "```",
            *"23456",
            "```",
            "Queued: 2 tasks.",
        ]

    def test_without_an_estimate_no_number_is_made_up(self) -> None:
        assert "no estimate" in texts.status(ChatState("7", worker=task()), NOW)

    def test_one_that_waits(self) -> None:
        assert (
            texts.status(ChatState("7", worker=task(state="open", taken=None)), NOW) == "Waiting to start: `build it`"
        )

    def test_the_last_one(self) -> None:
        last = task(state="done", ended=NOW - 10)
        assert texts.status(ChatState("7", recent=(last,)), NOW) == (
            "Nothing is running.\nLast: ✓ `build it` – done in 50 s, 10 s ago"
        )

    def test_an_answer_that_is_late_is_not_on_its_way(self) -> None:
        state = ChatState("7", worker=task(), talk=task())
        assert "on its way" in texts.status(state, NOW)
        assert "on its way" not in texts.too_late(60.0, state, NOW)


def test_tasks_are_running_queued_and_recent() -> None:
    state = ChatState(
        "7",
        worker=task(),
        queue=(task(state="open", title="test it"), task(state="open", title="ship it")),
        recent=(task(state="cancelled", title="plan it", ended=NOW - 5), task(state="failed", taken=None, ended=NOW)),
    )
    assert texts.tasks(state, NOW).splitlines() == [
        "▶ `build it` – running for 60 s",
        "1. `test it` – queued",
        "2. `ship it` – queued",
        "■ `plan it` – cancelled in 55 s, 5 s ago",
        "✗ `build it` – failed, 0 s ago",
    ]
    assert texts.tasks(ChatState("7"), NOW) == "No tasks yet."


class TestStop:
    def test_what_was_verified_is_said_plainly(self) -> None:
        assert texts.stopped(1.23, (), 0, "") == "Stopped in 1.2 s; nothing left running."
        assert texts.stopped(1.0, (), 2, "build it") == (
            'Stopped `build it` in 1.0 s; nothing left running. 2 queued tasks dropped.'
        )

    def test_what_was_not_verified_is_not_claimed(self) -> None:
        said = texts.stopped(1.0, ("the engine does not answer",), 1, "build it")
        assert "could not verify" in said
        assert "the engine does not answer" in said
        assert "nothing left running" not in said
        assert "1 queued task dropped" in said

    def test_nothing_to_stop(self) -> None:
        assert texts.nothing_to_stop(0) == "Nothing is running here."
        assert "1 request dropped" in texts.nothing_to_stop(1)


@given(st.text())
def test_a_title_is_one_short_line(text: str) -> None:
    title = texts.title(text)
    assert len(title) <= 60
    assert len(title.splitlines()) <= 1


@given(st.text(max_size=300), st.text(min_size=1, max_size=20), st.text(max_size=300))
def test_an_excerpt_is_short_and_in_one_line(before: str, words: str, after: str) -> None:
    found = texts.excerpt(before + words + after, words)
    assert len(found) <= 222
    assert len(found.splitlines()) <= 1


def test_an_excerpt_shows_the_words_and_that_there_is_more() -> None:
    assert texts.excerpt("a short text", "short") == "a short text"
    found = texts.excerpt("x" * 500 + " the needle " + "y" * 500, "NEEDLE")
    assert found.startswith("…x")
    assert " the needle y" in found
    assert found.endswith("y…")


@pytest.mark.parametrize("name", ["status", "stop", "tasks", "new", "help"])
def test_the_help_names_every_command(name: str) -> None:
    assert f"/{name} " in texts.HELP
    assert texts.start("Klåd").endswith(texts.HELP)


def test_a_stranger_learns_the_id_that_lets_them_in() -> None:
    assert "`4711`" in texts.denied(4711)
    assert "ALLOWED_USERS" in texts.denied(4711)
