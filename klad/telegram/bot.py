"""The bot that polls: whatever getUpdates brings, the library's polling loop goes on.

Why not the stock one (python-telegram-bot 22.8): one update that `Update.de_list` can't parse makes it
ask for the same batch for ever, in a busy loop; a 200 without `result` does the same; a 401 or 404 ends its
polling task without a word; and it sleeps through `stop()` when it backs off.
"""

from __future__ import annotations

import asyncio
import datetime as dtm
from typing import Any, Protocol

from telegram import Update
from telegram.error import NetworkError, TelegramError
from telegram.ext import ExtBot

_HANG = 60.0
"""Seconds beyond its long poll after which a getUpdates that trickles is given up."""


class RawUpdate(Update):
    """An update as it came: its id, and the JSON untouched.

    Nothing else of it is parsed. Its readers read the ledger, which keeps the JSON, and what isn't
    parsed can't be malformed.
    """

    __slots__ = ("_raw",)

    def __init__(self, update_id: int, raw: dict[str, Any]) -> None:
        super().__init__(update_id)
        self._raw = raw

    @property
    def raw(self) -> dict[str, Any]:
        return self._raw


class PollWatch(Protocol):
    """Is told how each getUpdates went."""

    def patience(self, wanted: float) -> float:
        """How long this getUpdates shall wait for updates, seconds."""

    async def answered(self, error: Exception | None) -> None:
        """It went well (None), or failed: returns when it is time for the next."""


class PollingBot(ExtBot[None]):
    """ExtBot whose `get_updates` never fails: it tells its watch, and returns nothing."""

    def __init__(self, *args: Any, watch: PollWatch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch

    async def get_updates(
        self,
        offset: int | None = None,
        limit: int | None = None,
        timeout: float | dtm.timedelta | None = None,  # noqa: ASYNC109 - the library's signature
        allowed_updates: Any = None,
        **kwargs: Any,
    ) -> tuple[Update, ...]:
        """https://core.telegram.org/bots/api#getupdates"""
        wanted = timeout.total_seconds() if isinstance(timeout, dtm.timedelta) else (timeout or 0.0)
        patience = self._watch.patience(wanted)
        try:
            async with asyncio.timeout(patience + _HANG):
                answer = await self._post(
                    "getUpdates",
                    {
                        "offset": offset,
                        "limit": limit,
                        "timeout": int(patience),
                        "allowed_updates": allowed_updates,
                    },
                    read_timeout=patience + (self._request[0].read_timeout or 0),
                )
            updates = parse(answer)
        except TelegramError as error:
            await self._watch.answered(error)
            return ()
        except Exception as error:  # noqa: BLE001 - the loop would ask again at once, without end
            await self._watch.answered(error)
            return ()
        await self._watch.answered(None)
        return updates


def parse(answer: object) -> tuple[RawUpdate, ...]:
    """The updates in a getUpdates result, by rising id. Pure.

    What has no id can neither be kept nor acknowledged; it goes when a later update is acknowledged.
    Raises NetworkError where nothing has one, so that the poller backs off.
    """
    if not isinstance(answer, list):
        raise NetworkError("getUpdates was answered with something that is no list")
    found = {
        item["update_id"]: item
        for item in answer
        if isinstance(item, dict)
        and isinstance(item.get("update_id"), int)
        and not isinstance(item["update_id"], bool)
        and 0 <= item["update_id"] < 2**63 - 1
    }
    if answer and not found:
        raise NetworkError("getUpdates was answered with updates that have no id")
    return tuple(RawUpdate(update_id, found[update_id]) for update_id in sorted(found))
