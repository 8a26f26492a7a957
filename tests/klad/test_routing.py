"""Who may speak, and where words go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad import routing
from klad.commands import Command
from klad.routing import Ask, Deny, House, Ignore, NotText, ToSlot
from klad.words import ChatState, Inbound, Turn

HOUSE = House(frozenset({42}), "klad_bot")
TEXTS = st.one_of(st.text(), st.sampled_from(["/stop", "stop", "/new@klad_bot", "/new@other_bot", "hello", "/x", ""]))
KINDS = st.sampled_from(["private", "group", "supergroup", "channel", "", "what comes next"])


def inbound(text: str, *, kind: str = "private", sender: int = 42) -> Inbound:
    return Inbound("7", kind, "David", sender, "David", text, 1, 0.0)


def admit(text: str, *, kind: str = "private", sender: int = 42, **more: Any) -> object:
    given = {"what": "", "addressed": False, "edited": False, **more}
    return routing.admit(HOUSE, inbound(text, kind=kind, sender=sender), **given)


@given(TEXTS, KINDS, st.integers(), st.text(max_size=8), st.booleans(), st.booleans(), st.frozensets(st.integers()))
def test_whoever_is_not_allowed_gets_nowhere(
    text: str, kind: str, sender: int, what: str, addressed: bool, edited: bool, allowed: frozenset[int]
) -> None:
    house = House(allowed - {sender}, "klad_bot")
    decision = routing.admit(
        house, inbound(text, kind=kind, sender=sender), what=what, addressed=addressed, edited=edited
    )
    assert isinstance(decision, Deny | Ignore)
    if kind != "private":
        assert isinstance(decision, Ignore), "a group isn't told about each of its members"


@given(TEXTS, st.sampled_from(["group", "supergroup", "channel"]), st.text(max_size=8))
def test_in_a_group_only_what_is_meant_for_the_bot_counts(text: str, kind: str, what: str) -> None:
    decision = admit(text, kind=kind, what=what)
    assert isinstance(decision, Ignore | Ask)
    if isinstance(decision, Ask):
        assert text.strip().startswith("/")


def test_the_owners_words_go_to_a_slot() -> None:
    assert admit("build it") is None
    assert admit("build it", kind="group", addressed=True) is None
    assert admit("/run make") is None


def test_a_command_is_for_the_router() -> None:
    assert admit("/status") == Ask(Command("status"))
    assert admit("stop") == Ask(Command("stop"))
    assert admit("/frobnicate") == Ask(Command("unknown", "frobnicate"))
    assert admit("/status", kind="group") == Ask(Command("status"))
    assert admit("/status@klad_bot", kind="group") == Ask(Command("status"))


@pytest.mark.parametrize("text", ["stop", "/frobnicate", "/status@other_bot", "/run make", "hello"])
def test_in_a_group_other_bots_and_other_peoples_words_are_left_alone(text: str) -> None:
    assert isinstance(admit(text, kind="group"), Ignore)


def test_a_stop_that_is_said_to_the_bot_in_a_group_counts() -> None:
    assert admit("stop", kind="group", addressed=True) == Ask(Command("stop"))


def test_a_stranger_is_told_in_private() -> None:
    assert admit("hello", sender=43) == Deny()
    assert admit("/start", sender=43) == Deny()
    assert isinstance(admit("hello", sender=43, kind="group", addressed=True), Ignore)


def test_a_thing_without_words_is_named() -> None:
    assert admit("", what="sticker") == NotText("sticker")
    assert admit("a caption", what="photo") is None


def test_edits_and_mere_notices_are_passed_over() -> None:
    assert isinstance(admit("build it differently", edited=True), Ignore)
    assert isinstance(admit("  "), Ignore)
    assert isinstance(admit("", sender=43), Ignore)


def turn(**more: Any) -> Turn:
    return Turn(1, "7", "worker", **{"state": "open", "created": 0.0, **more})


@pytest.mark.parametrize(
    ("worker", "slot"),
    [
        (None, "worker"),
        (turn(), "worker"),
        (turn(state="taken"), "chat"),
        (turn(request="test it"), "chat"),
        (turn(waiting=True), "chat"),
    ],
)
def test_words_go_to_the_worker_if_it_is_free_and_to_the_chat_slot_if_it_is_busy(
    worker: Turn | None, slot: str
) -> None:
    assert routing.choose_slot("build it", ChatState("7", worker=worker)) == ToSlot(slot)  # type: ignore[arg-type]


def test_a_status_question_about_a_busy_worker_is_watched() -> None:
    assert routing.choose_slot("status?", ChatState("7", worker=turn(state="taken"))) == ToSlot("chat", watch=True)
    assert routing.choose_slot("status?", ChatState("7")) == ToSlot("worker")
