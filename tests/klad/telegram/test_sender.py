"""The outbox, from a real ledger through the real python-telegram-bot to a server that fails on request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from klad.telegram import MARK
from tests.klad.telegram.fake_api import Fault
from tests.klad.telegram.sender_world import world
from tests.klad.telegram.tools import RushClock, StillClock, run


def test_what_waits_at_the_start_is_sent_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            await w.send(*[("7", f"m{n}") for n in range(5)], ("8", "other"))
            assert w.api.texts(7) == ["m0", "m1", "m2", "m3", "m4"]
            assert w.api.texts(8) == ["other"]
            assert set(w.states()) == {"sent"}

    run(test())


def test_waking_a_chat_sends_what_came_since(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w, w.sender() as sender:
            await sender.drained()
            w.ledger.add("7", "new").result()
            await asyncio.to_thread(sender.wake, "7")
            await w.api.until(lambda: w.api.texts() == ["new"])

    run(test())


def test_nudges_without_number_send_nothing_twice(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w, w.sender() as sender:
            for number in range(30):
                w.ledger.add("7", f"m{number}")
                sender.wake("7")
                await asyncio.sleep(0)
            await w.api.until(lambda: len(w.api.sent) == 30)
            await sender.drained()
            assert w.api.texts() == [f"m{number}" for number in range(30)]

    run(test())


def test_markdown_reply_topic_and_preview_reach_telegram(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("-100:9", "**hi** https://a.b", 55).result()
            await w.send()
            [message] = w.api.sent
            params = message["params"]
            assert (params["chat_id"], params["message_thread_id"], params["text"]) == (-100, 9, "hi https://a.b")
            assert params["entities"] == [{"type": "bold", "offset": 0, "length": 2}]
            assert params["reply_parameters"] == {"message_id": 55, "allow_sending_without_reply": True}
            assert params["link_preview_options"] == {"is_disabled": True}

    run(test())


def test_a_long_text_goes_in_parts_and_only_the_first_is_a_reply(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("7", "🎉 word " * 2000, 55).result()
            await w.send()
            assert len(w.api.sent) == 4
            assert "".join("".join(w.api.texts()).split()) == "🎉word" * 2000
            assert ["reply_parameters" in message["params"] for message in w.api.sent] == [True, False, False, False]
            assert w.states() == ["sent"]

    run(test())


def test_a_text_that_is_blank_is_done_without_a_message(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            await w.send(("7", " \n"), ("7", "next"))
            assert (w.api.texts(), w.states()) == (["next"], ["sent", "sent"])

    run(test())


def test_one_chats_429_holds_that_chat_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            flood = Fault(429, "Too Many Requests", {"retry_after": 60})
            w.api.fail("sendMessage", flood, when=lambda params: params["chat_id"] == 7)
            for text in ("one", "two"):
                w.ledger.add("7", text).result()
                w.ledger.add("8", text).result()
            async with w.sender(clock=clock) as sender:
                await w.api.until(lambda: w.api.texts(8) == ["one", "two"])
                await clock.until_asleep(1)
                await clock.advance(59)
                assert w.api.texts(7) == []
                await clock.advance(1)
                await w.api.until(lambda: w.api.texts(7) == ["one", "two"])
                await sender.drained()
            assert set(w.states()) == {"sent"}

    run(test())


def test_one_topics_429_holds_the_other_topics_of_its_group_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            w.api.fail("sendMessage", Fault(429, "Too Many Requests", {"retry_after": 60}))
            w.ledger.add("-100:1", "one").result()
            async with w.sender(clock=clock) as sender:
                await clock.until_asleep(1)
                w.ledger.add("-100:2", "two").result()
                sender.wake("-100:2")
                await clock.until_asleep(2)
                await clock.advance(59)
                assert w.api.count("sendMessage") == 1
                await clock.advance(1)
                await w.api.until(lambda: len(w.api.sent) == 2)
                await sender.drained()

    run(test())


def test_a_chat_never_has_two_requests_in_flight_and_chats_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            for chat in ("7", "8", "9"):
                w.ledger.add(chat, "first").result()
                w.ledger.add(chat, "second").result()
            w.api.fail("sendMessage", Fault(hang=True), when=lambda params: params["chat_id"] == 7)
            async with w.sender():
                await w.api.until(lambda: len(w.api.sent) == 4)
                assert [call.params["text"] for call in w.api.calls if call.params["chat_id"] == 7] == ["first"]

    run(test())


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(500, "Internal Server Error"), "hi"),
        (Fault(429, "Too Many Requests", {"retry_after": 3}), "hi"),
        (Fault(429, "Too Many Requests"), "hi"),
        (Fault(401, "Unauthorized"), "hi"),
        (Fault(cut=True), f"{MARK}hi"),
        (Fault(502, "Bad Gateway"), f"{MARK}hi"),
        (Fault(200, body=b"<html>"), f"{MARK}hi"),
    ],
)
def test_a_passing_failure_is_tried_again_until_it_is_there(tmp_path: Path, fault: Fault, text: str) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = RushClock()
            w.api.fail("sendMessage", fault, times=5)
            await w.send(("7", "hi"), ("7", "next"), clock=clock)
            assert w.api.texts() == [text, "next"]
            assert w.states() == ["sent", "sent"]
            assert w.api.count("sendMessage") == 7
            assert sum(clock.waits) > 5

    run(test())


def test_a_send_that_timed_out_may_have_arrived_and_is_marked(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("sendMessage", Fault(hang=True, delivered=True))
            await w.send(("7", "**hi** you"), read_timeout=0.2)
            assert w.api.texts() == ["hi you", f"{MARK}hi you"]
            [_, repeat] = w.api.sent
            assert repeat["params"]["entities"] == [{"type": "bold", "offset": len(MARK), "length": 2}]
            assert w.states() == ["sent"]

    run(test())


def test_a_server_that_cannot_be_reached_is_waited_for_and_nothing_is_marked(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            port = int(w.api.url.rpartition(":")[2])
            await w.api.stop()
            clock = StillClock()
            w.ledger.add("7", "hi").result()
            async with w.sender(clock=clock) as sender:
                await clock.until_asleep(1)
                await w.api.start(port)
                await clock.advance(1)
                await sender.drained()
            assert w.api.texts() == ["hi"]

    run(test())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(400, "Bad Request: chat not found"), "Chat not found"),
        (Fault(403, "Forbidden: bot was blocked by the user"), "Forbidden: bot was blocked by the user"),
        (
            Fault(400, "Bad Request: group chat was upgraded", {"migrate_to_chat_id": -1009}),
            "the group became a supergroup, -1009",
        ),
    ],
)
def test_what_will_never_go_is_given_up_and_the_next_goes(tmp_path: Path, fault: Fault, reason: str) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("sendMessage", fault)
            await w.send(("7", "bad"), ("7", "good"))
            assert w.api.texts() == ["good"]
            assert w.states() == ["failed", "sent"]
            assert w.failed == [("7", reason)]
            assert w.ledger.rows().result()[0][3] == reason
            assert w.api.count("sendMessage") == 2, "a BadRequest is a NetworkError, and must not be tried again"

    run(test())


def test_refused_entities_go_once_more_as_plain_text(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail(
                "sendMessage",
                Fault(400, "Bad Request: can't parse entities: x"),
                when=lambda params: "entities" in params,
                times=9,
            )
            await w.send(("7", "**hi**"))
            assert w.api.texts() == ["hi"]
            assert (w.api.count("sendMessage"), w.states()) == (2, ["sent"])

    run(test())


def test_a_reply_whose_target_is_gone_goes_without_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail(
                "sendMessage",
                Fault(400, "Bad Request: message to be replied not found"),
                when=lambda params: "reply_parameters" in params,
            )
            w.ledger.add("7", "hi", 55).result()
            await w.send()
            assert (w.api.texts(), w.states()) == (["hi"], ["sent"])

    run(test())


def test_an_answer_that_makes_no_sense_is_not_repeated_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("sendMessage", Fault(200, body=b"{}"), times=99)
            await w.send(("7", "hi"))
            assert (w.api.count("sendMessage"), w.states()) == (3, ["failed"])

    with caplog.at_level("CRITICAL"):
        run(test())


def test_a_chat_that_is_no_chat_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            await w.send(("nobody", "hi"))
            assert (w.api.calls, w.states()) == ([], ["failed"])

    run(test())
