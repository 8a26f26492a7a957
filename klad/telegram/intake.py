"""One raw update → what a chat needs to know of it. Pure, and total: no input makes it raise.

Fields follow https://core.telegram.org/bots/api#update and #message. The reader looks at the raw
JSON and not at python-telegram-bot's objects: what is replayed from the ledger is raw JSON, and
one malformed field must not cost the rest of the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from klad.telegram.oversize import OVERSIZE

Kind = Literal["text", "edited", "other"]

_MEDIA = """
    animation audio checklist contact dice document game gift giveaway invoice live_photo location paid_media
    photo poll sticker story venue video video_note voice
"""
MEDIA = frozenset(_MEDIA.split())
"""`Incoming.what` of things that a person sent on purpose, and may be told about if they can't be read."""

_MESSAGES = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_message",
    "edited_business_message",
    "guest_message",
)
_ABOUT = """
    message_id message_thread_id from sender_chat sender_boost_count sender_business_bot date chat
    business_connection_id forward_origin is_topic_message is_automatic_forward reply_to_message external_reply
    quote reply_to_story reply_to_checklist_task_id via_bot edit_date has_protected_content is_from_offline
    is_paid_post media_group_id author_signature paid_star_count text entities caption caption_entities
    link_preview_options reply_markup effect_id direct_messages_topic suggested_post_info
    show_caption_above_media has_media_spoiler sender_tag
"""
_ENVELOPE = frozenset(_ABOUT.split())
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an update says."""

    update_id: int
    chat: str
    """Telegram's chat id; `:topic` appended for a forum topic."""
    chat_kind: str
    """`private`, `group`, `supergroup`, `channel`; or "" where the update doesn't say."""
    title: str
    sender_id: int
    """A user's id; a chat's (negative) where a chat speaks for itself; 0 for nobody."""
    sender_name: str
    text: str
    """The text or the caption."""
    telegram_id: int
    """Message id within the chat; 0 where there is none."""
    at: float
    """When it was sent (an edit: when it was edited), seconds since the epoch; 0.0 if not said."""
    reply_to: int | None
    reply_text: str
    """What it replies to: the words quoted on purpose, or else the whole message's text."""
    mentions_bot: bool
    replies_to_bot: bool
    kind: Kind
    what: str = ""
    """The thing that isn't text: one of MEDIA, `service` (somebody joined, a title changed…), `oversize`,
    the name of the update's own type (`my_chat_member`, …), or `unknown`. A captioned photo has both
    `text` and `what`."""

    @property
    def is_private(self) -> bool:
        return self.chat_kind == "private"


def read(raw: object, bot_id: int, username: str | None) -> Incoming | None:
    """What `raw` says, to the bot with this id and user name; None if it concerns no chat."""
    update = _dict(raw)
    update_id = _int(update.get("update_id"))
    if update_id is None:
        return None
    for name in _MESSAGES:
        message = _dict(update.get(name))
        key = _chat_key(message)
        if key is not None:
            return _message(update, update_id, name, message, key, bot_id, username or "")
    for name, value in update.items():
        inner = _dict(value)
        about = inner if _chat_key(inner) is not None else _dict(inner.get("message"))
        key = _chat_key(about)
        if key is not None:
            return _notice(update_id, name, inner, about, key)
    return None


def chat_of(raw: object) -> str | None:
    """The key of the chat that an update concerns."""
    incoming = read(raw, 0, None)
    return incoming.chat if incoming else None


