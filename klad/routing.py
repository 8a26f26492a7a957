"""Where a message goes: to a slot, to the router's own answers, or nowhere. Pure.

The rule is decided inside the ledger's transaction that stores the message, on the state as it is
in that transaction, so that a worker that takes its turn at the same moment can't strand it.
"""

from __future__ import annotations

from dataclasses import dataclass

from klad import commands
from klad.words import ChatState, Inbound, Slot


@dataclass(frozen=True, slots=True)
class ToSlot:
    """Part of a turn. `watch`: a status question that the router answers itself if no run takes it in time."""

    slot: Slot
    watch: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A command for the router."""

    command: commands.Command


@dataclass(frozen=True, slots=True)
class Deny:
    """Not allowed here; told so once."""


@dataclass(frozen=True, slots=True)
class Ignore:
    why: str


@dataclass(frozen=True, slots=True)
class NotText:
    """Something without words (a photo, a sticker, …)."""

    what: str


Route = ToSlot | Ask | Deny | Ignore | NotText


@dataclass(frozen=True, slots=True)
class House:
    """Who may speak, and what the bot is called."""

    allowed: frozenset[int]
    bot_username: str


def admit(
    house: House, inbound: Inbound, *, what: str, addressed: bool, edited: bool
) -> Ask | Deny | Ignore | NotText | None:
    """What is decided before the chat's state matters; None: it goes to a slot.

    Deny by default: a sender who is not in `house.allowed` gets no further. In a group only words
    meant for the bot (`addressed`: a mention, a reply, a command of its own) count. `what` names a
    thing without words that was sent (a photo, a sticker); empty for a mere notice.
    """
    command = commands.parse(inbound.text, house.bot_username)
    private = inbound.chat_kind == "private"
    if edited:
        return Ignore("an edit of an earlier message")
    if not inbound.text.strip() and not what:
        return Ignore("nothing in it to answer")
    ours = command is not None and command.name in commands.NAMES and inbound.text.lstrip().startswith("/")
    if not private and not addressed and not ours:
        return Ignore("not addressed in a group")
    if inbound.sender_id not in house.allowed:
        return Deny() if private else Ignore("the sender is not allowed")
    if command is not None:
        return Ignore("another bot's command") if command.name == "foreign" else Ask(command)
    if not inbound.text.strip():
        return NotText(what)
    return None


def choose_slot(text: str, state: ChatState) -> ToSlot:
    """The worker if it is free, the chat slot if it is busy (see `busy`).

    A status question about a busy worker is watched, so that it is answered even if no container
    can be started.
    """
    if not busy(state):
        return ToSlot("worker")
    return ToSlot("chat", watch=commands.asks_for_status(text))


def busy(state: ChatState) -> bool:
    """Whether the worker can't take words now.

    It works (a taken turn), has queued tasks before it, or waits for a place and has said so. An
    open turn that nobody has taken yet is not busy: what comes now joins it.
    """
    turn = state.worker
    if turn is None:
        return False
    return turn.state == "taken" or turn.request is not None or turn.waiting
