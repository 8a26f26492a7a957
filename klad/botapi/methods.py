"""The Bot API's methods that this server has, by their documentation; each takes Params and returns a result."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from klad.botapi.errors import bad_request, conflict, not_found, too_many_requests
from klad.botapi.events import Events
from klad.botapi.flood import Flood
from klad.botapi.markup import parsed
from klad.botapi.params import Params, whole
from klad.botapi.polls import Polls
from klad.botapi.shapes import People
from klad.botapi.store import BotApiStore, StoredMessage
from klad.botapi.text import TEXT_LIMIT, Entity, checked, trimmed, units, with_found

LONGEST_POLL = 50
"""Seconds; a longer timeout is shortened to it, as by the real server."""

ACTIONS = frozenset(
    [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ]
)

_COMMAND = re.compile(r"/?[a-z0-9_]{1,32}\Z")


class Methods:
    def __init__(
        self,
        store: BotApiStore,
        people: People,
        events: Events,
        polls: Polls,
        flood: Flood,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._people = people
        self._events = events
        self._polls = polls
        self._flood = flood
        self._clock = clock
        # Method names are case-insensitive ("Making requests").
        self._by_name: dict[str, Callable[[Params], Awaitable[Any]]] = {
            "getme": self.get_me,
            "getupdates": self.get_updates,
            "sendmessage": self.send_message,
            "editmessagetext": self.edit_message_text,
            "deletemessage": self.delete_message,
            "sendchataction": self.send_chat_action,
            "setmycommands": self.set_my_commands,
            "getmycommands": self.get_my_commands,
            "deletemycommands": self.delete_my_commands,
            "deletewebhook": self.delete_webhook,
            "getwebhookinfo": self.get_webhook_info,
        }

    async def call(self, method: str, params: Params) -> Any:
        """The `result`. Raises ApiError, StoreError."""
        known = self._by_name.get(method.lower())
        if known is None:
            raise not_found()
        return await known(params)

    # -- getting updates

    async def get_me(self, _: Params) -> dict[str, Any]:
        return self._people.me()

    async def get_updates(self, params: Params) -> list[dict[str, Any]]:
        offset = params.integer("offset")
        limit = min(max(params.integer("limit", 100), 1), 100)
        timeout = min(max(params.integer("timeout"), 0), LONGEST_POLL)
        allowed = params.structure("allowed_updates", list)
        until = asyncio.get_running_loop().time() + timeout
        with self._polls.enter() as poll:
            if allowed is not None:
                await self._store.put("allowed_updates", [kind for kind in allowed if isinstance(kind, str)])
            if offset:
                await self._store.acknowledge(offset)
            while True:
                poll.changed.clear()
                updates = await self._store.updates(limit)
                if poll.terminated:
                    raise conflict()
                left = until - asyncio.get_running_loop().time()
                if updates or poll.closed or left <= 0:
                    return updates
                try:
                    await asyncio.wait_for(poll.changed.wait(), left)
                except TimeoutError:
                    continue

    async def delete_webhook(self, params: Params) -> bool:
        if params.boolean("drop_pending_updates"):
            await self._store.forget_updates()
        return True

    async def get_webhook_info(self, _: Params) -> dict[str, Any]:
        return {
            "url": "",
            "has_custom_certificate": False,
            "pending_update_count": await self._store.pending(),
        }

    # -- messages

    async def send_message(self, params: Params) -> dict[str, Any]:
        chat = await self._chat(params)
        text, entities = formatted(params)
        markup = inline_keyboard(params)
        reply_to = await self._reply_target(params, chat)
        thread = params.integer("message_thread_id") or None
        self._respect_flood_limit(chat)
        message, _ = await self._store.add(
            StoredMessage(
                chat=chat,
                by_bot=True,
                date=int(self._clock()),
                text=text,
                entities=tuple(entities),
                markup=markup,
                thread=thread,
                reply_to=reply_to,
            )
        )
        shown = self._people.message(message)
        self._events.publish("message", {"message": shown})
        return shown

    async def edit_message_text(self, params: Params) -> dict[str, Any]:
        chat = await self._chat(params)
        old = await self._store.message(chat, params.integer("message_id"))
        text, entities = formatted(params)
        markup = inline_keyboard(params)
        if old is None:
            raise bad_request("message to edit not found")
        if not old.by_bot:
            raise bad_request("message can't be edited")
        new = replace(old, text=text, entities=tuple(entities), markup=markup)
        if new == old:
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message"
            )
        self._respect_flood_limit(chat)
        new = replace(new, edited=int(self._clock()))
        await self._store.replace_message(new)
        shown = self._people.message(new)
        self._events.publish("edit", {"message": shown})
        return shown

    async def delete_message(self, params: Params) -> bool:
        chat = await self._chat(params)
        message = params.integer("message_id")
        if not await self._store.delete_message(chat, message):
            raise bad_request("message to delete not found")
        self._events.publish("delete", {"chat": chat, "message_id": message})
        return True

    async def send_chat_action(self, params: Params) -> bool:
        chat = await self._chat(params)
        action = params.text("action")
        if action not in ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._events.publish("typing", {"chat": chat, "action": action}, lasting=False)
        return True

    async def _chat(self, params: Params) -> int:
        if "chat_id" not in params:
            raise bad_request("chat_id is empty")
        chat = whole(params.raw("chat_id"))
        if chat is None or await self._store.chat(chat) is None:
            raise bad_request("chat not found")
        return chat

    async def _reply_target(self, params: Params, chat: int) -> StoredMessage | None:
        """`reply_parameters`, or its predecessor `reply_to_message_id`, which clients still send."""
        given = Params(params.structure("reply_parameters", dict) or {})
        if "message_id" in given:
            wanted, lenient = given.integer("message_id"), given.boolean("allow_sending_without_reply")
            if "chat_id" in given and whole(given.raw("chat_id")) != chat:
                raise bad_request("message to be replied not found")
        else:
            wanted = params.integer("reply_to_message_id")
            lenient = params.boolean("allow_sending_without_reply")
        if wanted == 0:
            return None
        target = await self._store.message(chat, wanted)
        if target is None and not lenient:
            raise bad_request("message to be replied not found")
        return target and replace(target, reply_to=None)

    def _respect_flood_limit(self, chat: int) -> None:
        wait = self._flood.retry_after(chat)
        if wait:
            raise too_many_requests(wait)

    # -- commands

    async def set_my_commands(self, params: Params) -> bool:
        commands = params.structure("commands", list)
        if commands is None:
            raise bad_request('can\'t find field "commands"')
        if len(commands) > 100:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        kept = []
        for command in commands:
            fields = Params(command if isinstance(command, dict) else {})
            name, words = fields.text("command"), fields.text("description")
            if not _COMMAND.match(name):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(words) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
            kept.append({"command": name.removeprefix("/"), "description": words})
        await self._store.put(_commands_key(params), kept)
        if _commands_key(params) == DEFAULT_COMMANDS:
            self._events.publish("commands", {"commands": kept})
        return True

    async def get_my_commands(self, params: Params) -> list[dict[str, str]]:
        commands: list[dict[str, str]] | None = await self._store.get(_commands_key(params))
        return commands or []

    async def delete_my_commands(self, params: Params) -> bool:
        await self._store.put(_commands_key(params), [])
        return True


DEFAULT_COMMANDS = 'commands {"type": "default"} '
"""The setting under which commands for everybody are kept; the page shows these."""


def _commands_key(params: Params) -> str:
    scope = params.structure("scope", dict) or {"type": "default"}
    return f"commands {json.dumps(scope, sort_keys=True)[:200]} {params.text('language_code')[:8]}"


def formatted(params: Params) -> tuple[str, list[Entity]]:
    """`text` with `parse_mode` or `entities`, as it is kept. Raises ApiError 400."""
    text = params.text("text")
    if len(text) > 16 * TEXT_LIMIT:
        raise bad_request("message is too long")
    mode = params.text("parse_mode")
    if mode and mode.lower() != "none":
        text, entities = parsed(text, mode)
    else:
        entities = checked(params.structure("entities", list) or [], text)
    text, entities = trimmed(text, entities)
    if not text:
        raise bad_request("message text is empty")
    if units(text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return text, with_found(text, entities)


def inline_keyboard(params: Params) -> dict[str, Any] | None:
    """Only an inline keyboard belongs to a message; other markup is accepted and has no effect here."""
    markup = params.structure("reply_markup", dict)
    if not markup or not markup.get("inline_keyboard"):
        return None
    return {"inline_keyboard": markup["inline_keyboard"]}
