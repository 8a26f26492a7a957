"""Who may in, and how much: tokens, listeners, floods, garbage and giants, each of which harms nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from klad.gateway import limits, new_token

from .house import Agent, House, house, until


def say(seq: int, text: str = "x") -> dict[str, Any]:
    return {"seq": seq, "kind": "say", "turn": 1, "data": {"text": text}, "at": 0}


async def served(other: Agent, within_s: float = 2) -> None:
    """Another run is answered as if nothing were."""
    status, _ = await asyncio.wait_for(other.post(say(1)), within_s)
    assert status == 200


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klad.gateway.server.SLOT_CONNECTIONS", 4)


async def test_a_token_opens_as_a_bearers_and_as_an_api_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        assert (await agent.turn())[0] == 200
        assert (await agent.ask("GET", "/agent/turn", Authorization="", x_api_key=agent.token))[0] == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer klad_unknown", "Basic YTpi", "Bearer å", "Bearer " + "x" * 900]
)
async def test_without_a_runs_token_nothing_opens(tmp_path: Path, header: str) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        for method, path in [("GET", "/agent/turn"), ("POST", "/v1/messages"), ("GET", "/nothing")]:
            status, body = await agent.ask(method, path, Authorization=header)
            assert (status, body["error"]["type"]) == (401, "authentication_error")


async def test_a_token_is_refused_on_another_slots_socket(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        worker, chat = await home.agent("worker"), await home.agent("chat")
        other = await home.agent("worker", chat="8")
        for thief in (home.client(worker.run, worker.token, place.directory) for place in (chat, other)):
            status, body = await thief.turn()
            assert (status, body["error"]["type"]) == (403, "permission_error")
        assert (await worker.turn())[0] == 200


async def test_the_port_serves_any_run_by_its_token(tmp_path: Path) -> None:
    async with house(tmp_path, port=0) as home:
        for slot in ("worker", "chat"):
            agent = await home.agent(slot)
            assert (await home.client(agent.run, agent.token, agent.directory, tcp=True).turn())[0] == 200
        assert (await home.client(agent.run, new_token()[0], agent.directory, tcp=True).turn())[0] == 401


async def test_guessing_tokens_is_slowed_and_known_runs_do_not_notice(tmp_path: Path) -> None:
    async with house(tmp_path, port=0, clock=lambda: 0.0) as home:
        agent = await home.agent()
        known = home.client(agent.run, agent.token, agent.directory, tcp=True)
        assert (await known.turn())[0] == 200
        statuses = {(await known.ask("GET", "/agent/turn", Authorization=f"Bearer x{n}"))[0] for n in range(80)}
        assert statuses == {401, 429}
        assert (await known.turn())[0] == 200


async def test_unknown_paths_and_methods_are_refused_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        assert (await agent.ask("GET", "/agent/nothing"))[1]["error"]["type"] == "not_found_error"
        assert (await agent.ask("DELETE", "/agent/turn"))[0] == 405


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"events": NaN}',
        b'{"events": [' + b"9" * 5000 + b"]}",
        b"[]",
        b'{"events": []}',
        b'{"events": [{"seq": 1, "kind": "nonsense", "data": {}}]}',
    ],
)
async def test_garbage_is_refused_with_words_and_harms_nobody(tmp_path: Path, raw: bytes) -> None:
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        for path in ("/agent/events", "/agent/hello", "/agent/tools/remember", "/v1/messages"):
            status, body = await agent.ask("POST", path, raw=raw)
            assert (status, body["error"]["type"]) == (400, "invalid_request_error")
            assert body["error"]["message"]
        await served(other)


@pytest.mark.parametrize("after", ["-1", "x", "1e3", "9" * 40, "²"])
async def test_a_turns_number_that_is_none_is_refused(tmp_path: Path, after: str) -> None:
    async with house(tmp_path) as home:
        assert (await (await home.agent()).ask("GET", f"/agent/turn?after={after}"))[0] == 400


async def test_what_is_no_http_is_answered_or_dropped_and_harms_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        for raw in (b"\0\1\2\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"a" * 50_000, b"\x16\x03\x01" * 99):
            reader, writer = await asyncio.open_unix_connection(agent.directory / "gateway.sock")
            writer.write(raw)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        await served(other)


async def test_bodies_have_a_limit_whether_or_not_they_announce_their_length(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 65536

    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        status, body = await agent.ask("POST", "/agent/events", raw=b"x" * (limits.MIB + 1))
        assert (status, body["error"]["type"]) == (413, "request_too_large")
        assert (await agent.ask("POST", "/agent/events", raw=chunks()))[0] == 413
        await served(other)


async def test_compressed_bodies_are_not_taken(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        assert (await agent.ask("POST", "/agent/events", raw=b"\x1f\x8b", Content_Encoding="gzip"))[0] == 415


async def test_bodies_held_at_once_have_a_limit_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klad.gateway.door.HELD", 100_000)
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        status, body = await agent.ask("POST", "/v1/messages", raw=b"x" * 200_000)
        assert (status, body["error"]["type"]) == (429, "rate_limit_error")
        assert agent.last.headers["Retry-After"] == "1"
        await served(other)
        await served(agent)  # what was held is given back


async def test_a_flood_of_events_is_slowed_for_its_run_alone(tmp_path: Path) -> None:
    async with house(tmp_path, clock=lambda: 0.0) as home:
        agent, other = await home.agent(), await home.agent("chat")
        statuses = [(await agent.post(*[say(start + n) for n in range(400)]))[0] for start in range(1, 2001, 400)]
        assert statuses == [200, 200, 200, 429, 429]
        assert int(agent.last.headers["Retry-After"]) >= 1
        await served(other)


async def test_a_flood_of_requests_is_slowed_for_its_run_alone(tmp_path: Path) -> None:
    async with house(tmp_path, clock=lambda: 0.0) as home:
        agent, other = await home.agent(), await home.agent("chat")
        statuses = [(await agent.ask("DELETE", "/agent/turn"))[0] for _ in range(450)]
        assert (statuses.count(405), statuses.count(429)) == (400, 50)
        await served(other)


async def test_requests_at_once_have_a_limit_a_run(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        polls = [asyncio.create_task(agent.ask("GET", "/agent/signals")) for _ in range(limits.CONCURRENT)]
        await until(lambda: home.gateway._waiting._by_run.get(agent.run.id, ()) and _polls(home, agent) == 16)
        assert (await agent.turn())[0] == 429
        await served(other)
        polls[0].cancel()
        await until(lambda: _polls(home, agent) == 15)
        assert (await agent.turn())[0] == 200
        for poll in polls:
            poll.cancel()


def _polls(home: House, agent: Agent) -> int:
    return len(home.gateway._waiting._by_run[agent.run.id])


@pytest.mark.usefixtures("few")
async def test_connections_have_a_limit_a_slot(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        path = agent.directory / "gateway.sock"
        idle = [await asyncio.open_unix_connection(path) for _ in range(4)]
        await until(lambda: len(home.gateway._slots[agent.directory].connections) == 4)
        reader, writer = await asyncio.open_unix_connection(path)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        await served(other)
        idle[0][1].close()
        await until(lambda: len(home.gateway._slots[agent.directory].connections) == 3)
        await served(agent)
        for _, stream in idle:
            stream.close()


async def test_a_client_that_never_reads_harms_nobody(tmp_path: Path) -> None:
    """Its own requests stand still once the socket's buffers are full."""
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.setblocking(False)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(str(agent.directory / "gateway.sock"))
            body = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"SAY %s"}]}' % (
                b"word " * 100_000
            )
            request = b"POST /v1/messages HTTP/1.1\r\nHost: klad\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\n%s" % (
                agent.token.encode(),
                len(body),
                body,
            )
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(deaf, request)
            await until(lambda: home.gateway._slots[agent.directory].connections)
            await served(other)
            await asyncio.wait_for(home.gateway.stop(), 4)


async def test_a_client_that_sends_its_body_slowly_harms_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent, other = await home.agent(), await home.agent("chat")
        reader, writer = await asyncio.open_unix_connection(agent.directory / "gateway.sock")
        head = f"POST /agent/events HTTP/1.1\r\nHost: k\r\nKlad-Protocol: 1\r\nx-api-key: {agent.token}\r\n"
        writer.write(f"{head}Content-Length: 100000\r\n\r\n{{".encode())
        await writer.drain()
        await served(other)
        await served(agent)
        writer.close()
        await asyncio.wait_for(reader.read(), 2)
