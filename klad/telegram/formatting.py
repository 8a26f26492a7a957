"""Markdown → the texts and entities that Telegram takes. Pure, total and repeatable.

telegramify-markdown does the converting. Two of its habits lose words, and are undone first: it drops
anything that looks like HTML (`List<int>`, and a whole message that begins with `<div>`), and it reads
`a || b || c` as a spoiler and `$HOME:$PATH` as mathematics. Offsets and lengths are UTF-16 code units
(https://core.telegram.org/api/entities#entity-length).
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import pyromark
import telegramify_markdown
from telegram import MessageEntity
from telegramify_markdown.converter import STANDARD_OPTIONS

log = logging.getLogger(__name__)

LIMIT = 4096
"""UTF-16 units that one message may have (https://core.telegram.org/bots/api#sendmessage)."""

_KEPT = frozenset(
    (
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
    )
)
_LINK = re.compile(r"(?:https?|tg|mailto|tel):", re.IGNORECASE)
_SPOILER_MARK = re.compile(r"(?<!\\)\|\|")
_HTML_OR_MATHS = re.compile(r"(?<!\\)(?:\\\\)*[<$]")
"""Ends with a `<` or `$` that no backslash escapes."""
_BREAK_BEFORE_HTML = re.compile(r"(?:\r\n?|\n)[ \t>]*(?=<)")
"""Within code in a paragraph: shown as a blank, but a `<div>` after it would end the paragraph and the code."""
_LINK_IN_ANGLES = re.compile(
    r"(?:\][(:][ \t]*(?=<[^<>\n]*>)|(?=<[a-z][a-z0-9+.-]{1,31}:[^\s<>]*>)|(?=<[^\s<>@]+@[a-z0-9.-]+>))(<)",
    re.ASCII | re.IGNORECASE,
)
"""`[a](<b>)`, `[a]: <b>`, `<https://a.b>` and `<a@b.c>`: the `<` of what may be a link."""


@dataclass(frozen=True, slots=True)
class Part:
    """One message's worth: never blank, at most the limit, no entity outside of it."""

    text: str
    entities: tuple[MessageEntity, ...] = ()


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def render(markdown: str, limit: int = LIMIT) -> list[Part]:
    """The messages that say `markdown`, each at most `limit` (at least 2) units.

    The same text always gives the same parts: a long text half of which was delivered before a crash
    goes on from the part where it was. Blank text gives none. Raises nothing.
    """
    source = _clean(markdown)
    if not source.strip():
        return []
    try:
        text, entities = telegramify_markdown.convert(_literal(source), latex_escape=False, config=_CONFIG)
        found = [MessageEntity(e.type, e.offset, e.length, e.url, language=e.language) for e in entities]
        return split(_clean(text), found, limit) or split(source, (), limit)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of its Rust parser is a BaseException
        log.warning("telegramify-markdown failed (%r); the text is sent plain", error)
        return split(source, (), limit)


def split(text: str, entities: Iterable[MessageEntity], limit: int = LIMIT) -> list[Part]:
    """Cut between paragraphs, lines or words where one ends in the second half of what fits."""
    starts = list(accumulate((2 if ord(char) > 0xFFFF else 1 for char in text), initial=0))
    known = [entity for entity in entities if _usable(entity, starts)]
    parts: list[Part] = []
    position = 0
    while position < len(text):
        end = bisect_right(starts, starts[position] + limit) - 1
        if end < len(text):
            end = _cut(text, position, end)
        first, last = position, end
        while first < last and text[first] in "\r\n":
            first += 1
        last = first + len(text[first:last].rstrip())
        if text[first:last].strip():
            parts.append(Part(text[first:last], tuple(_clipped(known, starts[first], starts[last]))))
        position = end
    return parts


def _cut(text: str, start: int, end: int) -> int:
    middle = start + (end - start) // 2
    for separator in ("\n\n", "\n", " "):
        # One beyond the end: a separator there costs nothing, as blanks at an edge are left out.
        at = text.rfind(separator, middle, end + 1)
        if at > start:
            return at + len(separator)
    return end


def _usable(entity: MessageEntity, starts: list[int]) -> bool:
    begin, stop = entity.offset, entity.offset + entity.length
    if entity.type not in _KEPT or begin < 0 or entity.length <= 0 or stop > starts[-1]:
        return False
    if entity.type == "text_link" and not (entity.url and _LINK.match(entity.url)):
        return False
    return starts[bisect_left(starts, begin)] == begin and starts[bisect_left(starts, stop)] == stop


def _clipped(entities: list[MessageEntity], begin: int, stop: int) -> Iterable[MessageEntity]:
    for entity in entities:
        first, last = max(entity.offset, begin), min(entity.offset + entity.length, stop)
        if first < last:
            yield MessageEntity(entity.type, first - begin, last - first, entity.url, language=entity.language)


def _clean(text: str) -> str:
    """No lone surrogates and no NUL: neither can be sent."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def _literal(markdown: str) -> str:
    """The same Markdown with HTML, spoiler bars and mathematics escaped, so that they are read as text.

    Escaping turns what was inside of them into Markdown, some of it code, in which a backslash would show.
    So the parser is asked where the code is in a copy that has `%`, punctuation too, for each character that
    may be escaped: once those outside of code are escaped, the code is in the same places.
    """
    source = markdown.encode()
    text = source.decode("latin-1")  # one character a byte, as the parser counts bytes
    bars = [match.start() for match in _SPOILER_MARK.finditer(text)]
    spoilers = {at for bar in bars for at in (bar, bar + 1)} if len(bars) > 1 else set()
    signs = {match.end() - 1 for match in _HTML_OR_MATHS.finditer(text)}
    if not signs and not spoilers:
        return markdown
    links = {match.start(1) for match in _LINK_IN_ANGLES.finditer(text)} & signs
    spans = _spans(source, (signs - links) | spoilers)
    if links & spans.html:
        links -= spans.html
        spans = _spans(source, (signs - links) | spoilers)
        if links & spans.html:
            links = set()
            spans = _spans(source, signs | spoilers)
    found = _outside(signs - links, spans.verbatim) | _outside(spoilers, spans.code)
    edits = [(at, at, b"\\") for at in found]
    for begin, end, quoted in spans.inline:
        breaks = _BREAK_BEFORE_HTML.finditer(text, begin, end)
        edits += [(match.start(), match.end(), b" ") for match in breaks if quoted or ">" not in match[0]]
    edits.sort()
    pieces: list[bytes] = []
    done = 0
    for begin, end, instead in edits:
        pieces += source[done:begin], instead
        done = end
    return b"".join((*pieces, source[done:])).decode()


@dataclass(slots=True)
class _Spans:
    """Byte ranges, in order."""

    verbatim: list[tuple[int, int]] = field(default_factory=list)
    """Code, and links like `<https://a.b>`: no backslash escapes there."""
    code: list[tuple[int, int]] = field(default_factory=list)
    """Code but what is in tables: there even code has its bars escaped, as they end a cell."""
    inline: list[tuple[int, int, bool]] = field(default_factory=list)
    """Code within a paragraph, and whether that is in a quotation."""
    html: set[int] = field(default_factory=set)
    """Where HTML starts."""


def _spans(source: bytes, hidden: Iterable[int]) -> _Spans:
    masked = bytearray(source)
    for at in hidden:
        masked[at] = ord("%")
    spans = _Spans()
    tables_end = quotes_end = 0
    for payload, where in pyromark.events_with_range(masked.decode(), options=STANDARD_OPTIONS):
        if not isinstance(payload, dict):
            continue
        span = where["start"], where["end"]
        start = payload.get("Start")
        tag: Mapping[str, object] = start if isinstance(start, dict) else {}
        if "Table" in tag:
            tables_end = span[1]
        elif start == "BlockQuote" or "BlockQuote" in tag:
            quotes_end = max(quotes_end, span[1])
        elif "Code" in payload or "CodeBlock" in tag:
            spans.verbatim.append(span)
            if "Code" in payload:
                spans.inline.append((*span, span[0] < quotes_end))
            if span[0] >= tables_end:
                spans.code.append(span)
        elif "Link" in tag and source[span[0]] == ord("<"):
            spans.verbatim.append(span)
        elif "InlineHtml" in payload or "Html" in payload:
            spans.html.add(span[0])
    return spans


def _outside(offsets: Iterable[int], spans: list[tuple[int, int]]) -> set[int]:
    begins = [begin for begin, _ in spans]
    nearest = ((at, bisect_right(begins, at) - 1) for at in offsets)
    return {at for at, index in nearest if index < 0 or at >= spans[index][1]}


def _config() -> telegramify_markdown.RenderConfig:
    config = telegramify_markdown.RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.unordered_list_item = "•"
    symbols.task_completed, symbols.task_uncompleted = "☑", "☐"
    return config


_CONFIG = _config()
