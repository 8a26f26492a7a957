"""HTTP as it may come over the socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import Broken
from agent.wire import Connection

Serve = Callable[..., Connection]


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A connection to a server that answers each request with the next of these bytes, then closes."""
    listeners: list[socket.socket] = []

    def start(*answers: bytes) -> Connection:
        path = str(Path(tmp_path_factory.mktemp("w")) / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listeners.append(listener)

        def run() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                for answer in answers:
                    peer.recv(65536)
                    peer.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return Connection(path)

    yield start
    for listener in listeners:
        listener.close()


def get(connection: Connection) -> bytes:
    return connection.send("GET", "/", {}, None, 5.0).read()


def test_a_connection_is_used_again_after_each_way_to_end_a_body(serve: Serve) -> None:
    link = serve(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1;x=y\r\nc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nto the end",
    )
    assert [get(link) for _ in range(5)] == [b"ab", b"", b"cde", b"", b"to the end"]
    assert not link.open


def test_lines_come_whole_however_they_are_cut(serve: Serve) -> None:
    link = serve(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nda\r\r\n4\r\n\nta:\r\n2\r\n\nx\r\n0\r\n\r\n"
    )
    assert list(link.send("GET", "/", {}, None, 5.0).lines()) == [b"da", b"ta:", b"x"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_cut_or_no_http_is_broken_and_closes_the_connection(serve: Serve, answer: bytes) -> None:
    link = serve(answer)
    with pytest.raises(Broken):
        get(link)
    assert not link.open


def test_no_listener_is_broken(tmp_path: Path) -> None:
    with pytest.raises(Broken):
        get(Connection(str(tmp_path / "none")))


def test_an_interrupt_before_there_is_a_socket_breaks_the_request(serve: Serve) -> None:
    link = serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    link.heed()
    link.interrupt()
    with pytest.raises(Broken, match="interrupted"):
        get(link)
