from __future__ import annotations

import logging
import re
import time

import pytest
import telegramify_markdown
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from telegram import MessageEntity

from klad.telegram.formatting import LIMIT, Part, _literal, render, split, units

PIECES = (
    *("**bold**", "_it_", "`code`", "```py\nx = 1\n```", "\n", "\n\n", "> quote", "- item\n", "# head\n", "🎉", "å"),
    *("[link](https://a.b)", "<div>", "</div>", "<b>", "||", "$", "$$", "`", "```", "~~", "|a|b|\n|-|-|\n|1|2|\n"),
    *("\\", "\ud800", "\x00", "    ", "word ", "x" * 30, "🎉" * 20, "<!--", "&lt;"),
)
MARKDOWN = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(codec=None), max_size=8),
    max_size=60,
).map("".join)


def text_of(markdown: str) -> str:
    return "\n".join(part.text for part in render(markdown))


def marked(part: Part) -> list[tuple[str, str]]:
    data = part.text.encode("utf-16-le")
    return [(e.type, data[e.offset * 2 : (e.offset + e.length) * 2].decode("utf-16-le")) for e in part.entities]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u00a0\t"])
def test_blank_text_gives_nothing(text: str) -> None:
    assert render(text) == []


def test_markdown_becomes_text_and_entities() -> None:
    [part] = render("🎉 **bold** and `code`\n```py\nx = 1\n```")
    assert part.text == "🎉 bold and code\nx = 1"
    assert sorted(marked(part)) == [("bold", "bold"), ("code", "code"), ("pre", "x = 1")]
    assert [e.language for e in part.entities if e.type == "pre"] == ["py"]


@pytest.mark.parametrize(
    "text",
    [
        "a List<int> here",
        "<div>\nfoo\n</div>\nafter",
        "<!-- x --> y <script>alert(1)</script>",
        "a || b || c",
        "PATH=$HOME/bin:$PATH",
        "$$x$$ and $y$",
        "- a <b>\n- <i>c",
        "<div>\n<b>x</b> $a$ || <i> ||",
    ],
)
def test_no_words_are_lost_to_html_spoilers_and_mathematics(text: str) -> None:
    kept = re.sub(r"[\s•-]", "", text_of(text))
    assert kept == re.sub(r"[\s-]", "", text)


def test_code_is_left_as_it_is() -> None:
    assert text_of("`<b> $x$ || ||`\n```\n<i> || $y$ ||\n```") == "<b> $x$ || ||\n<i> || $y$ ||"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SAY costs $5 and `x$y`", "SAY costs $5 and x$y"),
        ("<div>\n`a<b>`", "<div>\na<b>"),
        ("<div>\n```\n<x>\n```", "<div>\n<x>"),
        ("`p$i` costs $1, `p$i`", "p$i costs $1, p$i"),
        ("from $1 `p$i` then `p$i`", "from $1 p$i then p$i"),
        ("$$ `a$$b` <i `c>d<e>`", "$$ a$$b <i c>d<e>"),
        ("<b title='`'> <i>`", "<b title=''> <i>"),
        ("<!--\n\n```\n$a$ <b> || ||\n```\n-->", "<!--\n\n$a$ <b> || ||\n-->"),
        ("|a|\n|-|\n|`$x$ <b>`|\n$ <i> $", None),
        (r"\$a \\$b$ \<i> `\$`", r"$a \$b$ <i> \$"),
        ("`a\n  <div>b` c\n\n> `a\n> <p>`", "a <div>b c\n\na <p>"),
        ("<div>\n" + "<p>\n" * 50 + "`<b>`", "<div>\n" + "<p>\n" * 50 + "<b>"),
    ],
)
def test_code_after_what_looks_like_html_or_mathematics_is_left_as_it_is(text: str, shown: str | None) -> None:
    if shown is not None:
        assert text_of(text) == shown
    assert "\\" in text or "\\" not in text_of(text)


def test_bars_in_code_in_a_table_end_no_cell() -> None:
    row = "a || b || `x||y` || c"
    assert "x||y" in text_of(row)
    assert "x||y" in text_of(f"|a|\n|-|\n|{row}|")
    assert "\\" not in text_of(f"|a||b|\n|-|-|-|\n|{row}|")


def test_links_in_angle_brackets_stay_links() -> None:
    [part] = render("<https://a.b/$c> $1 <b> [x](<https://c.d>) ](<i>)")
    assert part.text == "https://a.b/$c $1 <b> x ](<i>)"
    assert marked(part) == [("text_link", "https://a.b/$c"), ("text_link", "x")]


_PLAIN = MarkdownIt("commonmark").disable(["html_block", "html_inline"])
_TRICKY = (
    *("word", "a", " ", "$", "$$", "<", ">", "|", "||", "`", "``", "```", "\n", "\n\n"),
    *("<div>", "<b>", "<!--", "`x`", "<https://a.b/$>", "    "),
)


