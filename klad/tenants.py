"""Tenant directories: create, list, lock, allot ports. `$KLAD_HOME` (default `~/.klad`) holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from klad import settings
from klad.errors import TakenError, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
FIRST_PORT, FIRST_GATEWAY_PORT = 3000, 10254
PORTS_TRIED = 1000
PATIENCE_S = 5.0
"""How long a start waits for a dying predecessor's lock and ports."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One person's Klåd on disk. Paths only; nothing is read here."""

    name: str
    root: Path

    @property
    def env(self) -> Path:
        return self.root / ".env"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def botapi(self) -> Path:
        return self.root / "botapi.db"

    @property
    def groups(self) -> Path:
        return self.root / "groups"

    @property
    def sockets(self) -> Path:
        return self.root / "s"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def home() -> Path:
    """`$KLAD_HOME`, or `~/.klad`."""
    return Path(os.environ.get("KLAD_HOME") or Path.home() / ".klad").absolute()


def find(name: str) -> Tenant:
    """The tenant of that name, there or not. Raises `UsageError` for a name that can't be one."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be a tenant's name: use 1 to 32 of a-z, 0-9, - and _")
    return Tenant(name, home() / "tenants" / name)


def names() -> list[str]:
    """Every tenant of this KLAD_HOME, sorted."""
    root = home() / "tenants"
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and NAME.fullmatch(entry.name))


def exists(tenant: Tenant) -> bool:
    return tenant.root.is_dir()


def create(tenant: Tenant, token: str = "", free: Callable[[int], bool] | None = None) -> settings.Settings:
    """Make the directory and a `.env` with ports of its own.

    Raises `UsageError` for a bad token, a tenant that exists, or a KLAD_HOME that can't be written.
    """
    try:
        token = settings.READERS["TELEGRAM_BOT_TOKEN"](token)
    except ValueError as bad:
        raise UsageError(f"the token must be {bad}") from None
    try:
        for directory in (home(), tenant.root.parent):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone():
            port, gateway_port = allot(free or port_is_free)
            tenant.root.mkdir(mode=0o700)
            lines = [
                "# Every setting is explained in .env.example.",
                f"TELEGRAM_BOT_TOKEN={token}",
                f"PORT={port}",
                f"GATEWAY_PORT={gateway_port}",
            ]
            descriptor = os.open(tenant.env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
    except OSError as error:
        if isinstance(error, FileExistsError) and exists(tenant):
            raise UsageError(f"tenant {tenant.name} exists already, in {tenant.root}") from None
        raise _unusable(error, tenant) from None
    return settings.load(tenant.env)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time allots ports: two that look at once would find the same ones free."""
    descriptor = os.open(home() / "allot.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unusable(error: OSError, tenant: Tenant) -> UsageError:
    reason = os.strerror(error.errno or 0)
    return UsageError(f"{error.filename or tenant.root}: {reason}; is KLAD_HOME yours and writable?")


def secure(tenant: Tenant) -> None:
    """Make the parts of a tenant's directory that are missing, closed to everyone else.

    A tenant prepared by hand starts like one made by `create`. Raises `UsageError` where that fails.
    """
    try:
        for directory in (tenant.root, tenant.groups, tenant.sockets, tenant.logs):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(tenant.root, 0o700)
        if tenant.env.exists():
            os.chmod(tenant.env, 0o600)
    except OSError as error:
        raise _unusable(error, tenant) from None


def install_id() -> str:
    """What tells this KLAD_HOME from every other on the same engine (label `klad.install`)."""
    path = home() / "install"
    if not path.exists():
        home().mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = home() / f"install.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(8))
        # Linked when it is whole: another tenant's process, started with us, would read an empty file.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()


def allot(free: Callable[[int], bool]) -> tuple[int, int]:
    """The next (PORT, GATEWAY_PORT) that no tenant has and that `free` says nobody listens on."""
    taken: set[int] = set()
    for name in names():
        with contextlib.suppress(UsageError):  # a broken .env is its own tenant's trouble
            theirs = settings.load(find(name).env)
            taken |= {theirs.port, theirs.gateway_port}
    found = []
    for first in (FIRST_PORT, FIRST_GATEWAY_PORT):
        candidates = (port for port in range(first, first + PORTS_TRIED) if port not in taken and free(port))
        port = next(candidates, None)
        if port is None:
            raise TakenError(f"no free port from {first} to {first + PORTS_TRIED - 1}; set one in the tenant's .env")
        found.append(port)
    return found[0], found[1]


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for_ports(tenant: Tenant, chosen: settings.Settings, patience_s: float = PATIENCE_S) -> None:
    """Return when both ports can be bound. Raises `TakenError` after `patience_s`."""
    deadline = time.monotonic() + patience_s
    for key, port in (("PORT", chosen.port), ("GATEWAY_PORT", chosen.gateway_port)):
        while not port_is_free(port):
            if port < 1024 and os.geteuid() != 0:
                raise UsageError(f"{key}={port} is for root alone: set one of 1024 or more in {tenant.env}")
            if time.monotonic() > deadline:
                raise TakenError(
                    f"port {port} is taken by another program: stop that, or set another {key} in {tenant.env}"
                )
            time.sleep(0.1)


@contextlib.contextmanager
def locked(tenant: Tenant, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the tenant: one process at a time. Raises `TakenError` after `patience_s`.

    flock(2) dies with the process, however that ends. Its file is never removed: a second process
    could then lock a new one while the first holds the old.
    """
    descriptor = os.open(tenant.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TakenError(f"tenant {tenant.name} is running already (another process holds it)") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