def _message(
    update: dict[Any, Any],
    update_id: int,
    name: str,
    message: dict[Any, Any],
    key: str,
    bot_id: int,
    username: str,
) -> Incoming:
    chat = _dict(message.get("chat"))
    sender = _dict(message.get("from")) or _dict(message.get("sender_chat"))
    text_field = "text" if "text" in message else "caption"
    text = _text(message.get(text_field))
    edited = name.startswith("edited")
    oversize = OVERSIZE in update
    what = "oversize" if oversize else _what(message)
    kind: Kind = "other" if oversize else "edited" if edited else "text" if text else "other"
    reply = _dict(message.get("reply_to_message"))
    if "forum_topic_created" in reply:
        # Telegram makes every message of a topic a "reply" to the notice that the topic began.
        reply = {}
    quote = _text(_dict(message.get("quote")).get("text"))
    return Incoming(
        update_id=update_id,
        chat=key,
        chat_kind=_text(chat.get("type")),
        title=_name(chat),
        sender_id=_int(sender.get("id")) or 0,
        sender_name=_name(sender),
        text=text,
        telegram_id=_int(message.get("message_id")) or 0,
        at=_time(message.get("edit_date") if edited else message.get("date")) or _time(message.get("date")),
        reply_to=_int(reply.get("message_id")),
        reply_text=quote or _text(reply.get("text")) or _text(reply.get("caption")),
        mentions_bot=_mentions(message, text_field, bot_id, username),
        replies_to_bot=bot_id != 0 and _int(_dict(reply.get("from")).get("id")) == bot_id,
        kind=kind,
        what="unknown" if kind == "other" and not what else what,
    )


def _notice(update_id: int, name: object, inner: dict[Any, Any], about: dict[Any, Any], key: str) -> Incoming:
    """An update that concerns a chat without being a message in it."""
    chat = _dict(about.get("chat"))
    sender = _dict(inner.get("from")) or _dict(inner.get("user"))
    return Incoming(
        update_id=update_id,
        chat=key,
        chat_kind=_text(chat.get("type")),
        title=_name(chat),
        sender_id=_int(sender.get("id")) or 0,
        sender_name=_name(sender),
        text="",
        telegram_id=_int(about.get("message_id")) or 0,
        at=_time(inner.get("date")),
        reply_to=None,
        reply_text="",
        mentions_bot=False,
        replies_to_bot=False,
        kind="other",
        what=_text(name) or "unknown",
    )


def _what(message: dict[Any, Any]) -> str:
    for name in message:
        # A venue also has `location`, and an animation `document`, for older clients.
        if name in MEDIA and not (
            (name == "location" and "venue" in message) or (name == "document" and "animation" in message)
        ):
            return str(name)
    if "text" in message or "caption" in message:
        return ""
    return "service" if any(name not in _ENVELOPE for name in message) else ""


def _mentions(message: dict[Any, Any], text_field: str, bot_id: int, username: str) -> bool:
    text = message.get(text_field)
    if not isinstance(text, str):
        return False
    entities = message.get("entities" if text_field == "text" else "caption_entities")
    handle = f"@{username}".casefold()
    if not isinstance(entities, list):
        # A server that marks nothing still has people who write the name.
        return bool(username) and re.search(rf"(?<!\w){re.escape(handle)}(?!\w)", text.casefold()) is not None
    units = text.encode("utf-16-le", "surrogatepass")
    for entity in map(_dict, entities):
        kind = entity.get("type")
        if kind == "text_mention" and bot_id != 0 and _int(_dict(entity.get("user")).get("id")) == bot_id:
            return True
        if username and kind in ("mention", "bot_command"):
            offset, length = _int(entity.get("offset")), _int(entity.get("length"))
            if offset is None or length is None or offset < 0 or length <= 0:
                continue
            covered = units[offset * 2 : (offset + length) * 2].decode("utf-16-le", "replace").casefold()
            if covered == handle or (kind == "bot_command" and covered.endswith(handle)):
                return True
    return False


def _chat_key(message: dict[Any, Any]) -> str | None:
    chat_id = _int(_dict(message.get("chat")).get("id"))
    if chat_id is None:
        return None
    topic = _int(message.get("message_thread_id"))
    # Without `is_topic_message` the thread is only a chain of replies.
    return f"{chat_id}:{topic}" if topic is not None and message.get("is_topic_message") is True else str(chat_id)


def _name(who: dict[Any, Any]) -> str:
    title = _text(who.get("title"))
    full = f"{_text(who.get('first_name'))} {_text(who.get('last_name'))}".strip()
    return title or full or _text(who.get("username"))


def _dict(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _int(value: object) -> int | None:
    """An id; None for anything that SQLite couldn't hold as one."""
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
        return value
    return None


def _time(value: object) -> float:
    seconds = _int(value)
    return float(seconds) if seconds is not None and seconds > 0 else 0.0


def _text(value: object) -> str:
    """Text that any database and any JSON can hold: no lone surrogates (JSON may carry them), no NUL."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")
