"""/v1/*: passed to an upstream and streamed back; here the scripted model, and one that a test controls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from klad.gateway import ModelReply, ModelRequest, Refusal

from .house import Agent, house
from .test_sse import together

SAY = {"model": "klad-scripted", "max_tokens": 99, "messages": [{"role": "user", "content": "SAY hello"}]}


class Upstream:
    """Answers each call with what `stream` yields."""

    def __init__(self, stream: Callable[[], AsyncIterator[bytes]], kind: str = "text/event-stream") -> None:
        self.stream = stream
        self.kind = kind
        self.requests: list[ModelRequest] = []

    async def messages(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        headers = {"Content-Type": self.kind, "request-id": "req_1", "Connection": "close", "Content-Length": "7"}
        return ModelReply(200, headers, self.stream())

    count_tokens = models = messages


def post(agent: Agent, body: Any = SAY, path: str = "/v1/messages", **headers: str) -> Any:
    return agent.session.post(f"http://klad{path}", json=body, headers={"x-api-key": agent.token, **headers})


async def test_a_message_is_answered_whole_or_as_the_same_message_streamed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        async with post(agent) as got:
            whole = await got.json()
        assert [block["text"] for block in whole["content"]] == ["hello"]
        async with post(agent, SAY | {"stream": True}, "/v1/messages?beta=true") as got:
            assert got.content_type == "text/event-stream"
            wire = (await got.read()).decode()
        events = [event.split("\n") for event in wire.removesuffix("\n\n").split("\n\n")]
        read = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]
        assert together(read) == whole


async def test_tokens_are_counted_and_models_listed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        async with post(agent, {"model": "m", "messages": SAY["messages"]}, "/v1/messages/count_tokens") as got:
            assert (await got.json())["input_tokens"] > 0
        status, body = await agent.ask("GET", "/v1/models?limit=5")
        assert (status, [model["id"] for model in body["data"]]) == (200, ["klad-scripted"])


@pytest.mark.parametrize("body", [{}, [], "x", SAY | {"messages": []}, SAY | {"max_tokens": None}])
async def test_a_broken_request_gets_the_apis_error(tmp_path: Path, body: Any) -> None:
    async with house(tmp_path) as home:
        async with post(await home.agent(), body) as got:
            assert got.status == 400
            error = await got.json()
        assert error["type"] == "error"
        assert error["error"]["type"] == "invalid_request_error"
        assert error["error"]["message"]


async def test_what_the_upstream_sends_arrives_at_once(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield b"event: ping\ndata: {}\n\n"
        await go.wait()
        yield b"the rest"

    async with house(tmp_path, model=Upstream(stream)) as home, post(await home.agent()) as got:
        assert await asyncio.wait_for(got.content.readany(), 2) == b"event: ping\ndata: {}\n\n"
        go.set()
        assert await got.content.read() == b"the rest"
        assert got.headers["request-id"] == "req_1"
        assert "Content-Length" not in got.headers


async def test_the_upstream_gets_the_request_untouched_but_for_credentials(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"{}"

    upstream = Upstream(stream, "application/json")
    async with house(tmp_path, model=upstream) as home:
        agent = await home.agent("chat")
        headers = {
            "Authorization": f"Bearer {agent.token}",
            "anthropic-beta": "x-1",
            "anthropic-version": "2023-06-01",
        }
        odd = {"model": "m", "unknown": {"deep": [1, None]}}
        async with post(agent, odd, "/v1/messages?beta=true", **headers) as got:
            assert got.status == 200
        [request] = upstream.requests
        assert request.body == odd
        assert (request.path, request.query) == ("/v1/messages", "beta=true")
        assert (request.run.id, request.slot) == (agent.run.id, "chat")
        assert request.headers["Anthropic-Beta"] == "x-1"
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert agent.token not in str(request)


async def test_an_agent_that_breaks_off_ends_the_upstreams_call(tmp_path: Path) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            begun.set()
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with house(tmp_path, model=Upstream(stream)) as home:
        got = await post(await home.agent())
        await begun.wait()
        got.close()
        await asyncio.wait_for(closed.wait(), 2)


async def test_an_agent_that_breaks_off_before_the_first_byte_ends_the_upstreams_call(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Slow(Upstream):
        async def messages(self, request: ModelRequest) -> ModelReply:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async with house(tmp_path, model=Slow(nothing)) as home:
        asks = asyncio.ensure_future(post(await home.agent()).__aenter__())
        await begun.wait()
        asks.cancel()
        await asyncio.wait_for(ended.wait(), 2)


async def test_a_stream_that_breaks_off_ends_with_an_error_event(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"event: ping\ndata: {}\n\n"
        raise OSError("secret detail")

    async with house(tmp_path, model=Upstream(stream)) as home:
        async with post(await home.agent()) as got:
            text = (await got.read()).decode()
        last = text.removesuffix("\n\n").split("\n\n")[-1]
        assert last.startswith("event: error\ndata: ")
        assert json.loads(last.split("data: ")[1])["error"]["type"] == "api_error"
        assert "secret" not in text


async def test_an_answer_that_is_no_stream_and_breaks_off_is_seen_to_be_broken(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b'{"type":'
        raise OSError

    async with house(tmp_path, model=Upstream(stream, "application/json")) as home, post(await home.agent()) as got:
        with pytest.raises(aiohttp.ClientPayloadError):
            await got.read()


class Closable:
    """A body that isn't a generator: nobody closes it but who was handed it."""

    def __init__(self) -> None:
        self.parts = [b"x"]
        self.closed = False

    def __aiter__(self) -> Closable:
        return self

    async def __anext__(self) -> bytes:
        if not self.parts:
            raise StopAsyncIteration
        return self.parts.pop()

    async def aclose(self) -> None:
        self.closed = True


async def test_the_upstreams_answer_is_closed_at_its_end(tmp_path: Path) -> None:
    body = Closable()
    async with house(tmp_path, model=Upstream(lambda: body)) as home:
        async with post(await home.agent()) as got:
            assert await got.read() == b"x"
        assert body.closed


async def test_an_upstreams_refusal_is_passed_on(tmp_path: Path) -> None:
    class Full(Upstream):
        async def messages(self, request: ModelRequest) -> ModelReply:
            raise Refusal(529, "Overloaded", retry_after=2.5)

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async with house(tmp_path, model=Full(nothing)) as home:
        agent = await home.agent()
        status, body = await agent.ask("POST", "/v1/messages", SAY)
        assert (status, body["error"]["type"]) == (529, "overloaded_error")
        assert agent.last.headers["Retry-After"] == "3"


async def test_many_streams_at_once_are_all_served(tmp_path: Path) -> None:
    go, count = asyncio.Event(), 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal count
        count += 1
        if count == 48:
            go.set()
        yield b"a"
        await go.wait()
        yield b"b"

    async with house(tmp_path, model=Upstream(stream)) as home:
        agents = [await home.agent(chat=str(chat)) for chat in range(4)]

        async def ask(agent: Agent) -> bytes:
            async with post(agent) as got:
                return bytes(await got.read())

        assert await asyncio.gather(*(ask(agent) for agent in agents * 12)) == [b"ab"] * 48
