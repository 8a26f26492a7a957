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
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise

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
    """The same Markdown with HTML, spoiler bars and mathematics escaped, so that they are read as text."""
    for _ in range(8):  # what was escaped may uncover more of it, one level at a time
        found = _to_escape(markdown)
        if not found:
            break
        source = markdown.encode()
        edges = [0, *sorted(found), len(source)]
        markdown = b"\\".join(source[a:b] for a, b in pairwise(edges)).decode()
    return markdown


def _to_escape(markdown: str) -> set[int]:
    """Byte offsets before which a backslash is wanted."""
    source = markdown.encode()
    found: set[int] = set()
    code: list[tuple[int, int]] = []
    for payload, where in pyromark.events_with_range(markdown, options=STANDARD_OPTIONS):
        if not isinstance(payload, dict):
            continue
        start, end = where["start"], where["end"]
        if "InlineHtml" in payload:
            found.add(start)
        elif "Html" in payload:
            found.update(i for i in range(start, end) if source[i] == ord("<"))
        elif "InlineMath" in payload:
            found.update((start, end - 1))
        elif "DisplayMath" in payload:
            found.update((start, start + 1, end - 2, end - 1))
        elif "Code" in payload or _starts_code(payload.get("Start")):
            code.append((start, end))
    bars = [
        match.start() for match in _SPOILER_MARK.finditer(source.decode("latin-1"))
    ]  # latin-1: one character a byte
    begins = [start for start, _ in code]
    for bar in bars if len(bars) > 1 else ():
        nearest = bisect_right(begins, bar) - 1
        if nearest < 0 or bar >= code[nearest][1]:
            found.update((bar, bar + 1))
    return found


def _starts_code(start: object) -> bool:
    return isinstance(start, dict) and "CodeBlock" in start


def _config() -> telegramify_markdown.RenderConfig:
    config = telegramify_markdown.RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.unordered_list_item = "•"
    symbols.task_completed, symbols.task_uncompleted = "☑", "☐"
    return config


_CONFIG = _config()
