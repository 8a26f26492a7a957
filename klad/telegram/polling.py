"""Polling that never ends before it is told to, and says how it is.

Layers, from the inside: `PollingBot.get_updates` survives every failure of a request; `_Watch` waits after
one and keeps the state; `Poller` connects, and starts polling again should its task ever end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application, ApplicationBuilder, Updater
from telegram.request import HTTPXRequest

from klad.errors import TelegramRefusedError
from klad.telegram.bot import PollingBot
from klad.telegram.classify import polling_delay, polling_state
from klad.telegram.clock import Clock
from klad.telegram.queue import CommittingQueue

log = logging.getLogger(__name__)

API_URL = "https://api.telegram.org"
ALLOWED_UPDATES = ("message", "edited_message")
LONG_POLL = 20.0
"""Seconds that a getUpdates waits for news."""
LIVED = 60.0
"""Seconds of polling after which its end is counted as a first one again."""
QUIET = 10.0
"""Seconds without a conflict after which an answered getUpdates means that nobody else polls."""
STOP_GRACE = 2.0
"""Seconds for acknowledging what was committed before a stop goes on without."""

REFUSED = (
    "Telegram does not know this bot token: check TELEGRAM_BOT_TOKEN (from @BotFather)"
    " and TELEGRAM_API_URL in the tenant's .env"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bot is, as getMe says."""

    id: int
    username: str
    name: str


class PollingDiedError(Exception):
    """python-telegram-bot's polling task ended by itself."""


class _Watch:
    """The polling's state, and its patience after failures."""

    def __init__(self, clock: Clock, secret: str, on_state: Callable[[str], None]) -> None:
        self._clock, self._secret, self._on_state = clock, secret, on_state
        self.state = "connecting: not tried yet"
        self.failures = 0
        self.stopping = False
        self._conflict = float("-inf")

    def patience(self, wanted: float) -> float:
        # After an outage the next answer is to come at once, so that the state is true again soon. A
        # conflict, though, shows only in a poll that stays.
        return 0.0 if self.failures and not self.state.startswith("conflict") else wanted

    async def answered(self, error: Exception | None) -> None:
        if self.stopping:
            return
        if error is None:
            if self._clock.now() - self._conflict >= QUIET:
                self.fine()
            return
        await self._clock.sleep(self.failed(error))

    def failed(self, error: Exception) -> float:
        """Note a failure; the seconds to wait before the next try."""
        self.failures += 1
        state = polling_state(error)
        if state.startswith("conflict"):
            self._conflict = self._clock.now()
        self.set(state)
        return polling_delay(error, self.failures)

    def fine(self) -> None:
        self.failures = 0
        self.set("ok")

    def set(self, state: str) -> None:
        state = state.replace(self._secret, "<token>")
        if state == self.state:
            return
        log.log(logging.INFO if state == "ok" else logging.WARNING, "Telegram: %s", state)
        self.state = state
        try:
            self._on_state(state)
        except Exception:
            log.exception("telling of Telegram's state failed")


