"""The rules of a slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad import slots
from klad.words import Run, Slot, Turn

CHATS = st.sampled_from([str(number) for number in range(6)])
SLOTS: st.SearchStrategy[Slot] = st.sampled_from(["chat", "worker"])
STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end"]), CHATS, SLOTS), max_size=80)


def turn(*, tools: int = 0, attempts: int = 1) -> Turn:
    return Turn(1, "7", "worker", "taken", 0.0, tools=tools, attempts=attempts)


def run(name: str, slot: Slot = "worker", *, created: float = 0.0, state: str = "live") -> Run:
    return Run(name, "7", slot, state, created)  # type: ignore[arg-type]


@given(STEPS, st.integers(2, 7))
def test_the_limit_holds_and_one_place_is_kept_for_answering(steps: list[tuple[str, str, Slot]], limit: int) -> None:
    live: dict[tuple[str, Slot], Run] = {}
    for what, chat, slot in steps:
        if what == "end":
            live.pop((chat, slot), None)
        elif (chat, slot) not in live and slots.place_for(slot, list(live.values()), limit):
            live[chat, slot] = Run(f"{chat}{slot}", chat, slot, "live", 0.0)
        workers = sum(run.slot == "worker" for run in live.values())
        assert len(live) <= limit
        assert workers <= limit - 1
        if workers == len(live):
            assert slots.place_for("chat", list(live.values()), limit), "an answer never waits for workers alone"


class TestAfterExit:
    def test_without_a_tool_call_the_turn_is_tried_again(self) -> None:
        assert slots.after_exit(turn(), "it was killed") == slots.Requeue()

    def test_but_not_for_ever(self) -> None:
        fate = slots.after_exit(turn(attempts=slots.MAX_ATTEMPTS), "it was killed")
        assert isinstance(fate, slots.Fail)
        assert "it was killed" in fate.text

    @given(st.integers(1, 10**6), st.integers(0, 10))
    def test_with_a_tool_call_begun_it_is_never_tried_again(self, tools: int, attempts: int) -> None:
        fate = slots.after_exit(turn(tools=tools, attempts=attempts), "it was killed")
        assert isinstance(fate, slots.Fail)
        assert f"{tools} tool call" in fate.text


class TestCause:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (0, "left early"),
            (78, "not the one that was checked"),
            (137, "killed"),
            (3, "exit code 3"),
            (None, "not known"),
        ],
    )
    def test_a_code_in_words(self, code: int | None, words: str) -> None:
        assert words in slots.cause_of_exit(code, out_of_memory=False, crash="")

    def test_memory_comes_before_everything_else(self) -> None:
        assert slots.cause_of_exit(137, True, "MemoryError") == "it ran out of memory"

    def test_a_crash_is_named_by_its_last_line(self) -> None:
        assert "KeyError: 'a'" in slots.cause_of_exit(1, False, "Traceback\n  File\nKeyError: 'a'\n\n")

    @pytest.mark.parametrize("crash", [" ", "\n", "\r\n\t", "\x0c"])
    def test_a_crash_without_words_is_told_by_its_code(self, crash: str) -> None:
        assert slots.cause_of_exit(1, False, crash) == "exit code 1"

    @given(st.one_of(st.none(), st.integers()), st.booleans(), st.text())
    def test_it_always_says_something_short_in_one_line(self, code: int | None, memory: bool, crash: str) -> None:
        said = slots.cause_of_exit(code, memory, crash)
        assert said
        assert len(said) < 300
        assert len(said.splitlines()) == 1


class TestEvictable:
    def test_the_worker_that_has_been_there_longest_goes(self) -> None:
        live = [run("b", created=2.0), run("a", created=1.0), run("c", created=3.0)]
        assert slots.evictable(live, frozenset()) == live[1]
        assert slots.evictable(live, frozenset({"a"})) == live[0]

    def test_chat_runs_working_ones_and_those_that_come_or_go_stay(self) -> None:
        live = [run("a", "chat"), run("b"), run("c", state="starting"), run("d", state="retiring")]
        assert slots.evictable(live, frozenset({"b"})) is None
        assert slots.evictable([], frozenset()) is None
