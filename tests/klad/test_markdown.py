from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klad.markdown import code, fenced, one_line
from klad.telegram import render

MARKUP = st.text(alphabet="ab`*_~|[](){}<>#!\\\n $.", max_size=60)


@given(MARKUP)
def test_inline_code_shows_its_words_as_they_are(text: str) -> None:
    words = " ".join(text.split())
    if words:
        shown = "".join(part.text for part in render(f"on: {code(text)}"))
        assert shown.strip() == f"on: {words}".strip()


@given(MARKUP)
def test_a_block_holds_any_fence_that_is_in_it(text: str) -> None:
    lines = fenced(text).split("\n")
    assert lines[0] == lines[-1]
    assert lines[0] not in text


def test_one_line_is_cut_with_a_mark() -> None:
    assert one_line("a\n b   c", 10) == "a b c"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
