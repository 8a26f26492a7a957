"""HTTP/1.1 over a unix socket: one connection, one request at a time (RFC 9112, the client's half).

Written out because `http.client` costs 9-14 ms and 2.5-7 MB (it brings email and ssl; CPython 3.11)
of the 60 ms and 20 MB that a container takes to its first request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from io import BufferedReader

from agent.errors import Broken

LINE = 65536
BODY = 64 << 20
"""Longest line and body accepted, in bytes."""
HEADERS = 100


class Connection:
    """Not thread-safe, but for `interrupt`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._file: BufferedReader | None = None
        self._reading: Response | None = None
        self._interrupts = 0
        self._heeded = 0

    @property
    def open(self) -> bool:
        return self._socket is not None

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None,
             timeout: float) -> Response:
        """Send a request and read the answer's head. `timeout` (s) holds for each read. Raises Broken."""
        if self._reading is not None and not self._reading.complete:
            self.close()
        lines = [f"{method} {target} HTTP/1.1", "Host: klad"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        try:
            sock = self._socket or self._connect(timeout)
            sock.settimeout(timeout)
            if self._interrupts != self._heeded:  # it came before there was a socket to shut down
                raise Broken("interrupted")
            sock.sendall(head + (body or b""))
            file = self._file = self._file or sock.makefile("rb")
            self._reading = Response(self, file)
        except (OSError, ValueError) as error:
            self.close()
            raise Broken(str(error) or type(error).__name__) from error
        except Broken:
            self.close()
            raise
        return self._reading

    def heed(self) -> None:
        """An `interrupt` from here on breaks the next request, be it ever so early."""
        self._heeded = self._interrupts

    def interrupt(self) -> None:
        """Wake whoever is reading, from any thread; they get Broken."""
        self._interrupts += 1
        sock = self._socket
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        sock, file = self._socket, self._file
        self._socket = self._file = self._reading = None
        if file is not None:
            file.close()  # the socket stays open for as long as a file made of it
        if sock is not None:
            sock.close()

    def _connect(self, timeout: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            if len(os.fsencode(self._path)) <= 100:
                sock.connect(self._path)
            else:  # sun_path holds 108 bytes: go by the directory's descriptor instead
                directory = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(self._path)}")
                finally:
                    os.close(directory)
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        return sock


class Response:
    """An answer; its body is read from the connection as it is asked for."""

    def __init__(self, connection: Connection, file: BufferedReader) -> None:
        self._connection = connection
        self._file = file
        self.status = 100
        self.headers: dict[str, str] = {}
        self.complete = False
        while self.status < 200:
            self.status, self.headers = self._head()
        self._keep = self.headers.get("connection", "").lower() != "close"
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        self._length = int(length) if length is not None else None
        if self.status in (204, 304) or (self._length == 0 and not self._chunked):
            self._finish()

    def read(self) -> bytes:
        """The whole body. Raises Broken; also for one that is longer than BODY."""
        parts, size = [], 0
        for part in self.parts():
            parts.append(part)
            size += len(part)
            if size > BODY:
                self._connection.close()
                raise Broken("the answer is too long")
        return b"".join(parts)

    def parts(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Broken."""
        try:
            while not self.complete:
                part = self._part()
                if part:
                    yield part
        except (OSError, ValueError) as error:
            self._connection.close()
            raise Broken(str(error) or type(error).__name__) from error
        except Broken:
            self._connection.close()
            raise

    def drain(self) -> None:
        """Read what is left, so that the connection can be used again; for an end that is already in sight."""
        try:
            for _ in self.parts():
                pass
        except Broken:
            return

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they arrive, without their ends. Raises Broken."""
        rest = b""
        for part in self.parts():
            *lines, rest = (rest + part).split(b"\n")
            if len(rest) > BODY:
                raise Broken("a line is too long")
            for line in lines:
                yield line.removesuffix(b"\r")
        if rest:
            yield rest

    def _line(self) -> bytes:
        line = self._file.readline(LINE)
        if not line.endswith(b"\n"):
            raise Broken("the connection was closed" if len(line) < LINE else "a header is too long")
        return line.rstrip(b"\r\n")

    def _head(self) -> tuple[int, dict[str, str]]:
        words = self._line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Broken("that was no HTTP")
        headers: dict[str, str] = {}
        for _ in range(HEADERS):
            line = self._line()
            if not line:
                return int(words[1]), headers
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        raise Broken("too many headers")

    def _part(self) -> bytes:
        if self._chunked:
            size = int(self._line().partition(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                self._finish()
                return b""
            if not 0 < size <= BODY:
                raise Broken("a chunk is too long")
            part = self._file.read(size)
            if len(part) < size:
                raise Broken("the connection was closed")
            self._line()
            return part
        if self._length is not None:
            part = self._file.read1(min(self._length, LINE))
            if not part:
                raise Broken("the connection was closed")
            self._length -= len(part)
            if self._length <= 0:
                self._finish()
            return part
        part = self._file.read1(LINE)
        if not part:
            self._keep = False
            self._finish()
        return part

    def _finish(self) -> None:
        self.complete = True
        if not self._keep:
            self._connection.close()
