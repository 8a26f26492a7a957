"""One message on its way, and how it changes after a failure. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from klad.telegram.classify import Decision, GiveUp, NoReply, PlainText, Retry
from klad.telegram.formatting import Part, units

MARK = "(perhaps a repeat) "
"""Before a text that may have arrived already."""

OUR_TRIES = 3
"""Tries of a send that fails by an error of a program."""


@dataclass(frozen=True, slots=True)
class Shot:
    chat_id: int
    topic: int | None
    part: Part
    reply_to: int | None
    repeat: bool = False
    """It may have arrived already."""
    plain: bool = False
    tries: int = 1
    """In which try of sending this is."""

    @property
    def text(self) -> str:
        return MARK + self.part.text if self.repeat else self.part.text

    @property
    def shift(self) -> int:
        """UTF-16 units by which `part`'s entities stand further on in `text`."""
        return units(MARK) if self.repeat else 0


def after(shot: Shot, decision: Decision) -> Shot | GiveUp:
    """What to send next, or why nothing more."""
    again = replace(shot, tries=shot.tries + 1)
    match decision:
        case GiveUp():
            return decision
        case PlainText():
            return GiveUp("Telegram refuses its text") if shot.plain else replace(again, plain=True)
        case NoReply():
            if shot.reply_to is None:
                return GiveUp("Telegram finds no message to reply to")
            return replace(again, reply_to=None)
        case Retry(ours=True) if shot.tries >= OUR_TRIES:
            return GiveUp("sending failed for a reason of our own; see the log")
        case Retry(uncertain=uncertain):
            return replace(again, repeat=shot.repeat or uncertain)


def address(chat: str) -> tuple[int, int | None]:
    """`-100123:7` → (-100123, 7). Raises ValueError for what is no chat's key."""
    chat_id, colon, topic = chat.partition(":")
    return int(chat_id), int(topic) if colon else None
