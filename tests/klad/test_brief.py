"""All that an agent is given with a turn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad import brief
from klad.brief import HISTORY_CHARS, HISTORY_ITEMS, About, Asked, Said
from klad.words import ChatState, Progress, Turn

NOW = 1_700_000_000.0
ABOUT = About("Åsa", "Europe/Stockholm", "large", "small")
TEXTS = st.text(max_size=50) | st.text(min_size=1, max_size=3).map(lambda text: text * 3000)
STATUS_KEYS = {"state", "task", "elapsed_s", "progress", "estimate", "tool", "last_lines", "queue", "last"}


def turn(slot: str = "worker", **more: Any) -> Turn:
    given = {"state": "taken", "created": NOW - 70, "taken": NOW - 60, "title": "build it", **more}
    return Turn(17, "7", slot, **given)  # type: ignore[arg-type]


def compose(
    history: list[Said] | None = None, *, slot: str = "worker", state: ChatState | None = None
) -> dict[str, Any]:
    asked = [Asked(5, "David", "build it", NOW - 65, "what about it?"), Asked(6, "David", "please", NOW - 64)]
    return brief.compose(turn(slot), asked, history or [], ["tea", "no sugar"], state or ChatState("7"), ABOUT, NOW)


def test_it_is_what_the_protocol_says() -> None:
    found = compose()
    assert found["protocol"] == 1
    assert (found["turn"], found["chat"], found["slot"], found["assistant"]) == (17, "7", "worker", "Åsa")
    assert found["now"] == "2023-11-14T23:13:20+01:00"
    assert found["messages"] == [
        {
            "id": 5,
            "from": "David",
            "text": "build it",
            "at": "2023-11-14T23:12:15+01:00",
            "reply_to": "what about it?",
        },
        {"id": 6, "from": "David", "text": "please", "at": "2023-11-14T23:12:16+01:00"},
    ]
    assert found["memory"] == "- tea\n- no sugar"
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(("slot", "model", "deadline"), [("worker", "large", None), ("chat", "small", 60.0)])
def test_each_slot_has_its_model_and_the_chat_slot_a_deadline(slot: str, model: str, deadline: float | None) -> None:
    found = compose(slot=slot)
    assert (found["model"], found["deadline_s"]) == (model, deadline)


@given(st.lists(st.builds(Said, st.sampled_from(["user", "klad", "worker"]), TEXTS, st.floats(0, 1e10)), max_size=60))
def test_history_is_the_newest_that_fits_in_its_order(history: list[Said]) -> None:
    found = compose(history)["history"]
    assert len(found) <= HISTORY_ITEMS
    assert sum(len(said["text"]) for said in found) <= HISTORY_CHARS
    latest = history[len(history) - len(found) :]
    for shown, said in zip(found, latest, strict=True):
        assert shown["who"] == said.who
        assert shown["text"] == said.text or (len(said.text) > 2000 and shown["text"][:1000] == said.text[:1000])


def test_a_long_entry_keeps_its_beginning_and_its_end() -> None:
    (found,) = compose([Said("worker", "a" * 5000 + "z" * 5000, NOW)])["history"]
    assert found["text"] == "a" * 1000 + "\n[…]\n" + "z" * 900


@pytest.mark.parametrize("at", [9e18, -9e18, 1e15, float("inf"), float("nan")])
def test_a_date_beyond_the_calendar_is_taken_for_now(at: float) -> None:
    assert compose([Said("user", "x", at)])["history"][0]["at"] == "2023-11-14T23:13:20+01:00"


class TestWorker:
    def test_idle(self) -> None:
        last = turn(state="done", result="x" * 5000)
        found = brief.worker_status(ChatState("7", recent=(last,)), NOW)
        assert (found["state"], found["task"], found["queue"]) == ("idle", "", [])
        assert found["last"] == {"task": "build it", "state": "done", "result": "x" * 1500}
        assert set(found) == STATUS_KEYS

    def test_waiting(self) -> None:
        found = brief.worker_status(ChatState("7", worker=turn(state="open", taken=None)), NOW)
        assert (found["state"], found["elapsed_s"], found["estimate"]) == ("waiting", 0.0, None)
        assert set(found) == STATUS_KEYS

    def test_busy(self) -> None:
        state = ChatState(
            "7",
            worker=turn(progress=Progress(3, 4, "link")),
            queue=(turn(state="open", title="test it"),),
            lines="step 2",
            tool="bash: make",
        )
        found = brief.worker_status(state, NOW)
        assert found == {
            "state": "busy",
            "task": "build it",
            "elapsed_s": 60.0,
            "progress": {"done": 3, "total": 4, "step": "link"},
            "estimate": {"low_s": 15, "high_s": 25, "source": "3 of 4 done"},
            "tool": "bash: make",
            "last_lines": "step 2",
            "queue": ["test it"],
            "last": None,
        }
