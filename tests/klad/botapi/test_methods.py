from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from klad.botapi.params import BODY_LIMIT
from tests.klad.botapi.serving import OWNER, TOKEN, Clock, serving

LONE_SURROGATE = b'{"chat_id": 1, "text": "\\ud800"}'


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": " \n\t "}, "message text is empty"),
        ({}, "message text is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "𝕏" * 2049}, "message is too long"),
        ({"text": "x", "chat_id": 99}, "chat not found"),
        ({"text": "x", "chat_id": "@nobody"}, "chat not found"),
        ({"text": "x", "chat_id": 10**30}, "chat not found"),
        ({"text": "x", "chat_id": ""}, "chat_id is empty"),
        ({"text": "x", "reply_to_message_id": 5}, "message to be replied not found"),
        ({"text": "x", "reply_parameters": {"message_id": 5}}, "message to be replied not found"),
        ({"text": "x", "parse_mode": "BBCode"}, "unsupported parse_mode"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities"),
        ({"text": "a.b", "parse_mode": "MarkdownV2"}, "can't parse entities"),
        ({"text": "x", "entities": "["}, "can't parse entities JSON object"),
        ({"text": "x", "entities": {}}, "must be of type Array"),
        ({"text": "x", "entities": ["bold"]}, "can't parse MessageEntity"),
        ({"text": "x", "entities": [{"type": "bold", "offset": 0, "length": 2}]}, "ends after the end"),
        ({"text": "x", "entities": [{"type": "bold", "offset": -1, "length": 1}]}, "incorrect offset -1"),
        ({"text": ["x"]}, "must be of type String"),
        ({"text": "x", "message_thread_id": "five"}, "must be an integer"),
        ({"text": "x", "reply_markup": "[" * 100_000}, "can't parse reply_markup"),
    ],
)
async def test_a_bad_message_is_a_bad_request(tmp_path: Path, params: dict[str, Any], words: str) -> None:
    async with serving(tmp_path) as here:
        description = await here.refusal("sendMessage", **{"chat_id": OWNER, **params})
        assert description.startswith("Bad Request: ")
        assert words in description
        assert (await here.get(f"/api/chats/{OWNER}/messages"))["messages"] == []


