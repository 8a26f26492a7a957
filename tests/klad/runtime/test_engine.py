from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from klad.errors import EngineError
from klad.runtime.engine import Engine, address, is_down

ABOUT = {"ApiVersion": "1.41", "Os": "linux"}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answer: bytes = b""
    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.answer)))
        self.end_headers()
        self.wfile.write(server.answer)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[bytes], tuple[Engine, list[str]]]]:
    """An engine that answers everything with the same bytes, and what it was asked."""
    servers: list[_Server] = []

    def start(answer: bytes) -> tuple[Engine, list[str]]:
        server = _Server(str(tmp_path / "engine.sock"), _Handler)
        server.answer, server.asked = answer, []
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return Engine(f"unix://{tmp_path}/engine.sock"), server.asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def why(engine: Engine) -> str:
    with pytest.raises(EngineError) as error:
        engine.check(timeout_s=0.3)
    line = str(error.value)
    assert "\n" not in line
    return line


def test_the_version_is_asked_once_and_kept(serve: Callable[[bytes], tuple[Engine, list[str]]]) -> None:
    engine, asked = serve(json.dumps(ABOUT).encode())

    for _ in range(3):
        with engine.client() as client:
            client.ping()

    assert asked == ["/version", "/v1.41/_ping", "/v1.41/_ping", "/v1.41/_ping"]


def test_a_check_asks_for_the_version_again(serve: Callable[[bytes], tuple[Engine, list[str]]]) -> None:
    engine, asked = serve(json.dumps(ABOUT).encode())

    engine.check()
    engine.check()

    assert asked.count("/version") == 2


def test_an_engine_that_is_too_old_is_told_apart(serve: Callable[[bytes], tuple[Engine, list[str]]]) -> None:
    engine, _ = serve(json.dumps(ABOUT | {"ApiVersion": "1.39"}).encode())

    assert "too old (API 1.39)" in why(engine)


def test_an_engine_for_windows_containers_is_told_apart(serve: Callable[[bytes], tuple[Engine, list[str]]]) -> None:
    engine, _ = serve(json.dumps(ABOUT | {"Os": "windows"}).encode())

    assert "no Linux containers" in why(engine)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b"[]", b'"x"'])
def test_something_that_is_no_engine_is_an_error_of_one_line(
    serve: Callable[[bytes], tuple[Engine, list[str]]], answer: bytes
) -> None:
    engine, _ = serve(answer)

    assert "engine" in why(engine)


def test_no_socket_and_nobody_behind_it_are_an_engine_that_is_not_running(tmp_path: Path) -> None:
    assert "make engine" in why(Engine(f"unix://{tmp_path}/none.sock"))
    with socket.socket(socket.AF_UNIX) as deserted:
        deserted.bind(str(tmp_path / "deserted.sock"))
    assert "make engine" in why(Engine(f"unix://{tmp_path}/deserted.sock"))


def test_an_engine_that_never_answers_takes_too_long(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()

        assert "too long" in why(Engine(f"unix://{tmp_path}/silent.sock"))


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody else here")
def test_a_socket_that_is_not_ours_to_use_names_the_docker_group() -> None:
    reading, writing = os.pipe()
    directory = Path("/tmp") / f"klad-test-{os.getpid()}"  # pytest's own is closed to others
    directory.mkdir()
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.bind(str(directory / "engine.sock"))
            (directory / "engine.sock").chmod(0o600)
            engine.listen()
            child = os.fork()
            if child == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                try:
                    Engine(f"unix://{directory}/engine.sock").check()
                except BaseException as error:
                    os.write(writing, str(error).encode())
                os._exit(0)
            os.close(writing)
            os.waitpid(child, 0)
        said = os.read(reading, 4096).decode()
    finally:
        os.close(reading)
        (directory / "engine.sock").unlink()
        directory.rmdir()

    assert said == "you may not use the engine's socket: sudo usermod -aG docker $USER, then log in again"


def test_the_engine_is_found_where_docker_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert address().host == "unix:///var/run/docker.sock"
    assert address("tcp://elsewhere:1").host == "tcp://elsewhere:1"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    assert address().host == "unix:///run/user/1000/docker.sock"


def test_a_current_context_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import hashlib

    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"desktop").hexdigest()
    meta.mkdir(parents=True)
    host = "unix:///Users/ann/.docker/run/docker.sock"
    (meta / "meta.json").write_text(
        json.dumps(
            {"Name": "desktop", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        )
    )
    (tmp_path / "config.json").write_text('{"currentContext": "desktop"}')

    assert address().host == host


def test_our_own_refusals_are_not_an_engine_that_is_down() -> None:
    assert is_down(ConnectionResetError())
    assert not is_down(EngineError("too old"))
