from __future__ import annotations

import httpx
import pytest
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from klad.telegram.classify import Decision, GiveUp, NoReply, PlainText, Retry, decide, polling_delay, polling_state


def caused(error: TelegramError, cause: Exception) -> TelegramError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (BadRequest("Can't parse entities: unsupported start tag"), PlainText()),
        (BadRequest("Entity_bounds_invalid"), PlainText()),
        (BadRequest("Message to be replied not found"), NoReply()),
        (BadRequest("Chat not found"), GiveUp("Chat not found")),
        (BadRequest("Message thread not found"), GiveUp("Message thread not found")),
        (Forbidden("bot was blocked by the user"), GiveUp("bot was blocked by the user")),
        (ChatMigrated(-1009), GiveUp("the group became a supergroup, -1009")),
        (RetryAfter(30), Retry(30.0, uncertain=False)),
        (InvalidToken(), Retry(None, uncertain=False)),
        (caused(NetworkError("x"), httpx.ConnectError("x")), Retry(None, uncertain=False)),
        (caused(TimedOut(), httpx.ConnectTimeout("x")), Retry(None, uncertain=False)),
        (caused(TimedOut(), httpx.PoolTimeout("x")), Retry(None, uncertain=False)),
        (caused(TimedOut(), httpx.ReadTimeout("x")), Retry(None, uncertain=True)),
        (caused(NetworkError("x"), httpx.RemoteProtocolError("cut")), Retry(None, uncertain=True)),
        (caused(NetworkError("x"), RuntimeError("not initialized")), Retry(None, uncertain=False)),
        (NetworkError("Internal Server Error"), Retry(None, uncertain=False)),
        (NetworkError("Bad Gateway"), Retry(None, uncertain=True)),
        (NetworkError("Request Entity Too Large"), GiveUp("Request Entity Too Large")),
        (TelegramError("Invalid server response"), Retry(None, uncertain=True)),
        (KeyError("result"), Retry(None, uncertain=True, ours=True)),
    ],
)
def test_each_failure_of_a_send_has_its_consequence(error: Exception, decision: Decision) -> None:
    assert decide(error) == decision


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Conflict("terminated by other getUpdates"), "conflict: another program polls this bot"),
        (InvalidToken("The token `1:x` was rejected"), "refused: Telegram does not know this bot token"),
        (RetryAfter(7), "connecting: Telegram asks to wait 7 s"),
        (NetworkError("httpx.ConnectError: refused"), "connecting: httpx.ConnectError: refused"),
        (KeyError("x"), "connecting: an answer that makes no sense (KeyError)"),
    ],
)
def test_each_failure_of_polling_is_a_state_in_one_line(error: Exception, state: str) -> None:
    assert polling_state(error) == state


def test_polling_backs_off_to_a_limit_and_obeys_telegram() -> None:
    assert [polling_delay(NetworkError("x"), n) for n in (1, 2, 3, 6, 1000)] == [1, 2, 4, 30, 30]
    assert polling_delay(Conflict("x"), 1) == 3
    assert polling_delay(InvalidToken(), 1000) == 60
    assert polling_delay(RetryAfter(600), 1) == 600.5
