from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from telegram import Bot, Message, MessageEntity, ReplyParameters, Update
from telegram.error import BadRequest, Conflict, InvalidToken, NetworkError, RetryAfter
from telegram.ext import ApplicationBuilder, CommandHandler, ContextTypes, MessageHandler, filters

from klad.botapi import ApiError, Fault
from klad.botapi.polls import Polls
from tests.klad.botapi.serving import OWNER, TOKEN, Clock, Served, serving, until


def waiting(here: Served) -> bool:
    return bool(here.api._polls.waiting)


async def test_a_long_poll_wakes_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        poll = asyncio.create_task(here.call("getUpdates", timeout=30))
        await until(lambda: waiting(here))
        begun = time.monotonic()
        await here.say("hello")
        [update] = await poll
        assert time.monotonic() - begun < 1
        assert update["message"]["text"] == "hello"
        assert update["message"]["from"]["id"] == update["message"]["chat"]["id"] == OWNER


async def test_a_long_poll_without_news_ends_empty_after_its_timeout(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        assert await here.call("getUpdates", timeout=1) == []


async def test_an_update_is_served_until_its_offset_acknowledges_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await here.say("one")
        await here.say("two")
        first, second = await here.call("getUpdates")
        assert await here.call("getUpdates") == [first, second]
        assert await here.call("getUpdates", offset=second["update_id"]) == [second]
        assert await here.call("getUpdates", offset=second["update_id"] + 1) == []
        assert (await here.call("getWebhookInfo"))["pending_update_count"] == 0


async def test_a_limit_gives_the_oldest(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        for word in ("one", "two", "three"):
            await here.say(word)
        assert [u["message"]["text"] for u in await here.call("getUpdates", limit=2)] == ["one", "two"]


async def test_a_negative_offset_forgets_all_but_the_last(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        for word in ("one", "two", "three"):
            await here.say(word)
        assert [u["message"]["text"] for u in await here.call("getUpdates", offset=-1)] == ["three"]
        assert (await here.call("getWebhookInfo"))["pending_update_count"] == 1


async def test_update_ids_rise_over_restarts_and_are_never_given_twice(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        async with serving(tmp_path) as here:
            await here.say("hello")
            [update] = await here.call("getUpdates")
            seen.append(update["update_id"])
            await here.call("getUpdates", offset=update["update_id"] + 1)
    assert seen == [seen[0], seen[0] + 1, seen[0] + 2]


async def test_a_store_made_anew_begins_above_the_update_ids_of_the_old_one(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(tmp_path, clock) as here:
        await here.say("hello")
        [old] = await here.call("getUpdates")
    for file in tmp_path.glob("botapi.db*"):
        file.unlink()
    clock.now += 60
    async with serving(tmp_path, clock) as here:
        await here.say("hello again")
        [new] = await here.call("getUpdates")
        assert new["update_id"] > old["update_id"]


async def test_unacknowledged_updates_and_messages_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        asked = await here.say("are you there?")
        await here.call("sendMessage", chat_id=OWNER, text="yes")
    async with serving(tmp_path) as here:
        [update] = await here.call("getUpdates")
        assert update["message"] == asked
        shown = await here.get(f"/api/chats/{OWNER}/messages")
        assert [m["text"] for m in shown["messages"]] == ["are you there?", "yes"]


async def test_a_newer_poller_terminates_the_older_with_409(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        older = asyncio.create_task(here.raw("getUpdates", timeout=30))
        await until(lambda: waiting(here))
        newer = asyncio.create_task(here.call("getUpdates", timeout=30))
        status, answer = await older
        assert status == 409
        assert answer["description"] == (
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
        )
        await here.say("hello")
        assert [u["message"]["text"] for u in await newer] == ["hello"]


async def test_the_end_of_an_old_poll_leaves_the_newer_one_waiting() -> None:
    polls = Polls()
    with polls.enter() as older:
        newer = polls.enter()
        poll = newer.__enter__()
    assert older.terminated
    polls.wake()
    assert poll.changed.is_set()
    newer.__exit__(None, None, None)
    assert not polls.waiting


async def test_a_poll_that_waits_does_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        poll = asyncio.create_task(here.call("getUpdates", timeout=50))
        await until(lambda: waiting(here))
        begun = time.monotonic()
        await here.api.hush()
        assert await poll == []
        assert await here.call("getUpdates", timeout=50) == []
        assert time.monotonic() - begun < 1


async def test_updates_of_a_kind_that_is_not_allowed_are_not_made(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await here.call("getUpdates", allowed_updates=["callback_query"])
        await here.say("unheard")
        assert await here.call("getUpdates") == []
        await here.call("getUpdates", allowed_updates=[])
        await here.say("heard")
        assert [u["message"]["text"] for u in await here.call("getUpdates")] == ["heard"]


async def test_delete_webhook_can_drop_what_is_pending(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await here.say("old")
        assert await here.call("deleteWebhook", drop_pending_updates=False) is True
        assert len(await here.call("getUpdates")) == 1
        assert await here.call("deleteWebhook", drop_pending_updates=True) is True
        assert await here.call("getUpdates") == []


async def test_python_telegram_bot_runs_on_it_unmodified(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def on_help(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
            assert update.effective_message is not None
            await update.effective_message.reply_html("<b>Help</b> is near")
            await heard.put("help")

        async def on_text(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
            assert update.effective_message is not None
            await update.effective_message.reply_text("yes", do_quote=True)
            await heard.put(update.effective_message.text or "")

        application = ApplicationBuilder().token(TOKEN).base_url(f"{here.base}/bot").build()
        application.add_handler(CommandHandler("help", on_help))
        application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, on_text))
        async with application:
            await application.start()
            assert application.updater is not None
            await application.updater.start_polling()
            await here.say("/help me")
            assert await heard.get() == "help"
            question = await here.say("are you there?")
            assert await heard.get() == "are you there?"
            await application.updater.stop()
            await application.stop()
        shown = (await here.get(f"/api/chats/{OWNER}/messages"))["messages"]
        assert shown[1]["entities"] == [{"type": "bold", "offset": 0, "length": 4}]
        assert shown[3]["reply_to_message"]["message_id"] == question["message_id"]
        assert await here.call("getUpdates") == []


async def test_every_method_has_the_shape_that_python_telegram_bot_expects(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, Bot(TOKEN, base_url=f"{here.base}/bot") as bot:
        assert (bot.id, bot.first_name, bot.username) == (777, "Klåd", "klad_bot")
        bold = [MessageEntity("bold", 0, 2)]
        sent = await bot.send_message(OWNER, "hi there", entities=bold, message_thread_id=5)
        assert (sent.text, sent.entities, sent.message_thread_id) == ("hi there", tuple(bold), 5)
        quote = await bot.send_message(OWNER, "yes", reply_parameters=ReplyParameters(sent.message_id))
        assert quote.reply_to_message is not None
        assert quote.reply_to_message.message_id == sent.message_id
        edited = await bot.edit_message_text("ho there", OWNER, sent.message_id)
        assert isinstance(edited, Message)
        assert edited.text == "ho there"
        assert edited.edit_date is not None
        assert await bot.send_chat_action(OWNER, "typing")
        assert await bot.set_my_commands([("help", "What I can do")])
        assert [c.command for c in await bot.get_my_commands()] == ["help"]
        assert (await bot.get_webhook_info()).url == ""
        assert await bot.delete_message(OWNER, sent.message_id)


async def test_errors_are_the_exceptions_that_python_telegram_bot_expects(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(tmp_path, clock) as here, Bot(TOKEN, base_url=f"{here.base}/bot") as bot:
        sent = await bot.send_message(OWNER, "once")
        with pytest.raises(BadRequest, match="Message is not modified"):
            await bot.edit_message_text("once", OWNER, sent.message_id)
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message(4711, "hello")
        here.api.flood.limit = (1, 20.0)
        await bot.send_message(OWNER, "fast")
        with pytest.raises(RetryAfter, match="Retry in 20 seconds"):
            await bot.send_message(OWNER, "too fast")
        here.api.faults.add(Fault("sendMessage", cut=True))
        clock.now += 20
        with pytest.raises(NetworkError):
            await bot.send_message(OWNER, "cut off after it was handled")
        shown = (await here.get(f"/api/chats/{OWNER}/messages"))["messages"]
        assert shown[-1]["text"] == "cut off after it was handled"
        with pytest.raises(InvalidToken):
            await Bot("777:wrong", base_url=f"{here.base}/bot").get_me()


async def test_the_older_of_two_updaters_is_told_of_the_conflict(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, Bot(TOKEN, base_url=f"{here.base}/bot") as bot:
        older = asyncio.create_task(bot.get_updates(timeout=20))
        await until(lambda: waiting(here))
        await here.call("getUpdates")
        with pytest.raises(Conflict):
            await older


async def test_faults_befall_what_they_are_ordered_for_and_are_used_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        error = ApiError(502, "Bad Gateway")
        here.api.faults.add(Fault(lambda _, p: p.text("text") == "unlucky", error=error, times=2))
        assert (await here.raw("sendMessage", chat_id=OWNER, text="lucky"))[0] == 200
        assert (await here.raw("sendMessage", chat_id=OWNER, text="unlucky"))[0] == 502
        assert (await here.raw("sendMessage", chat_id=OWNER, text="unlucky"))[0] == 502
        assert (await here.raw("sendMessage", chat_id=OWNER, text="unlucky"))[0] == 200
        here.api.faults.add(Fault("getMe", delay=0.2))
        begun = time.monotonic()
        await here.call("getMe")
        assert time.monotonic() - begun >= 0.2
