"""Rows → the Bot API's objects (User, Chat, Message): pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from klad.botapi.store import StoredMessage


@dataclass(frozen=True, slots=True)
class People:
    """Who speaks here: the bot and its one owner."""

    bot_id: int
    bot_name: str
    owner_id: int
    owner_name: str

    def bot(self) -> dict[str, Any]:
        """User of the bot."""
        return {
            "id": self.bot_id,
            "is_bot": True,
            "first_name": self.bot_name,
            "username": username(self.bot_name),
        }

    def me(self) -> dict[str, Any]:
        """What getMe returns."""
        return self.bot() | {
            "can_join_groups": False,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    def owner(self) -> dict[str, Any]:
        return {
            "id": self.owner_id,
            "is_bot": False,
            "first_name": self.owner_name,
            "language_code": "en",
        }

    def chat(self, chat: int) -> dict[str, Any]:
        """Every chat here is private, and the owner's, whatever its id."""
        return {"id": chat, "type": "private", "first_name": self.owner_name}

    def message(self, message: StoredMessage) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "message_id": message.id,
            "from": self.bot() if message.by_bot else self.owner(),
            "chat": self.chat(message.chat),
            "date": message.date,
            "text": message.text,
        }
        if message.entities:
            answer["entities"] = list(message.entities)
        if message.edited is not None:
            answer["edit_date"] = message.edited
        if message.thread is not None:
            answer["message_thread_id"] = message.thread
        if message.markup is not None:
            answer["reply_markup"] = message.markup
        if message.reply_to is not None:
            answer["reply_to_message"] = self.message(message.reply_to)
        return answer


def username(name: str) -> str:
    """A valid bot username for a display name: "Klåd" → "klad_bot"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return (re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:27] or "klad") + "_bot"
