"""Serve one tenant in this process: open the library's parts, start the tree, wait, stop in order."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from actors.supervision import Down, render
from actors.tenant import tree
from actors.world import Ending, World
from klad import allowlist, brief, faults, settings, tenants, workspace
from klad.aio import LoopThread
from klad.botapi import BotApi, BotApiStore
from klad.cli import logs
from klad.errors import EngineError, GaveUpError, KladError
from klad.ledger import Ledger
from klad.mounts import Granted
from klad.redact import Redactor
from klad.runtime import Mount, image
from klad.runtime.docker import DockerRuntime
from klad.settings import Settings
from klad.tenants import Tenant

log = logging.getLogger(__name__)
SOURCE = Path(__file__).resolve().parents[2]
OWNER = 1
"""The user id of the web chat's bearer."""


def say(line: str) -> None:
    print(line, flush=True)


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def serve(tenant: Tenant) -> int:
    """Until a signal, or until the tree gives up. Raises `KladError` with the contract's exit code."""
    # From the first line on, so that a signal during a long start is not lost and shows no traceback.
    with signals() as ending:
        chosen = settings.load(tenant.env)
        tenants.secure(tenant)
        with tenants.locked(tenant):
            tenants.wait_for_ports(tenant, chosen)
            try:
                return _serve_locked(tenant, chosen, ending)
            except _InterruptedError:
                say("Stopped before it was up.")
                return 0


def _serve_locked(tenant: Tenant, chosen: Settings, ending: Ending) -> int:
    redact = Redactor(chosen.secrets())
    logs.begin(tenant, redact)
    for key in chosen.not_yet():
        progress(f"klad: {key} is set, but this version does not act on it yet")
    if faults.armed():
        progress("klad: KLAD_FAULTS is set: this process will fail on purpose")
    with contextlib.ExitStack() as stack:
        ledger = Ledger.open(
            tenant.ledger,
            about=brief.About(assistant=chosen.assistant_name, timezone=chosen.timezone),
            redact=redact,
        )
        stack.callback(ledger.close)
        runtime = DockerRuntime()
        stack.callback(runtime.close)
        images = _images(chosen, runtime, ledger.get_setting("served").result() is None, ending)
        loop = LoopThread("servers")
        loop.start()
        stack.callback(loop.stop)
        _extra(tenant)  # a broken file is an error now, not at the first container
        token, botapi = chosen.telegram_bot_token, None
        if chosen.embedded:
            token = _embedded_token(ledger)
            botapi = BotApi(BotApiStore(tenant.botapi), token, chosen.assistant_name, owner_id=OWNER)
        world = World(
            tenant=tenant,
            settings=chosen,
            install=tenants.install_id(),
            ledger=ledger,
            runtime=runtime,
            images=images,
            ensure_images=lambda: None if chosen.image else image.build(log.info),
            loop=loop,
            redact=redact,
            identity=workspace.identity(),
            source=SOURCE,
            extra=lambda: _extra(tenant),
            botapi=botapi,
            token=token,
            api_url=f"http://127.0.0.1:{chosen.port}" if botapi else chosen.telegram_api_url,
            owners=chosen.allowed_users | ({OWNER} if botapi else frozenset()),
            ending=ending,
        )
        return _live(world)


def _embedded_token(ledger: Ledger) -> str:
    """The embedded server's token: made once, known to this process alone."""
    token = ledger.get_setting("embedded_token").result()
    if token is None:
        token = f"{10**8 + secrets.randbelow(9 * 10**8)}:{secrets.token_urlsafe(32)}"
        ledger.set_setting("embedded_token", token).result()
    return token


def _extra(tenant: Tenant) -> tuple[Mount, ...]:
    """What `mounts.json` asks for and the machine's allowlist grants. Raises `UsageError` for a broken file."""
    wanted = allowlist.load_requests(tenant.root / "mounts.json")
    if not wanted:
        return ()
    allowed = allowlist.load_allowlist(allowlist.allowlist_path())
    granted = []
    for found in allowlist.mounts_of(tenant.name, wanted, allowed, (tenants.home(), allowlist.allowlist_path())):
        if isinstance(found, Granted):
            granted.append(found.mount)
        else:
            log.warning("mounts.json: %s", found.reason)
    return tuple(granted)


class _InterruptedError(Exception):
    """The user ended a start that was still under way."""


def _images(chosen: Settings, runtime: DockerRuntime, first: bool, ending: Ending) -> image.Images:
    """The images to start, built if they are missing. Raises `EngineError` on a tenant's first start only."""
    own = image.Images(chat=chosen.image, worker=chosen.image) if chosen.image else None

    def told(line: str) -> None:
        if ending.asked.is_set():
            raise _InterruptedError
        progress(line)

    try:
        runtime.check()
        runtime.engine.check_own(chosen.image, chosen.container_runtime)
        return own or image.build(told)
    except EngineError as error:
        if ending.asked.is_set():  # Ctrl-C reaches the programs that build, too
            raise _InterruptedError from None
        if first:
            raise
        progress(f"klad: {error}")
        progress("klad: starting all the same; what needs a container waits until the engine is back")
        return own or image.image_tags()


def _links(botapi: BotApi, url: str) -> None:
    """A new link at each Enter. Past Python's own stdin, whose lock a thread at the end must not hold."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            say(f"\n  {botapi.link(url)}\n")


def _gave_up(down: Down) -> KladError | None:
    """What the process ends with: an error for a person, where one is at the bottom of it."""
    if down.reason is None:
        return None
    known = next((cause for cause in down.causes() if isinstance(cause, KladError)), None)
    return known or GaveUpError(f"it gave up: {down.reason}; the log says more")


def _live(world: World) -> int:
    chosen, ending = world.settings, world.ending
    live = tree(world, on_down=lambda down: ending.ask(_gave_up(down)))
    try:
        live.start()
    except KladError:
        raise
    except Exception as error:
        log.exception("the tree did not start")
        cause: BaseException = error
        while not isinstance(cause, KladError) and cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause if isinstance(cause, KladError) else GaveUpError(f"it could not start: {error}") from error
    try:
        picture = live.picture()
        log.info("the tree is up:\n%s", render(picture) if picture is not None else "(not yet)")
        world.ledger.set_setting("served", "yes").result(30)
        name = chosen.assistant_name
        if world.botapi is not None:
            say(f"{name} is up. Open this link; it works once:\n\n  {world.botapi.link(world.api_url)}\n")
            asks = sys.stdin.isatty()
            say("Ctrl-C stops it." + (" Enter prints another link." if asks else ""))
            if asks:
                threading.Thread(target=_links, args=(world.botapi, world.api_url), daemon=True).start()
        else:
            say(f"{name} is up and listens to Telegram (tenant {world.tenant.name}). Stop it with Ctrl-C.")
        ending.wait()
    finally:
        log.info("stopping")
        live.stop()
    if ending.reason is not None:
        raise ending.reason
    say("Stopped. What a worker does goes on for up to 6 hours, and is found again at the next start.")
    return 0


@contextlib.contextmanager
def signals() -> Iterator[Ending]:
    """SIGINT and SIGTERM ask for an orderly end; a second one ends at once."""
    ending = Ending()

    def ask(number: int, _frame: FrameType | None) -> None:
        if ending.asked.is_set():
            raise KeyboardInterrupt
        ending.ask()

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
        signal.set_wakeup_fd(ending.pipe, warn_on_full_buffer=False)
    try:
        yield ending
    finally:
        if before:
            signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
