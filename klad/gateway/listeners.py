"""Unix sockets in directories that containers have mounted, and who listens on which.

Invariant: a directory is never re-created, and its socket is replaced in one rename. A container that
has the directory mounted sees the new socket; a mounted *file* would die with the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

from klad.errors import KladError
from klad.gateway.limits import Bucket
from klad.words import Slot

NAME = "gateway.sock"
_TEMPORARY = f".{NAME}."
LONGEST_PATH = 100
"""Bytes. sun_path holds 108 on Linux and 104 on macOS (unix(7)); the kernel's limit is kept at a distance."""
BACKLOG = 128


def bind(directory: Path) -> tuple[socket.socket, int]:
    """A listening socket at `directory`/gateway.sock, and its inode. Raises `KladError`.

    Anybody may connect who can enter the directory: that is what keeps others out.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for left in os.listdir(folder):
                if left.startswith(_TEMPORARY):  # from a process that was killed before its rename
                    os.unlink(left, dir_fd=folder)
            temporary = _TEMPORARY + secrets.token_hex(4)
            sock.bind(_reachable(directory, folder, temporary))
            os.chmod(temporary, 0o666, dir_fd=folder)  # noqa: S103 (the container's user is another one)
            sock.listen(BACKLOG)
            inode = os.stat(temporary, dir_fd=folder).st_ino
            os.rename(temporary, NAME, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        sock.close()
        raise KladError(f"the socket {directory / NAME} can't be made: {error.strerror or error}") from error
    return sock, inode


def _reachable(directory: Path, folder: int, name: str) -> str:
    path = str(directory / name)
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    if not os.path.isdir("/proc/self/fd"):
        raise OSError(f"its path is longer than {LONGEST_PATH} bytes; choose a shorter KLAD_HOME")
    return f"/proc/self/fd/{folder}/{name}"


class Listener:
    """One socket: whose it is, and its connections."""

    def __init__(
        self,
        owner: tuple[str, Slot] | None,
        protocol: Callable[[], asyncio.BaseProtocol],
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self.owner = owner
        """(chat, slot); None: any run may come this way, its token says who it is."""
        self.protocol = protocol
        self.most = most
        self.connections: set[Connection] = set()
        self.strangers = Bucket(5, 50, clock)
        """Tokens that we did not know: each costs a look-up."""
        self._server: asyncio.Server | None = None
        self._directory: Path | None = None
        self._inode = 0

    async def open_unix(self, directory: Path) -> None:
        """Listen in `directory`, in place of whatever socket was there. Raises `KladError`."""
        sock, inode = bind(directory)
        old = self._server
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self), sock=sock)
        self._directory, self._inode = directory, inode
        if old is not None:
            old.close()

    async def open_tcp(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=sock)

    @property
    def in_place(self) -> bool:
        """Whether the socket in the directory is still this one."""
        if self._directory is None:
            return False
        try:
            return os.stat(self._directory / NAME, follow_symlinks=False).st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Take no more connections, and remove the socket unless somebody has replaced it."""
        if self._server is not None:
            self._server.close()
        if self._directory is not None and self.in_place:
            with contextlib.suppress(OSError):
                os.unlink(self._directory / NAME)
        self._directory = None

    def drop(self) -> None:
        """Break what connections there still are."""
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """Stands between a transport and aiohttp's handler: knows its listener, and keeps count.

    `request.transport.get_protocol()` is the way from a request to its listener. (Handlers of aiohttp
    3.14 have slots and no hook at accept, so neither could be told to the handler itself.)
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._transport: asyncio.Transport | None = None
        self._handler: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self.listener.connections) >= self.listener.most:
            self._transport.abort()  # one slot's agent must not use up the process's descriptors
            return
        self.listener.connections.add(self)
        self._handler = cast("asyncio.Protocol", self.listener.protocol())
        self._handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.connections.discard(self)
        if self._handler is not None:
            self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._handler is not None else None

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
