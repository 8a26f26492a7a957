"""Sends the outbox: in order within a chat, one request in flight there, chats independent of each other.

The ledger's row is the truth; `wake` is only a nudge. A row is left (sent or failed) before the next is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import tenacity
from telegram import Bot, LinkPreviewOptions, MessageEntity, ReplyParameters

from klad.errors import LedgerError
from klad.telegram.classify import Decision, GiveUp, Retry, decide
from klad.telegram.clock import Clock
from klad.telegram.faces import OutboxLedger, written
from klad.telegram.formatting import LIMIT, render, units
from klad.telegram.limiter import Limiter
from klad.telegram.shot import MARK, Shot, address, after

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_PART = LIMIT - units(MARK)
"""What leaves room for the mark: parts must be the same ones whether or not they turn out to be repeats."""


class _Again(Exception):
    def __init__(self, wait: float | None) -> None:
        self.wait = wait


class _Refused(Exception):
    """This row never."""


class Sender:
    """One bot's outbox. All methods but `wake` belong to the loop that `start` ran on."""

    def __init__(
        self,
        bot: Bot,
        ledger: OutboxLedger,
        *,
        clock: Clock | None = None,
        limiter: Limiter | None = None,
        on_failed: Callable[[str, str], None] = lambda chat, reason: None,
    ) -> None:
        """`on_failed(chat, reason)` is called on the loop when a row was given up."""
        self._bot, self._ledger = bot, ledger
        self._clock = clock or Clock()
        self._limiter = limiter or Limiter(self._clock.now)
        self._on_failed = on_failed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: asyncio.Task[None] | None = None
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._mid: set[str] = set()
        """Chats between the ledger's giving a row, or a request's start, and the ledger's knowing the outcome."""
        self._stopping = False

    async def start(self) -> None:
        """Begin with what the ledger has from before; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._first = self._loop.create_task(self._wake_all(), name="outbox start")

    def wake(self, chat: str) -> None:
        """There may be something to send in this chat. Thread-safe; nothing before `start` and after `stop`."""
        if self._loop is not None and not self._stopping:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next start drains the ledger
                self._loop.call_soon_threadsafe(self._wake, chat)

    async def drained(self) -> None:
        """Returns when no chat has anything on its way."""
        while busy := [task for task in (self._first, *self._workers.values()) if task and not task.done()]:
            await asyncio.wait(busy)

    async def stop(self, grace: float = 3.0) -> None:
        """Stop; a request in flight gets `grace` seconds to be answered, so that nothing is sent twice for it."""
        self._stopping = True
        tasks = {chat: task for chat, task in self._workers.items() if not task.done()}
        if self._first is not None:
            self._first.cancel()
        for chat, task in tasks.items():
            if chat not in self._mid:
                task.cancel()
        running = [task for task in (self._first, *tasks.values()) if task is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _wake_all(self) -> None:
        for chat in await self._written(self._ledger.outbox_chats):
            self._wake(chat)

    def _wake(self, chat: str) -> None:
        self._again.add(chat)
        if not self._stopping and chat not in self._workers:
            self._workers[chat] = asyncio.create_task(self._work(chat), name=f"outbox {chat}")

    async def _work(self, chat: str) -> None:
        try:
            while chat in self._again and not self._stopping:
                self._again.discard(chat)
                while not self._stopping and await self._one(chat):
                    pass
        except Exception:
            log.exception("the outbox of chat %s stopped; it goes on at the next message", chat)
        finally:
            self._mid.discard(chat)
            del self._workers[chat]

    async def _one(self, chat: str) -> bool:
        """Take a row and be done with it; False when there is none."""
        # The wait comes before the taking: a row that was taken and not sent is a doubtful one after a crash.
        while (wait := self._limiter.wait(chat)) > 0:
            await self._sleep(wait)
        self._mid.add(chat)
        row = await self._written(partial(self._ledger.outbox_take, chat))
        if row is None:
            self._mid.discard(chat)
            return False
        try:
            telegram_id = 0
            chat_id, topic = address(chat)
            parts = render(row.text, _PART)
            for number in range(row.sent_parts, len(parts)):
                shot = Shot(
                    chat_id,
                    topic,
                    parts[number],
                    reply_to=row.reply_to if number == 0 else None,
                    repeat=row.attempts > 1 and number == row.sent_parts,
                )
                telegram_id = await self._deliver(chat, row.id, shot)
                if number < len(parts) - 1:
                    await self._written(partial(self._ledger.outbox_part, row.id, telegram_id))
                    if self._stopping:
                        await self._release(row.id)
                        return False
            await self._written(partial(self._ledger.outbox_sent, row.id, telegram_id))
        except (_Refused, ValueError) as error:
            reason = str(error)
            log.warning("a message to chat %s was given up: %s", chat, reason)
            await self._written(partial(self._ledger.outbox_failed, row.id, reason))
            self._on_failed(chat, reason)
        finally:
            self._mid.discard(chat)
        return True

    async def _deliver(self, chat: str, row_id: int, shot: Shot) -> int:
        """Send until it is there; its message id. Raises _Refused when it never will be."""
        released = False
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Again), wait=_wait, sleep=self._sleep, reraise=True
        ):
            with attempt:
                await self._pace(chat)
                self._mid.add(chat)
                if released:
                    await self._written(partial(self._ledger.outbox_take, chat))
                    released = False
                try:
                    return await self._send(shot)
                except Exception as error:
                    decision = decide(error)
                    following = after(shot, decision)
                    if isinstance(following, GiveUp):
                        raise _Refused(following.reason) from error
                    shot = following
                    if isinstance(decision, Retry):
                        level = logging.ERROR if decision.ours else logging.INFO
                        log.log(level, "a send to chat %s is tried again: %r", chat, error)
                        if decision.after is not None:
                            self._limiter.hold(chat, decision.after)
                    if not shot.repeat:
                        released = await self._release(row_id)
                    self._mid.discard(chat)
                    raise _Again(_prompt(decision)) from error
        raise AssertionError("tenacity ended without an outcome")

    async def _release(self, row_id: int) -> bool:
        """Put it on record that nothing of a row is under way: ended while it waits, it is no repeat later."""
        await self._written(partial(self._ledger.outbox_release, row_id))
        return True

    async def _pace(self, chat: str) -> None:
        while (wait := self._limiter.take(chat)) > 0:
            self._mid.discard(chat)
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            raise asyncio.CancelledError
        await self._clock.sleep(seconds)

    async def _send(self, shot: Shot) -> int:
        entities = None
        if shot.part.entities and not shot.plain:
            entities = MessageEntity.shift_entities(shot.shift, shot.part.entities)
        reply = None
        if shot.reply_to is not None:
            reply = ReplyParameters(shot.reply_to, allow_sending_without_reply=True)
        message = await self._bot.send_message(
            shot.chat_id,
            shot.text,
            entities=entities,
            message_thread_id=shot.topic,
            reply_parameters=reply,
            link_preview_options=_NO_PREVIEW,
        )
        return int(message.message_id)

    async def _written(self, step: Callable[[], Future[T]]) -> T:
        """Carry out a ledger step, however long the ledger is ill."""
        delay = FIRST_WAIT
        while True:
            try:
                return await written(step)
            except LedgerError as error:
                log.warning("the outbox waits, as the ledger is ill: %s", error)
            await self._sleep(delay)
            delay = min(LONGEST_WAIT, delay * 2)


def _prompt(decision: Decision) -> float | None:
    """Seconds until the next try, where they are known."""
    return decision.after if isinstance(decision, Retry) else 0.0


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Again) and error.wait is not None:
        return error.wait
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(state.attempt_number - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that chats don't try in step