async def test_the_longest_message_is_counted_in_utf16_units(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await here.call("sendMessage", chat_id=OWNER, text="𝕏" * 2048)
        await here.call("sendMessage", chat_id=OWNER, text="ä" * 4096)


async def test_a_reply_whose_target_is_gone_may_be_sent_without_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        gone = {"message_id": 5, "allow_sending_without_reply": True}
        sent = await here.call("sendMessage", chat_id=OWNER, text="x", reply_parameters=gone)
        assert "reply_to_message" not in sent


async def test_an_edit_must_change_something_of_an_own_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        sent = await here.call("sendMessage", chat_id=OWNER, text="one")
        theirs = await here.say("two")
        place = {"chat_id": OWNER, "message_id": sent["message_id"]}
        assert "message is not modified" in await here.refusal("editMessageText", **place, text="one ")
        bold = [{"type": "bold", "offset": 0, "length": 3}]
        edited = await here.call("editMessageText", **place, text="one", entities=bold)
        assert edited["entities"] == bold
        place["message_id"] = theirs["message_id"]
        assert "message can't be edited" in await here.refusal("editMessageText", **place, text="x")
        place["message_id"] = 99
        assert "message to edit not found" in await here.refusal("editMessageText", **place, text="x")


async def test_a_deleted_message_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        sent = await here.call("sendMessage", chat_id=OWNER, text="one")
        place = {"chat_id": OWNER, "message_id": sent["message_id"]}
        assert await here.call("deleteMessage", **place) is True
        assert "message to delete not found" in await here.refusal("deleteMessage", **place)
        assert (await here.get(f"/api/chats/{OWNER}/messages"))["messages"] == []


async def test_only_known_actions_are_shown(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        assert await here.call("sendChatAction", chat_id=OWNER, action="typing") is True
        assert "wrong parameter action" in await here.refusal("sendChatAction", chat_id=OWNER, action="x")


async def test_commands_are_kept_by_scope_over_a_restart(tmp_path: Path) -> None:
    group = {"type": "all_group_chats"}
    async with serving(tmp_path) as here:
        await here.call("setMyCommands", commands=[{"command": "stop", "description": "Stop the work"}])
        await here.call("setMyCommands", commands=[], scope=group)
        bad = [{"command": "No Spaces", "description": "x"}]
        assert "BOT_COMMAND_INVALID" in await here.refusal("setMyCommands", commands=bad)
    async with serving(tmp_path) as here:
        assert await here.call("getMyCommands") == [{"command": "stop", "description": "Stop the work"}]
        assert await here.call("getMyCommands", scope=group) == []
        assert (await here.get("/api/chats"))["commands"][0]["command"] == "stop"


async def test_the_flood_limit_is_a_chats_own_and_says_how_long(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(tmp_path, clock) as here:
        async with here.client.post(f"{here.base}/api/chats", json={"title": "other"}) as response:
            other = (await response.json())["chat"]["id"]
        here.api.flood.limit = (2, 10.0)
        await here.call("sendMessage", chat_id=OWNER, text="1")
        clock.now += 3
        await here.call("sendMessage", chat_id=OWNER, text="2")
        status, answer = await here.raw("sendMessage", chat_id=OWNER, text="3")
        assert (status, answer["parameters"]) == (429, {"retry_after": 7})
        assert answer["description"] == "Too Many Requests: retry after 7"
        await here.call("sendMessage", chat_id=other, text="another chat")
        clock.now += 7
        await here.call("sendMessage", chat_id=OWNER, text="3")


async def test_tokens_and_methods_that_are_wrong_are_told_apart(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        for path, status, description in [
            (f"/bot{TOKEN}/fly", 404, "Not Found"),
            (f"/bot{TOKEN}", 404, "Not Found"),
            ("/botgarbage/getMe", 404, "Not Found"),
            ("/bot/getMe", 404, "Not Found"),
            ("/bot777:wrong/getMe", 401, "Unauthorized"),
            ("/bot778:correct-horse/getMe", 401, "Unauthorized"),
        ]:
            async with here.client.get(here.base + path) as response:
                assert response.status == status
                assert await response.json() == {
                    "ok": False,
                    "error_code": status,
                    "description": description,
                }


async def test_parameters_may_stand_in_query_json_form_and_multipart(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        url = f"{here.base}/bot{TOKEN}/SENDMESSAGE"
        params = {"chat_id": str(OWNER), "text": "hällo & so", "entities": '[{"type":"bold","offset":0,"length":5}]'}
        multipart = aiohttp.FormData(params, default_to_multipart=True)
        for verb, options in [
            ("GET", {"params": params}),
            ("POST", {"params": params}),
            ("POST", {"json": params}),
            ("POST", {"data": params}),
            ("POST", {"data": multipart}),
        ]:
            async with here.client.request(verb, url, **options) as response:
                answer = await response.json()
                assert response.status == 200, answer
                assert answer["result"]["text"] == params["text"]
                assert answer["result"]["entities"] == json.loads(params["entities"])


MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", LONE_SURROGATE, 400),
        ("application/json", b'{"chat_id": 1e400, "text": "x"}', 400),
        ("application/x-www-form-urlencoded", b"chat_id=1&text=%ff", 400),
        ("application/x-www-form-urlencoded", b"&a=1" * 1000, 400),
        (MULTIPART, b"garbage", 400),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data; name=text\r\n\r\nhello", 400),
        (MULTIPART, b"--x\r\n\r\nnameless\r\n--x--\r\n", 400),
        ("multipart/form-data", b"no boundary", 400),
        ("text/plain", b"hello", 400),
        ("application/json", b" " * (BODY_LIMIT + 1), 413),
        (MULTIPART, PART + b"a" * BODY_LIMIT + b"\r\n--x--\r\n", 413),
    ],
)  # fmt: skip
async def test_a_broken_or_oversized_body_is_refused_in_the_real_shape(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, body: bytes, status: int
) -> None:
    async with serving(tmp_path) as here:
        url = f"{here.base}/bot{TOKEN}/sendMessage"
        with caplog.at_level(logging.ERROR):
            async with here.client.post(url, data=body, headers={"Content-Type": kind}) as response:
                answer = await response.json()
                assert (response.status, answer["error_code"], answer["ok"]) == (status, status, False)
        assert caplog.records == []
        assert (await here.call("getMe"))["is_bot"]


@pytest.mark.parametrize("kind", ["application/json", MULTIPART])
async def test_a_body_of_unknown_length_is_read_up_to_the_limit(tmp_path: Path, kind: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield PART if kind == MULTIPART else b'{"text":"'
        for _ in range(BODY_LIMIT // 1024 + 1):
            yield b"a" * 1024

    async with serving(tmp_path) as here:
        url = f"{here.base}/bot{TOKEN}/sendMessage"
        async with here.client.post(url, data=endless(), headers={"Content-Type": kind}) as response:
            assert response.status == 413


async def test_a_body_that_grows_when_unpacked_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        url = f"{here.base}/bot{TOKEN}/sendMessage"
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        async with here.client.post(url, data=gzip.compress(b" " * 50_000_000), headers=headers) as response:
            assert response.status in (400, 413)


async def test_a_body_that_breaks_off_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        head = f"POST /bot{TOKEN}/sendMessage HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await here.call("getMe"))["is_bot"]
        del reader
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_store_that_fails_is_a_500_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as here:
        await here.call("getMe")
        store = here.api._store
        monkeypatch.setattr(store._tables.Message, "insert", lambda *_, **__: 1 / 0)
        assert await here.raw("sendMessage", chat_id=OWNER, text="x") == (
            500,
            {"ok": False, "error_code": 500, "description": "Internal Server Error"},
        )
        await store.close()
        assert (await here.raw("sendMessage", chat_id=OWNER, text="x"))[0] == 500