def code_in(markdown: str) -> list[str]:
    tokens = [inner for token in _PLAIN.parse(markdown) for inner in (token, *(token.children or ()))]
    found = [token.content for token in tokens if token.type in {"code_inline", "code_block", "fence"}]
    return [" ".join(content.split()) for content in found if content.strip()]


@given(st.lists(st.sampled_from(_TRICKY), max_size=40).map("".join))
def test_code_comes_out_as_it_was_written_and_no_word_is_lost(markdown: str) -> None:
    parts = render(markdown)
    shown = [" ".join(text.split()) for part in parts for kind, text in marked(part) if kind in {"code", "pre"}]
    assert [text for text in shown if text] == code_in(markdown)
    text = "".join(part.text for part in parts)
    assert "\\" not in text
    if "```" not in markdown:  # the name of a code block's language is not shown
        assert [c for c in text if c.isalpha() or c == "$"] == [c for c in markdown if c.isalpha() or c == "$"]


@pytest.mark.parametrize(
    "piece",
    ["<p>\n", "<p>`x<y`</p>\n", "$1 `x$y` ", "a || `b||c` ", "](<b>", "<a:", "[<", "\\", "<!-- `\n\n", "> <p>\n"],
)
def test_a_long_text_takes_little_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    _literal(text)
    assert time.process_time() - began < 5


def test_a_link_that_telegram_would_refuse_is_plain_text() -> None:
    [part] = render("[a](https://x.y) [b](src/b.py) [c](javascript:x)")
    assert marked(part) == [("text_link", "a")]


def test_what_renders_to_nothing_is_sent_as_it_was_written() -> None:
    assert text_of("[a]: http://x.y") == "[a]: http://x.y"


@pytest.mark.parametrize("error", [ValueError("no"), BaseException("a panic of the Rust parser")])
def test_a_failure_of_the_library_falls_back_to_plain_text(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(telegramify_markdown, "convert", fail)
    with caplog.at_level(logging.CRITICAL):
        assert render("**a**") == [Part("**a**")]


def test_a_text_of_exactly_the_limit_is_one_part() -> None:
    assert [units(part.text) for part in render("x" * LIMIT)] == [LIMIT]
    assert [units(part.text) for part in render("x" * (LIMIT + 1))] == [LIMIT, 1]
    assert [units(part.text) for part in render("🎉" * (LIMIT // 2 + 1))] == [LIMIT, 2]


def test_a_surrogate_pair_is_never_cut() -> None:
    assert [part.text for part in split("x🎉🎉", (), 4)] == ["x🎉", "🎉"]


def test_it_is_cut_between_paragraphs_rather_than_lines_and_words() -> None:
    assert [part.text for part in split("aa bb\ncc\n\ndd ee ff", (), 14)] == ["aa bb\ncc", "dd ee ff"]
    assert [part.text for part in split("aa bb cc\ndd ee", (), 12)] == ["aa bb cc", "dd ee"]
    assert [part.text for part in split("aa bb cc dd", (), 10)] == ["aa bb cc", "dd"]


def test_a_separator_in_the_first_half_does_not_make_a_tiny_part() -> None:
    assert [part.text for part in split("a bbbbbbbbb", (), 8)] == ["a bbbbbb", "bbb"]


def test_a_separator_just_beyond_the_limit_is_used() -> None:
    assert [part.text for part in split("abcd efgh", (), 4)] == ["abcd", "efgh"]


def test_an_entity_over_a_cut_goes_on_after_it() -> None:
    parts = split("aaaa bbbb", [MessageEntity("bold", 2, 6)], 5)
    assert [(part.text, marked(part)) for part in parts] == [("aaaa", [("bold", "aa")]), ("bbbb", [("bold", "bbb")])]


def test_indentation_at_the_start_of_a_part_is_kept() -> None:
    assert [part.text for part in split("def f():\n    return 1", (), 14)] == ["def f():", "    return 1"]


@given(MARKDOWN, st.sampled_from([16, 50, LIMIT]))
def test_every_part_fits_and_its_entities_lie_within(markdown: str, limit: int) -> None:
    parts = render(markdown, limit)
    assert parts == render(markdown, limit)
    assert bool(parts) == bool(markdown.replace("\x00", "\ufffd").strip())
    for part in parts:
        assert part.text.strip()
        part.text.encode()
        assert units(part.text) <= limit
        whole = part.text.encode("utf-16-le")
        for entity in part.entities:
            assert entity.offset >= 0
            assert entity.length > 0
            assert entity.offset + entity.length <= units(part.text)
            whole[entity.offset * 2 : (entity.offset + entity.length) * 2].decode("utf-16-le")


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.integers(2, 40))
def test_splitting_loses_nothing_but_blanks(text: str, limit: int) -> None:
    assert "".join("".join(part.text for part in split(text, (), limit)).split()) == "".join(text.split())


@given(st.text("ab<>/! ", max_size=40))
def test_no_letter_is_lost_whatever_looks_like_html(text: str) -> None:
    assert [c for c in text_of(text) if c in "ab"] == [c for c in text if c in "ab"]
