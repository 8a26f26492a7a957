"""The "typing…" under a chat's name while something works for it. Nothing depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from telegram import Bot
from telegram.constants import ChatAction
from telegram.error import RetryAfter

from klad.telegram.classify import seconds_of
from klad.telegram.clock import Clock
from klad.telegram.shot import address

log = logging.getLogger(__name__)

EVERY = 4.5
"""Seconds; Telegram shows an action for 5 (https://core.telegram.org/bots/api#sendchataction)."""


class Presence:
    """One bot's chat actions. `busy` and `idle` are thread-safe."""

    def __init__(self, bot: Bot, *, clock: Clock | None = None) -> None:
        self._bot = bot
        self._clock = clock or Clock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._who: dict[str, set[str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    def busy(self, chat: str, who: str = "") -> None:
        """`who` (a slot) works for this chat, until it is said to be idle."""
        self._soon(chat, who, True)

    def idle(self, chat: str, who: str = "") -> None:
        self._soon(chat, who, False)

    async def stop(self) -> None:
        self._loop = None
        tasks = list(self._tasks.values())
        self._who.clear()
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _soon(self, chat: str, who: str, busy: bool) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._note, chat, who, busy)

    def _note(self, chat: str, who: str, busy: bool) -> None:
        if self._loop is None:
            return
        workers = self._who.setdefault(chat, set())
        if busy:
            workers.add(who)
            if chat not in self._tasks:
                self._tasks[chat] = self._loop.create_task(self._show(chat), name=f"typing {chat}")
            return
        workers.discard(who)
        if not workers:
            del self._who[chat]
            task = self._tasks.pop(chat, None)
            if task is not None:
                task.cancel()

    async def _show(self, chat: str) -> None:
        while True:
            wait = EVERY
            try:
                chat_id, topic = address(chat)
                await self._bot.send_chat_action(chat_id, ChatAction.TYPING, message_thread_id=topic)
            except RetryAfter as error:
                wait = max(EVERY, seconds_of(error))
            except Exception as error:  # noqa: BLE001 - it is only a sign
                log.debug("typing in chat %s was not shown: %r", chat, error)
            await self._clock.sleep(wait)
