"""No secret is left in what has passed the redactor."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from klad.redact import MASK, SHORTEST, RedactingFormatter, Redactor

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
SECRETS = st.lists(st.text(st.characters(codec="utf-8"), min_size=SHORTEST, max_size=30), min_size=1, max_size=4)
TOKENS = st.from_regex(r"[0-9]{6,20}:[A-Za-z0-9_-]{30,100}", fullmatch=True)


@given(SECRETS, st.lists(WORDS, min_size=2, max_size=8), st.data())
def test_no_known_secret_is_left(secrets: list[str], words: list[str], data: st.DataObject) -> None:
    # What a mask and its neighbours spell together was in no text.
    assume(not any(set(secret) & set(MASK) for secret in secrets))
    text = "".join(word + data.draw(st.sampled_from(secrets)) for word in words)
    redacted = Redactor(secrets)(text)
    assert not any(secret in redacted for secret in secrets)
    assert MASK in redacted


@given(
    st.text(st.sampled_from("/ =\"'\nbot<å"), max_size=10),
    TOKENS,
    st.text(st.sampled_from("/ \"'\n&.<å"), max_size=10),
)
def test_a_bot_tokens_shape_is_never_left(before: str, token: str, after: str) -> None:
    redacted = Redactor()(before + token + after)
    assert redacted == before + MASK + after


@pytest.mark.parametrize(
    "text",
    [
        f"https://api.telegram.org/bot{TOKEN}/getMe",
        f"POST /bot{TOKEN.replace(':', '%3A')}/sendMessage",
        f"token={TOKEN}",
        f"'{TOKEN}'",
        f"_{TOKEN}_",
    ],
)
def test_the_ways_in_which_a_token_gets_into_a_log(text: str) -> None:
    redacted = Redactor()(text)
    assert "AAHdqTcv" not in redacted
    assert MASK in redacted


def test_a_secret_within_another_does_not_leave_the_rest_standing() -> None:
    assert Redactor(["sk-ant-12345678", "12345678"])("a sk-ant-12345678 b 12345678 c") == f"a {MASK} b {MASK} c"


def test_a_short_word_is_no_secret_and_an_empty_one_blanks_out_nothing() -> None:
    assert Redactor(["", "abc", "1234567"])("abc 1234567") == "abc 1234567"


@pytest.mark.parametrize(
    "text", ["", "12:30", "2024-01-01T12:00:00", "a:b", "http://host:8080/path", "1" * 30 + ":x"]
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["a-secret-that-is-not-there"])(text) == text


def test_a_secret_is_taken_as_it_is_and_not_as_a_pattern() -> None:
    redact = Redactor([".*.*.*.*", "(unclosed"])
    assert redact("everything else") == "everything else"
    assert redact("(unclosed .*.*.*.*") == f"{MASK} {MASK}"


def test_a_long_text_passes_quickly() -> None:
    text = "1" * 300_000
    assert Redactor([TOKEN])(text) == text
    assert Redactor([TOKEN])("123456:" * 50_000)[:7] == "123456:"


@given(st.text())
def test_it_takes_any_text_and_twice_is_once(text: str) -> None:
    redact = Redactor([TOKEN])
    assert redact(redact(text)) == redact(text)


class TestLog:
    def line(self, message: str, *args: object, error: BaseException | None = None) -> str:
        formatter = RedactingFormatter("%(levelname)s %(message)s", Redactor(["hunter2hunter2"]))
        info = (type(error), error, error.__traceback__) if error is not None else None
        record = logging.LogRecord("klad", logging.ERROR, __file__, 1, message, args, info)
        formatter.format(record)
        return formatter.format(record)  # a second handler's: the record keeps the first one's traceback

    def test_the_message_and_its_arguments(self) -> None:
        assert self.line("with %s", "hunter2hunter2") == f"ERROR with {MASK}"

    def test_the_traceback_and_the_cause_of_the_error(self) -> None:
        try:
            try:
                raise KeyError("hunter2hunter2")
            except KeyError as cause:
                raise ValueError(f"bot{TOKEN}") from cause
        except ValueError as error:
            said = self.line("failed", error=error)
        assert "Traceback" in said
        assert "KeyError" in said
        assert "hunter2hunter2" not in said
        assert TOKEN not in said

    def test_an_exception_that_is_none(self) -> None:
        formatter = RedactingFormatter("%(message)s", Redactor())
        assert formatter.formatException(sys.exc_info()) == "NoneType: None"
