from __future__ import annotations

import pytest

from klad.botapi.errors import ApiError
from klad.botapi.markup import parsed
from klad.botapi.text import Entity, checked, found, link, trimmed, with_found


def marks(entities: list[Entity], text: str) -> list[tuple[str, str]]:
    """(type, the text that it covers)."""
    wide = text.encode("utf-16-le")
    return [
        (e["type"], wide[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")) for e in entities
    ]


def test_commands_and_addresses_are_marked_in_utf16_units() -> None:
    text = "𝕏 /help@klad_bot see https://example.org/a?b=1. and /usr/bin or a/b, /stop"
    assert marks(found(text), text) == [
        ("bot_command", "/help@klad_bot"),
        ("url", "https://example.org/a?b=1"),
        ("bot_command", "/stop"),
    ]


def test_nothing_is_found_inside_code() -> None:
    text = "/help and /stop"
    code = [{"type": "code", "offset": 0, "length": 5}]
    assert marks(with_found(text, code), text) == [("code", "/help"), ("bot_command", "/stop")]


def test_trimming_moves_and_cuts_entities() -> None:
    entities = [{"type": "bold", "offset": 0, "length": 4}, {"type": "code", "offset": 6, "length": 3}]
    assert trimmed("  hi    \n", entities) == ("hi", [{"type": "bold", "offset": 0, "length": 2}])


@pytest.mark.parametrize(
    ("offset", "length", "words"),
    [
        (1, 1, "entity begins in a middle of a UTF-16 symbol"),
        (0, 1, "ends in a middle of a UTF-16 symbol"),
        (4, 1, "entity begins after the end of the text at UTF-16 offset 4"),
        (2, 2, "ends after the end of the text at UTF-16 offset 4"),
        (0, -1, "receive an entity with incorrect length -1"),
    ],
)
def test_an_entity_must_lie_on_whole_characters_of_the_text(offset: int, length: int, words: str) -> None:
    with pytest.raises(ApiError, match=words):
        checked([{"type": "bold", "offset": offset, "length": length}], "𝕏x")


def test_unknown_and_empty_entities_are_passed_over_and_extra_fields_dropped() -> None:
    given = [
        {"type": "sparkle", "offset": 0, "length": 1},
        {"type": "bold", "offset": 0, "length": 0},
        {"type": "italic", "offset": 0, "length": 1, "onclick": "alert(1)"},
    ]
    assert checked(given, "x") == [{"type": "italic", "offset": 0, "length": 1}]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "http://", "file:///etc/passwd"])
def test_only_addresses_of_the_web_and_telegram_become_links(url: str) -> None:
    assert link(url) is None
    with pytest.raises(ApiError, match="is invalid"):
        checked([{"type": "text_link", "offset": 0, "length": 1, "url": url}], "x")


@pytest.mark.parametrize(
    ("mode", "text", "plain", "expected"),
    [
        ("HTML", "<b>a <i>b</i></b> &lt;&amp;", "a b <&", [("bold", "a b"), ("italic", "b")]),
        ("HTML", '<pre><code class="language-py">x = 1</code></pre>', "x = 1", [("pre", "x = 1")]),
        ("HTML", '𝕏<a href="https://e.org/?a=1&amp;b">y</a>', "𝕏y", [("text_link", "y")]),
        ("HTML", '<a href="javascript:alert(1)">y</a>', "y", []),
        ("HTML", "<blockquote>q</blockquote><tg-spoiler>s</tg-spoiler>", "qs",
         [("blockquote", "q"), ("spoiler", "s")]),
        ("MarkdownV2", "*a _b_* __c__ ~d~ ||e||", "a b c d e",
         [("bold", "a b"), ("italic", "b"), ("underline", "c"), ("strikethrough", "d"), ("spoiler", "e")]),
        ("MarkdownV2", "1\\. `a\\`b` [t](https://e.org/\\))", "1. a`b t", [("code", "a`b"), ("text_link", "t")]),
        ("MarkdownV2", "```py\nx = *1*\n```", "x = *1*\n", [("pre", "x = *1*\n")]),
        ("MarkdownV2", ">one\n>two\nout", "one\ntwo\nout", [("blockquote", "one\ntwo\n")]),
        ("MarkdownV2", "**>one\n>two||", "one\ntwo", [("expandable_blockquote", "one\ntwo")]),
        ("Markdown", "*a* _b_ `c` [d](https://e.org) \\*", "a b c d *",
         [("bold", "a"), ("italic", "b"), ("code", "c"), ("text_link", "d")]),
    ],
)  # fmt: skip
def test_markup_becomes_entities(mode: str, text: str, plain: str, expected: list[tuple[str, str]]) -> None:
    got, entities = parsed(text, mode)
    assert got == plain
    assert marks(entities, got) == expected


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        ("HTML", "ä <blink>x</blink>", 'Unsupported start tag "blink" at byte offset 3'),
        ("HTML", "<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("HTML", "x</b>", "Unexpected end tag at byte offset 1"),
        ("HTML", "<b>x</i></b>", "Unexpected end tag"),
        ("HTML", "1 < 2", "Unsupported start tag"),
        ("MarkdownV2", "a.b", "Character '.' is reserved and must be escaped"),
        ("MarkdownV2", "*a", "Can't find end of bold entity"),
        ("MarkdownV2", "`a", "Can't find end of code entity"),
        ("MarkdownV2", "[a]", "Can't find end of a URL"),
        ("Markdown", "*a", "Can't find end of the entity"),
    ],
)
def test_broken_markup_is_refused(mode: str, text: str, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        parsed(text, mode)
    assert refused.value.code == 400
    assert words in refused.value.description
