"""The tree's names. Neighbours tell each other by these and hold no refs."""

from __future__ import annotations

from klad.words import Slot

TENANT = "tenant"
GATEWAY = f"{TENANT}/gateway"
WEB = f"{TENANT}/web"
TELEGRAM = f"{TENANT}/telegram"
SCHEDULER = f"{TENANT}/scheduler"
CHATS = f"{TENANT}/chats"
ENGINE = f"{TENANT}/engine"


def chat(chat_id: str) -> str:
    return f"{CHATS}/{chat_id}"


def router(chat_id: str) -> str:
    return f"{chat(chat_id)}/router"


def slot(chat_id: str, which: Slot) -> str:
    return f"{chat(chat_id)}/slot:{which}"