class Poller:
    """Owns the bot and python-telegram-bot's Application. All methods run on one event loop.

    `on_state(state)` is called on that loop with each new value of `state`; `on_identity(identity)` once, at
    the first contact; `on_refused(error)` once, if the very first contact is a refusal (the polling
    goes on trying meanwhile: whether that ends the program is the caller's to say).
    """

    def __init__(
        self,
        token: str,
        queue: CommittingQueue,
        *,
        api_url: str = API_URL,
        commands: Sequence[tuple[str, str]] = (),
        ca_bundle: str | None = None,
        on_state: Callable[[str], None] = lambda state: None,
        on_identity: Callable[[Identity], None] = lambda identity: None,
        on_refused: Callable[[TelegramRefusedError], None] = lambda error: None,
        clock: Clock | None = None,
        long_poll: float = LONG_POLL,
    ) -> None:
        """`api_url` is a server's root; `ca_bundle` a PEM file of further authorities.

        Raises TelegramRefusedError for an empty token and OSError for an unreadable `ca_bundle`. Makes no request.
        """
        if not token.strip():
            raise TelegramRefusedError(REFUSED)
        _keep_tokens_out_of_logs()
        self._clock = clock or Clock()
        self._watch = _Watch(self._clock, token, on_state)
        self._queue, self._commands, self._long_poll = queue, tuple(commands), long_poll
        self._on_identity, self._on_refused = on_identity, on_refused
        self.identity: Identity | None = None
        self._contacted = False
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        root = api_url.rstrip("/")
        extra = _client_settings(root, ca_bundle)
        self.bot = PollingBot(
            token,
            base_url=f"{root}/bot",
            base_file_url=f"{root}/file/bot",
            # A send that times out may have arrived, so sends are patient; and each chat may have one
            # under way, so none waits for another's connection.
            request=HTTPXRequest(256, 20.0, 20.0, 10.0, 10.0, httpx_kwargs=extra),
            get_updates_request=HTTPXRequest(2, 10.0, 10.0, 10.0, 10.0, httpx_kwargs=extra),
            watch=self._watch,
        )
        """For the Sender and Presence; sends work before the first contact too."""

    @property
    def state(self) -> str:
        """`ok`, or `connecting: …`, `conflict: …`, `refused: …` with one line of why."""
        return self._watch.state

    def start(self) -> None:
        """Begin, on the running loop; returns at once, whether or not Telegram can be reached."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="telegram poller")

    async def connected(self) -> None:
        """Returns at the first contact. Raises TelegramRefusedError if that is a refusal."""
        await self._connected.wait()
        if self.identity is None:
            raise TelegramRefusedError(REFUSED)

    async def stop(self) -> None:
        """Stop polling, acknowledge what is committed, close the connections (so stop senders first)."""
        self._watch.stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(STOP_GRACE):
                await self.bot.shutdown()

    async def _run(self) -> None:
        deaths = 0
        while True:
            began = self._clock.now()
            try:
                await self._connect()
                await self._poll()
            except PollingDiedError as error:
                deaths = deaths + 1 if self._clock.now() - began < LIVED else 1
                self._watch.set(f"connecting: polling ended ({error}) and is started again")
                delay = polling_delay(error, deaths)
            except Exception as error:  # noqa: BLE001 - whatever it was, the bot is to be heard again
                delay = self._watch.failed(error)
                if isinstance(error, InvalidToken):
                    self._refused()
            await self._clock.sleep(delay)

    async def _connect(self) -> None:
        await self.bot.initialize()
        if self.identity is None:
            me = self.bot.bot
            self.identity = Identity(me.id, me.username or "", me.full_name)
            self._contacted = True
            self._on_identity(self.identity)
            self._connected.set()
        if self._commands:
            try:
                await self.bot.set_my_commands(self._commands)
            except TelegramError as error:
                # A menu is a nicety; polling finds out soon enough if there is more to it.
                log.warning("the list of commands was not taken: %s", polling_state(error))

    def _refused(self) -> None:
        if not self._contacted:
            self._contacted = True
            self._on_refused(TelegramRefusedError(REFUSED))
            self._connected.set()

    async def _poll(self) -> None:
        """Poll until the task of it ends, which it should never do. Raises PollingDiedError then."""
        # A fresh one each time: an Updater whose polling task has failed keeps its stop event set, and
        # spins without ever asking again (22.8).
        application: Application[Any, Any, Any, Any, Any, Any] = (
            ApplicationBuilder().bot(self.bot).update_queue(self._queue).job_queue(None).build()
        )
        # Initialized but not started: start() would only fetch from the queue, into which nothing goes.
        await application.initialize()
        updater = application.updater
        assert updater is not None
        try:
            await updater.start_polling(timeout=int(self._long_poll), allowed_updates=ALLOWED_UPDATES)
            task = polling_task(updater)
            if not self._watch.state.startswith("conflict"):
                self._watch.fine()
            await asyncio.wait({task})
            reason = "cancelled" if task.cancelled() else repr(task.exception())
            raise PollingDiedError(reason)
        finally:
            await _retire(updater)


def polling_task(updater: Updater) -> asyncio.Task[None]:
    """The task in which `updater` polls. It is private to python-telegram-bot (22.8); without it a poller that
    ended would look like a quiet day."""
    task = getattr(updater, "_Updater__polling_task", None)
    if not isinstance(task, asyncio.Task):
        raise RuntimeError("this python-telegram-bot keeps its polling task elsewhere")
    return task


async def _retire(updater: Updater) -> None:
    if not updater.running:
        return
    try:
        async with asyncio.timeout(STOP_GRACE):
            await updater.stop()
    except Exception as error:  # noqa: BLE001 - stop() raises what its polling task died of
        log.debug("stopping the updater: %r", error)


def _client_settings(root: str, ca_bundle: str | None) -> dict[str, Any]:
    """Further arguments for httpx.AsyncClient."""
    address = urlsplit(root)
    # One context for both clients, as reading the authorities takes 0.1 s and some MiB each time.
    if address.scheme == "http":
        # No authorities at all: should there ever be TLS on this address, it fails.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = httpx.create_ssl_context()
        if ca_bundle:
            context.load_verify_locations(cafile=ca_bundle)
    # A proxy of the environment can't know what listens here.
    here = address.hostname in ("127.0.0.1", "localhost", "::1")
    return {"verify": context, "trust_env": not here}


def _keep_tokens_out_of_logs() -> None:
    # httpx logs every request's address at INFO, and the address of a Bot API method holds the token.
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)
