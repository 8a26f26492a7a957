"""Telegram, as an actor: polls into the ledger, sends the outbox, shows who types. On a loop of its own.

The loop's thread belongs to this incarnation: a new one starts with a new loop, and finds in the ledger
what was not routed and not sent.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from actors import names
from actors.member import Member
from actors.messages import Busy, Idle, Mail, Outbox
from actors.supervision import Parent
from actors.world import World
from klad import commands
from klad.aio import LoopThread
from klad.errors import TelegramRefusedError
from klad.telegram import CommittingQueue, Identity, Limiter, Poller, Presence, Rate, Sender

log = logging.getLogger(__name__)
STOP_S = 8.0
FREE = Rate(burst=1000, interval=0.001)
"""Telegram's limits are Telegram's: the embedded server has none."""


class TelegramActor(Member):
    kind = "telegram"

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent, world)
        self._loop: LoopThread | None = None
        self._poller: Poller | None = None
        self._sender: Sender | None = None
        self._presence: Presence | None = None

    def on_start(self) -> None:
        self._loop = LoopThread("telegram loop")
        self._loop.start()
        try:
            self._loop.run(self._open(), 20)
        except BaseException:
            self.on_stop()  # no other hook follows an on_start that raises; two senders would send twice
            raise

    def on_stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            loop.run(self._close(), STOP_S)
        except TimeoutError:
            log.warning("Telegram's connections did not close in time")
        finally:
            loop.stop()

    def on_failure(self, *_: Any) -> None:
        self.on_stop()

    def handle(self, message: Any) -> None:
        match message:
            case Outbox():
                if self._sender is not None:
                    self._sender.wake(message.chat)
            case Busy():
                if self._presence is not None:
                    self._presence.busy(message.chat, message.slot)
            case Idle():
                if self._presence is not None:
                    self._presence.idle(message.chat, message.slot)
            case _:
                super().handle(message)

    async def _open(self) -> None:
        world = self.world
        queue = CommittingQueue(self.ledger, self._committed)
        self._poller = Poller(
            world.token,
            queue,
            api_url=world.api_url,
            commands=commands.MENU,
            ca_bundle=world.settings.ca_bundle or None,
            on_state=self._state,
            on_identity=self._known,
            on_refused=self._refused,
        )
        limiter = Limiter(time.monotonic, private=FREE, group=FREE, total=FREE) if world.botapi is not None else None
        self._sender = Sender(self._poller.bot, self.ledger, limiter=limiter)
        self._presence = Presence(self._poller.bot)
        await self._presence.start()
        await self._sender.start()
        self._poller.start()

    async def _close(self) -> None:
        if self._presence is not None:
            await self._presence.stop()
        if self._sender is not None:
            await self._sender.stop()
        if self._poller is not None:
            await self._poller.stop()

    # Called on the loop

    def _committed(self, chat: str) -> None:
        self.registry.tell(names.CHATS, Mail(chat))

    def _state(self, state: str) -> None:
        self.world.health.set("telegram", state)

    def _known(self, identity: Identity) -> None:
        known = json.dumps({"id": identity.id, "username": identity.username, "name": identity.name})
        self.ledger.set_setting("bot", known)

    def _refused(self, error: TelegramRefusedError) -> None:
        self.world.ending.ask(error)
