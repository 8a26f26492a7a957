from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from klad.botapi.events import KEPT_BYTES, KEPT_EVENTS, QUEUE, READERS, READERS_PER_SESSION, Events
from tests.klad.botapi.serving import OWNER, Served, serving, streaming, until


async def post(here: Served, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    async with here.client.post(here.base + path, json=body) as response:
        return response.status, await response.json()


async def test_the_first_chat_is_the_owners_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        first = await here.get("/api/chats")
        assert [chat["id"] for chat in first["chats"]] == [OWNER]
        assert first["bot"]["first_name"] == "Klåd"
        assert first["owner"]["id"] == OWNER


async def test_a_new_chat_has_its_own_id_and_the_same_person_speaks(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        status, answer = await post(here, "/api/chats", {"title": "  Groceries\n"})
        assert (status, answer["chat"]["title"]) == (201, "Groceries")
        other = answer["chat"]["id"]
        assert (await post(here, "/api/chats", {}))[1]["chat"]["title"] == "Chat 3"
        await here.say("milk", chat=other)
        [update] = await here.call("getUpdates")
        assert update["message"]["chat"] == {"id": other, "type": "private", "first_name": "You"}
        assert update["message"]["from"]["id"] == OWNER
        await here.call("sendMessage", chat_id=other, text="noted")
        chats = (await here.get("/api/chats"))["chats"]
        assert [(c["id"], c["last"] and c["last"]["text"]) for c in chats][:2] == [(OWNER, None), (other, "noted")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": ""}, "message is empty"),
        ({"text": " \n "}, "message is empty"),
        ({}, "message is empty"),
        ({"text": "x" * 4097}, "has 4097 characters and the most is 4096"),
        ({"text": "𝕏" * 2049}, "has 4098 characters"),
        ({"text": "x", "reply_to": 99}, "is gone"),
        ({"text": 5}, "must be of type String"),
        (["x"], "must be a JSON object"),
        ({"text": "x", "reply_to": {}}, "must be an integer"),
    ],
)
async def test_what_can_not_be_sent_is_refused_in_words(tmp_path: Path, body: Any, words: str) -> None:
    async with serving(tmp_path) as here:
        status, answer = await post(here, f"/api/chats/{OWNER}/messages", body)
        assert status == 400
        assert words in answer["error"]
        assert await here.call("getUpdates") == []


@pytest.mark.parametrize("chat", ["99", "x", "-1", "9" * 40])
async def test_there_is_no_other_chat(tmp_path: Path, chat: str) -> None:
    async with serving(tmp_path) as here:
        assert (await post(here, f"/api/chats/{chat}/messages", {"text": "x"}))[0] == 404


async def test_a_message_that_is_sent_twice_with_one_nonce_is_one_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        first = await here.say("once", nonce="n1")
        assert await here.say("once", nonce="n1") == first
        assert len(await here.call("getUpdates")) == 1


async def test_a_reply_reaches_the_bot_with_what_it_replies_to(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        sent = await here.call("sendMessage", chat_id=OWNER, text="shall I?")
        await here.say("yes", reply_to=sent["message_id"])
        [update] = await here.call("getUpdates")
        assert update["message"]["reply_to_message"]["text"] == "shall I?"


async def test_earlier_messages_come_in_pages_oldest_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        ids = [(await here.say(f"m{n}"))["message_id"] for n in range(5)]
        page = await here.get(f"/api/chats/{OWNER}/messages?limit=2")
        assert ([m["text"] for m in page["messages"]], page["more"]) == (["m3", "m4"], True)
        page = await here.get(f"/api/chats/{OWNER}/messages?limit=3&before={ids[3]}")
        assert ([m["text"] for m in page["messages"]], page["more"]) == (["m0", "m1", "m2"], False)


async def test_all_that_happens_is_streamed_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, streaming(here) as stream:
        assert await stream.event() == ("hello", {"resumed": False})
        await here.say("go", nonce="n1")
        sent = await here.call("sendMessage", chat_id=OWNER, text="going")
        await here.call("sendChatAction", chat_id=OWNER, action="typing")
        place = {"chat_id": OWNER, "message_id": sent["message_id"]}
        await here.call("editMessageText", **place, text="gone")
        await here.call("deleteMessage", **place)
        await post(here, "/api/chats", {"title": "new"})
        seen = [await stream.event() for _ in range(6)]
        assert [kind for kind, _ in seen] == ["message", "message", "typing", "edit", "delete", "chat"]
        assert (seen[0][1]["message"]["text"], seen[0][1]["nonce"]) == ("go", "n1")
        assert seen[2][1] == {"chat": OWNER, "action": "typing"}
        assert seen[3][1]["message"]["text"] == "gone"
        assert seen[4][1] == {"chat": OWNER, "message_id": sent["message_id"]}


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        async with streaming(here) as stream:
            await stream.event()
            await here.say("seen")
            assert (await stream.event())[1]["message"]["text"] == "seen"
            last = stream.last_id
        await here.say("missed")
        await here.say("missed too")
        async with streaming(here, after=last) as stream:
            assert await stream.event() == ("hello", {"resumed": True})
            missed = [(await stream.event())[1]["message"]["text"] for _ in range(2)]
            assert missed == ["missed", "missed too"]
        path = f"/api/events?after={last}"
        async with here.client.get(here.base + path) as response:
            assert b'"resumed": true' in await response.content.readuntil(b"\n\n")


async def test_a_stream_that_was_seen_before_a_restart_begins_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, streaming(here) as stream:
        await stream.event()
        await here.say("hello")
        await stream.event()
        last = stream.last_id
    async with serving(tmp_path) as here, streaming(here, after=last) as stream:
        assert await stream.event() == ("hello", {"resumed": False})


@pytest.mark.parametrize("after", ["garbage", "-1", "x-" + "9" * 50, "²-²", "-"])
async def test_an_event_id_that_is_garbage_begins_anew(after: str) -> None:
    reader = Events().join(after)
    assert reader is not None
    assert not reader.resumed


async def test_what_is_kept_for_replay_is_bounded_and_a_gap_is_told() -> None:
    events = Events()
    first = events.last_id
    for n in range(KEPT_EVENTS + 1):
        events.publish("message", {"n": n})
    assert len(events._kept) == KEPT_EVENTS
    late = events.join(first)
    assert late is not None
    assert not late.resumed
    for _ in range(5):
        events.publish("message", {"text": "x" * (KEPT_BYTES // 4)})
    assert sum(len(frame) for _, frame in events._kept) == events._bytes <= KEPT_BYTES


async def test_a_reader_that_lags_is_cut_and_the_others_are_not() -> None:
    events = Events()
    slow, quick = events.join(""), events.join("")
    assert slow is not None
    assert quick is not None
    cut = []
    slow.cut = lambda: cut.append("slow")
    quick.cut = lambda: cut.append("quick")
    for n in range(QUEUE + 1):
        events.publish("message", {"n": n})
        assert f'"n": {n}}}'.encode() in (await quick.next(1) or b"")
    assert cut == ["slow"]
    assert events.readers == 1
    assert await slow.next(1) is None


async def test_a_reader_is_told_of_silence_and_of_too_many() -> None:
    events = Events()
    reader = events.join("")
    assert reader is not None
    assert await reader.next(0.01) == b": still here\n\n"
    for _ in range(READERS - 1):
        assert events.join("") is not None
    assert events.join("") is None
    events.leave(reader)
    assert events.join("") is not None


async def test_a_page_that_never_reads_its_stream_is_cut_while_others_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, streaming(here) as quick:
        await quick.event()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", here.port))
        [cookie] = [f"{c.key}={c.value}" for c in here.client.cookie_jar]
        deaf.sendall(f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\nCookie: {cookie}\r\n\r\n".encode())
        await until(lambda: here.api.events.readers == 2)
        for n in range(QUEUE * 3):
            here.api.events.publish("message", {"n": n, "text": "x" * 30_000})
            assert (await quick.event())[1]["n"] == n
        assert here.api.events.readers == 1
        deaf.setblocking(False)
        with contextlib.suppress(ConnectionResetError):
            while await asyncio.wait_for(asyncio.get_running_loop().sock_recv(deaf, 1 << 20), 3):
                pass  # what was under way; then the end, not a wait
        deaf.close()
        await here.say("still here")
        assert (await quick.event())[1]["message"]["text"] == "still here"


async def test_a_page_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        async with streaming(here) as stream:
            await stream.event()
            assert here.api.events.readers == 1
        for _ in range(3):  # the write that finds the connection closed
            here.api.events.publish("message", {})
            await asyncio.sleep(0.01)
        await until(lambda: here.api.events.readers == 0)


async def test_a_fifth_window_ends_the_oldest_ones_stream_which_may_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, contextlib.AsyncExitStack() as stack:
        streams = []
        for _ in range(READERS_PER_SESSION + 2):
            streams.append(await stack.enter_async_context(streaming(here)))
            assert (await streams[-1].event())[0] == "hello"
        assert here.api.events.readers == READERS_PER_SESSION == 4
        for ended in streams[:2]:
            assert await ended.event() == ("bye", {})
            with pytest.raises(ConnectionError):
                await ended.event()
        await here.say("to all that are left")
        for open_one in streams[2:]:
            assert (await open_one.event())[1]["message"]["text"] == "to all that are left"
        back = await stack.enter_async_context(streaming(here, after=streams[0].last_id))
        assert await back.event() == ("hello", {"resumed": True})
        assert (await back.event())[1]["message"]["text"] == "to all that are left"
        assert await streams[2].event() == ("bye", {})


async def test_the_windows_of_another_session_are_not_ended(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, streaming(here) as other:
        await other.event()
        here.client.cookie_jar.clear()
        await here.log_in()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(READERS_PER_SESSION + 1):
                await (await stack.enter_async_context(streaming(here))).event()
            assert here.api.events.readers == READERS_PER_SESSION + 1
            await here.say("still here")
            assert (await other.event())[0] == "message"


async def test_open_streams_do_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, streaming(here) as stream:
        await stream.event()
        await here.api.hush()
        with pytest.raises(ConnectionError):
            await stream.event()
