"""Text and its entities as the Bot API has them (MessageEntity): pure rules, offsets in UTF-16 units."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from klad.botapi.errors import bad_request
from klad.botapi.params import whole

TEXT_LIMIT = 4096
"""UTF-16 units of one message."""

ENTITIES_LIMIT = 100

Entity = dict[str, Any]

KINDS = frozenset(
    [
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
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
        "text_mention",
        "custom_emoji",
    ]
)

_COMMAND = re.compile(r"(?<![\w/@<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/])")
_URL = re.compile(r"(?<![\w/])https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}]", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"[^\s/?#@:]+\.[^\s/?#@:]+(?::\d+)?(?:[/?#]\S*)?\Z")


def units(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def checked(entities: list[Any], text: str) -> list[Entity]:
    """Entities as a client gave them, only with fields known here. Raises ApiError 400."""
    starts = _boundaries(text)
    size = units(text)
    good: list[Entity] = []
    for entity in entities:
        if not isinstance(entity, dict):
            raise bad_request("can't parse MessageEntity: expected an Object")
        kind, offset, length = entity.get("type"), whole(entity.get("offset")), whole(entity.get("length"))
        if not isinstance(kind, str):
            raise bad_request("can't parse MessageEntity: Can't find field \"type\"")
        if offset is None or length is None:
            raise bad_request('can\'t parse MessageEntity: Field "offset" or "length" must be a Number')
        if not 0 <= offset <= 1_000_000:
            raise bad_request(f"receive an entity with incorrect offset {offset}")
        if not 0 <= length <= 1_000_000:
            raise bad_request(f"receive an entity with incorrect length {length}")
        if kind not in KINDS or length == 0:
            continue
        if offset > size:
            raise bad_request(f"entity begins after the end of the text at UTF-16 offset {offset}")
        if offset + length > size:
            raise bad_request(
                f"entity beginning at UTF-16 offset {offset} ends after the end of the text "
                f"at UTF-16 offset {offset + length}"
            )
        if offset not in starts:
            raise bad_request("entity begins in a middle of a UTF-16 symbol")
        if offset + length not in starts:
            raise bad_request(f"entity beginning at UTF-16 offset {offset} ends in a middle of a UTF-16 symbol")
        good.append({"type": kind, "offset": offset, "length": length} | _extra(kind, entity))
    return _ordered(good)


def _extra(kind: str, entity: dict[str, Any]) -> Entity:
    if kind == "text_link":
        given = entity.get("url")
        url = link(given) if isinstance(given, str) else None
        if url is None:
            raise bad_request(f"entity URL '{given}' is invalid: Unsupported URL protocol")
        return {"url": url}
    if kind == "pre" and isinstance(entity.get("language"), str):
        return {"language": entity["language"][:64]}
    return {}


def link(url: str) -> str | None:
    """The address of a text link as Telegram would keep it; None when it refuses it (javascript: …)."""
    url = url.strip()
    if re.match(r"(?:https?|tg|ton)://\S+\Z", url, re.IGNORECASE):
        return url
    if not _SCHEME.match(url) and _HOST.match(url):
        return f"http://{url}"
    return None


def trimmed(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Without white space at both ends, as the real server stores it; entities move and shrink along."""
    body = text.strip()
    lead = units(text[: len(text) - len(text.lstrip())])
    size = units(body)
    kept: list[Entity] = []
    for entity in entities:
        start = max(0, entity["offset"] - lead)
        end = min(size, entity["offset"] + entity["length"] - lead)
        if end > start:
            kept.append(entity | {"offset": start, "length": end - start})
    return body, kept


def found(text: str) -> list[Entity]:
    """Commands and addresses that Telegram marks by itself."""
    marks: list[Entity] = []
    for kind, pattern in (("bot_command", _COMMAND), ("url", _URL)):
        for hit in pattern.finditer(text):
            mark = {"type": kind, "offset": units(text[: hit.start()]), "length": units(hit.group())}
            if not any(_overlap(mark, other) for other in marks):
                marks.append(mark)
    return _ordered(marks)


def with_found(text: str, entities: list[Entity]) -> list[Entity]:
    """`entities` and, outside of code and links, what is found in the text."""
    closed = [e for e in entities if e["type"] in ("code", "pre", "text_link", "text_mention")]
    return _ordered([*entities, *(m for m in found(text) if not any(_overlap(m, e) for e in closed))])


def _overlap(one: Entity, other: Entity) -> bool:
    return bool(one["offset"] < other["offset"] + other["length"] and other["offset"] < one["offset"] + one["length"])


def _ordered(entities: Iterable[Entity]) -> list[Entity]:
    """By start, the longer first: parents stand before what is nested in them."""
    return sorted(entities, key=lambda e: (e["offset"], -e["length"]))[:ENTITIES_LIMIT]


def _boundaries(text: str) -> set[int]:
    places, here = {0}, 0
    for character in text:
        here += 2 if ord(character) > 0xFFFF else 1
        places.add(here)
    return places
