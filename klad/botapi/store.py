"""What the embedded server must not forget: chats, messages, pending updates, commands, sessions.

An SQLite file of its own (not the ledger: this plays Telegram, the ledger is Klåd's). One thread
owns the connection; each public step is one transaction on it, and is awaited by the loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from peewee import PeeweeException, SqliteDatabase

from klad.botapi.errors import StoreError
from klad.botapi.tables import Tables

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chat:
    id: int
    title: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    chat: int
    by_bot: bool
    date: int
    """Seconds since the epoch, whole, as in the Bot API."""
    text: str
    entities: tuple[dict[str, Any], ...] = ()
    id: int = 0
    """`message_id`; 0 until it is stored. One counter for all chats, as for a bot's private chats."""
    edited: int | None = None
    markup: dict[str, Any] | None = None
    thread: int | None = None
    reply_to: StoredMessage | None = None
    nonce: str | None = None
    """Given by the page; a second message with the same one is the first one again."""


class BotApiStore:
    """Every method is awaited on a loop, is one transaction, and raises StoreError if that failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: ThreadPoolExecutor | None = None
        # FULL: after a power cut a counter must not give an update id again that the ledger has
        # already seen; it would take the new message for a repeat.
        self._database = SqliteDatabase(
            str(path),
            pragmas={"journal_mode": "wal", "synchronous": "full", "busy_timeout": 5000},
            lock_type="IMMEDIATE",
        )
        self._tables = Tables(self._database)

    async def open(self, first_update: int) -> None:
        """Creates the file where there is none; its update ids begin after `first_update`."""
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, "botapi-store")
        try:
            await self._step(self._open, first_update)
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._database.close)
            thread.shutdown(wait=False)

    async def _step(self, do: Callable[..., T], *args: Any) -> T:
        if self._thread is None:
            raise StoreError("The web chat's database is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, do, args)

    def _transact(self, do: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            if self._database.is_closed():
                self._make_private()
            self._database.connect(reuse_if_open=True)
            with self._database.atomic():
                return do(*args)
        except (PeeweeException, sqlite3.Error, OSError, ValueError) as error:
            raise StoreError(f"The web chat's database {self.path} failed: {error}") from error

    def _make_private(self) -> None:
        # Made here and not by SQLite, whose -wal and -shm take on this file's mode.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # one that was made before
        finally:
            os.close(descriptor)

    def _open(self, first_update: int) -> None:
        self._tables.migrate()
        for name, value in (("update", first_update), ("message", 0)):
            self._tables.Counter.insert(name=name, value=value).on_conflict_ignore().execute()

    def _next(self, name: str) -> int:
        table = self._tables.Counter
        table.update(value=table.value + 1).where(table.name == name).execute()
        return int(table.get_by_id(name).value)

    # -- chats

    async def ensure_chat(self, chat: Chat) -> Chat:
        """As stored: an existing chat keeps its title."""

        def do() -> Chat:
            self._tables.Chat.insert(id=chat.id, title=chat.title).on_conflict_ignore().execute()
            row = self._tables.Chat.get_by_id(chat.id)
            return Chat(row.id, row.title)

        return await self._step(do)

    async def new_chat(self, title: str, limit: int) -> Chat | None:
        """None when there are `limit` chats already. An empty title becomes a numbered one."""

        def do() -> Chat | None:
            table = self._tables.Chat
            count = table.select().count()
            if count >= limit:
                return None
            highest = max(row.id for row in table.select())
            row = table.create(id=max(highest, 1000) + 1, title=title or f"Chat {count + 1}")
            return Chat(row.id, row.title)

        return await self._step(do)

    async def chat(self, chat: int) -> Chat | None:
        def do() -> Chat | None:
            row = self._tables.Chat.get_or_none(self._tables.Chat.id == chat)
            return None if row is None else Chat(row.id, row.title)

        return await self._step(do)

    async def chats(self) -> list[tuple[Chat, StoredMessage | None]]:
        """Every chat with its last message."""

        def do() -> list[tuple[Chat, StoredMessage | None]]:
            table = self._tables.Message
            found = []
            for row in self._tables.Chat.select().order_by(self._tables.Chat.id):
                last = table.select().where(table.chat == row.id).order_by(table.id.desc()).first()
                found.append((Chat(row.id, row.title), None if last is None else self._read(last)))
            return found

        return await self._step(do)

    # -- messages

    async def add(
        self,
        message: StoredMessage,
        as_update: Callable[[StoredMessage], dict[str, Any]] | None = None,
    ) -> tuple[StoredMessage, bool]:
        """The message with its id, and False when its nonce was known, so that nothing was added.

        With `as_update`, the update that it makes is pending after the same transaction.
        """

        def do() -> tuple[StoredMessage, bool]:
            table = self._tables.Message
            if message.nonce is not None:
                known = table.get_or_none((table.chat == message.chat) & (table.nonce == message.nonce))
                if known is not None:
                    return self._read(known), False
            new = replace(message, id=self._next("message"))
            table.insert(id=new.id, **_columns(new)).execute()
            if as_update is not None:
                number = self._next("update")
                payload = {"update_id": number, **as_update(new)}
                self._tables.Update.insert(id=number, payload=json.dumps(payload)).execute()
            return new, True

        return await self._step(do)

    async def message(self, chat: int, message: int) -> StoredMessage | None:
        def do() -> StoredMessage | None:
            row = self._row(chat, message)
            return None if row is None else self._read(row)

        return await self._step(do)

    async def messages(self, chat: int, before: int, limit: int) -> list[StoredMessage]:
        """The last `limit` with an id under `before` (0: the last of all), oldest first."""

        def do() -> list[StoredMessage]:
            table = self._tables.Message
            query = table.select().where(table.chat == chat).order_by(table.id.desc()).limit(limit)
            if before > 0:
                query = query.where(table.id < before)
            return [self._read(row) for row in reversed(list(query))]

        return await self._step(do)

    async def replace_message(self, message: StoredMessage) -> None:
        def do() -> None:
            table = self._tables.Message
            table.update(**_columns(message)).where(table.id == message.id).execute()

        await self._step(do)

    async def delete_message(self, chat: int, message: int) -> bool:
        def do() -> bool:
            row = self._row(chat, message)
            return row is not None and row.delete_instance() == 1

        return await self._step(do)

    def _row(self, chat: int, message: int) -> Any:
        table = self._tables.Message
        return table.get_or_none((table.chat == chat) & (table.id == message))

    def _read(self, row: Any, with_reply: bool = True) -> StoredMessage:
        target = None
        if with_reply and row.reply_to is not None:
            target = self._row(row.chat, row.reply_to)
        return StoredMessage(
            id=row.id,
            chat=row.chat,
            by_bot=row.by_bot,
            date=row.date,
            edited=row.edited,
            text=row.text,
            entities=tuple(json.loads(row.entities)),
            markup=None if row.markup is None else json.loads(row.markup),
            thread=row.thread,
            reply_to=None if target is None else self._read(target, with_reply=False),
            nonce=row.nonce,
        )

    # -- updates

    async def updates(self, limit: int) -> list[dict[str, Any]]:
        """The oldest pending ones."""

        def do() -> list[dict[str, Any]]:
            table = self._tables.Update
            return [json.loads(row.payload) for row in table.select().order_by(table.id).limit(limit)]

        return await self._step(do)

    async def acknowledge(self, offset: int) -> None:
        """Forgets updates before `offset`; a negative one keeps only so many from the end (getUpdates)."""

        def do() -> None:
            table = self._tables.Update
            first = offset
            if offset < 0:
                kept = table.select().order_by(table.id.desc()).limit(-offset)
                first = min((row.id for row in kept), default=0)
            table.delete().where(table.id < first).execute()

        await self._step(do)

    async def pending(self) -> int:
        return int(await self._step(lambda: self._tables.Update.select().count()))

    async def forget_updates(self) -> None:
        await self._step(lambda: self._tables.Update.delete().execute())

    # -- settings and sessions

    async def get(self, name: str) -> Any:
        """A setting as JSON has it, or None."""

        def do() -> Any:
            row = self._tables.Setting.get_or_none(self._tables.Setting.name == name)
            return None if row is None else json.loads(row.value)

        return await self._step(do)

    async def put(self, name: str, value: Any) -> None:
        await self._step(lambda: self._tables.Setting.replace(name=name, value=json.dumps(value)).execute())

    async def add_session(self, digest: str, expires: float, now: float) -> None:
        def do() -> None:
            table = self._tables.Session
            table.delete().where(table.expires <= now).execute()
            table.replace(digest=digest, expires=expires).execute()

        await self._step(do)

    async def has_session(self, digest: str, now: float) -> bool:
        def do() -> bool:
            table = self._tables.Session
            return bool(table.select().where((table.digest == digest) & (table.expires > now)).exists())

        return await self._step(do)


def _columns(message: StoredMessage) -> dict[str, Any]:
    return {
        "chat": message.chat,
        "by_bot": message.by_bot,
        "date": message.date,
        "edited": message.edited,
        "text": message.text,
        "entities": json.dumps(message.entities),
        "markup": None if message.markup is None else json.dumps(message.markup),
        "thread": message.thread,
        "reply_to": None if message.reply_to is None else message.reply_to.id,
        "nonce": message.nonce,
    }
