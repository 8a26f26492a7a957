"""What an error of python-telegram-bot asks for. Pure.

Its family is not what it seems: `BadRequest` is a `NetworkError`, though the same request will never
succeed; `InvalidToken` is any 401 or 404; HTTP 413 and 5xx are bare `NetworkError`s.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)


@dataclass(frozen=True, slots=True)
class Retry:
    """The same again, later."""

    after: float | None
    """Seconds, where Telegram named them; None: back off."""
    uncertain: bool
    """It may have arrived all the same."""
    ours: bool = False
    """Not Telegram's and not the network's doing: an error of a program, so not for ever."""


@dataclass(frozen=True, slots=True)
class PlainText:
    """The same without entities."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """The same, but not as a reply."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never the same again."""

    reason: str


Decision = Retry | PlainText | NoReply | GiveUp

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_GATEWAYS = ("bad gateway", "gateway time", "invalid server response")


def decide(error: Exception) -> Decision:
    """What to do about a send that failed with `error`."""
    words = str(error).casefold()
    match error:
        case BadRequest():
            return _refused(str(error), words)
        case Forbidden():
            return GiveUp(str(error))
        case ChatMigrated():
            return GiveUp(f"the group became a supergroup, {error.new_chat_id}")
        case RetryAfter():
            return Retry(seconds_of(error), uncertain=False)
        case InvalidToken():
            return Retry(None, uncertain=False)
        case NetworkError() if isinstance(error.__cause__, httpx.HTTPError):
            return Retry(None, uncertain=not isinstance(error.__cause__, _NOT_SENT))
        case NetworkError() if "request entity too large" in words:
            return GiveUp(str(error))
        case NetworkError() if isinstance(error.__cause__, RuntimeError):
            # "This HTTPXRequest is not initialized!": the bot was shut down before the send began.
            return Retry(None, uncertain=False)
        case TelegramError():
            # An answer came. Only one by something in between says nothing of what happened behind it.
            return Retry(None, uncertain=any(word in words for word in _GATEWAYS))
    return Retry(None, uncertain=True, ours=True)


def _refused(reason: str, words: str) -> Decision:
    if "repl" in words and "not found" in words:
        return NoReply()
    if "entit" in words:
        return PlainText()
    return GiveUp(reason)


def seconds_of(error: RetryAfter) -> float:
    """`retry_after` in seconds; its public property warns at every look and changes type in a later version."""
    return error._retry_after.total_seconds()


def polling_state(error: Exception) -> str:
    """One line on a getUpdates (or getMe) that failed. No word of an InvalidToken is used: it quotes the token."""
    match error:
        case Conflict():
            return "conflict: another program polls this bot"
        case InvalidToken():
            return "refused: Telegram does not know this bot token"
        case RetryAfter():
            return f"connecting: Telegram asks to wait {seconds_of(error):.0f} s"
        case TelegramError():
            return f"connecting: {error}"
    return f"connecting: an answer that makes no sense ({type(error).__name__})"


def polling_delay(error: Exception, failures: int) -> float:
    """Seconds to wait after the `failures`-th (from 1) getUpdates in a row that failed."""
    doubled = float(2 ** min(failures - 1, 10))
    match error:
        case RetryAfter():
            return seconds_of(error) + 0.5
        case Conflict():
            return min(30.0, 3.0 * doubled)
        case InvalidToken():
            return min(60.0, 5.0 * doubled)
    return min(30.0, doubled)
