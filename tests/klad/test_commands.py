"""Commands, the bare "stop", and questions about the status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad import commands
from klad.commands import Command

BOT = "klad_bot"


@pytest.mark.parametrize(
    "text", ["stop", "Stop", " STOP! ", "stop...", "stop it", "Stop now!", "halt", "/stop", "/STOP"]
)
def test_a_bare_stop_is_the_command(text: str) -> None:
    assert commands.parse(text, BOT) == Command("stop")


@pytest.mark.parametrize("text", ["stop the server", "don't stop", "bus stop", "unstoppable", "stop\nand think"])
def test_words_that_merely_hold_a_stop_are_words(text: str) -> None:
    assert commands.parse(text, BOT) is None


@pytest.mark.parametrize("name", sorted(commands.NAMES))
def test_every_command_is_known_alone_addressed_and_with_more_words(name: str) -> None:
    assert commands.parse(f"/{name}", BOT) == Command(name)
    assert commands.parse(f"/{name}@{BOT.upper()}", BOT) == Command(name)
    assert commands.parse(f"/{name}  more \n words ", BOT) == Command(name, "more \n words")


def test_another_bots_command_is_not_ours() -> None:
    assert commands.parse("/stop@other_bot", BOT) == Command("foreign")
    assert commands.parse("/anything@other_bot", BOT) == Command("foreign")


def test_an_unknown_command_says_which() -> None:
    assert commands.parse("/frobnicate now", BOT) == Command("unknown", "frobnicate")


@pytest.mark.parametrize(
    "text", ["", "/", "//", "/run make", "/RUN make", "/usr/bin/env", "a /stop", "/ stop", "/näh", "$ stop"]
)
def test_everything_else_is_for_an_agent(text: str) -> None:
    assert commands.parse(text, BOT) is None


@given(st.text(), st.text(max_size=40))
def test_parsing_never_raises(text: str, bot: str) -> None:
    found = commands.parse(text, bot)
    assert found is None or found.name in commands.NAMES | {"unknown", "foreign"}
    assert commands.asks_for_status(text) in (True, False)


@pytest.mark.parametrize(
    "text",
    ["status", "Status?", "how long?", "how's it going", "how is it going?", "ETA", "are you done?", "done yet?",
     "still running?", "ping", "you there?", "time left?", "when will it be done?", "...progress?"],
)  # fmt: skip
def test_a_question_that_the_status_answers(text: str) -> None:
    assert commands.asks_for_status(text)


@pytest.mark.parametrize(
    "text",
    ["", "what did step 2 print?", "pingpong", "statuses of all the orders", "status?\nand delete it all",
     "how long is a piece of string, and while you are at it please also write me a poem about it, with rhymes"],
)  # fmt: skip
def test_other_words_are_no_question_about_the_status(text: str) -> None:
    assert not commands.asks_for_status(text)


def test_a_long_text_is_looked_at_quickly() -> None:
    assert not commands.asks_for_status("when will " * 100_000)
    assert commands.parse("/" + "a" * 1_000_000, BOT) is None


def test_the_menu_is_what_telegram_takes() -> None:
    """setMyCommands: 1 to 32 of a-z, 0-9 and _; descriptions of 1 to 256 characters."""
    for name, description in commands.MENU:
        assert name in commands.NAMES
        assert name.isascii()
        assert 1 <= len(description) <= 256
