from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad.telegram.intake import Incoming, chat_of, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_FIELDS = """
    update_id message edited_message chat id from text caption entities caption_entities offset length type user
    date edit_date reply_to_message quote message_id message_thread_id is_topic_message title first_name photo
"""
FIELDS = _FIELDS.split()
TELEGRAMLIKE = st.recursive(
    JSON | st.sampled_from(["private", "mention", "bot_command", "text_mention", "@klad_bot"]) | st.just(True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=25,
)


def private(**message: Any) -> dict[str, Any]:
    chat = {"id": 7, "type": "private", "first_name": "Ada", "last_name": "L"}
    sender = {"id": 7, "first_name": "Ada", "last_name": "L"}
    return {"update_id": 5, "message": {"message_id": 3, "date": 99, "chat": chat, "from": sender, **message}}


def group(**message: Any) -> dict[str, Any]:
    return private(chat={"id": -100, "type": "supergroup", "title": "Team"}, **message)


def reading(raw: dict[str, Any]) -> Incoming:
    incoming = read(raw, 42, "Klad_bot")
    assert incoming is not None
    return incoming


def test_a_private_message_is_read_whole() -> None:
    assert reading(private(text="hello")) == Incoming(
        5, "7", "private", "Ada L", 7, "Ada L", "hello", 3, 99.0, None, "", False, False, "text"
    )


def test_a_forum_topic_is_a_chat_of_its_own() -> None:
    assert reading(group(text="x", message_thread_id=7, is_topic_message=True)).chat == "-100:7"


def test_a_thread_of_replies_is_no_topic() -> None:
    assert reading(group(text="x", message_thread_id=7)).chat == "-100"


def test_a_caption_counts_as_text_and_the_photo_is_not_forgotten() -> None:
    incoming = reading(private(photo=[{}], caption="look"))
    assert (incoming.text, incoming.kind, incoming.what) == ("look", "text", "photo")


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"photo": [{}]}, "photo"),
        ({"sticker": {}}, "sticker"),
        ({"voice": {}}, "voice"),
        ({"document": {}, "animation": {}}, "animation"),
        ({"location": {}, "venue": {}}, "venue"),
        ({"new_chat_members": []}, "service"),
        ({"something_of_next_year": {}}, "service"),
        ({"text": ""}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_what_is_no_text_is_named(message: dict[str, Any], what: str) -> None:
    incoming = reading(private(**message))
    assert (incoming.kind, incoming.what, incoming.text) == ("other", what, "")


def test_an_edit_is_an_edit_at_the_time_of_editing() -> None:
    raw = private(text="better", edit_date=150)
    incoming = reading({"update_id": 5, "edited_message": raw["message"]})
    assert (incoming.kind, incoming.text, incoming.at) == ("edited", "better", 150.0)


def test_another_kind_of_update_that_concerns_a_chat_is_other() -> None:
    incoming = reading({"update_id": 5, "my_chat_member": {"chat": {"id": 7}, "from": {"id": 9}, "date": 1}})
    assert (incoming.chat, incoming.kind, incoming.what, incoming.sender_id) == ("7", "other", "my_chat_member", 9)
    button = reading({"update_id": 5, "callback_query": {"from": {"id": 9}, "message": private()["message"]}})
    assert (button.chat, button.what) == ("7", "callback_query")


@pytest.mark.parametrize("raw", [None, [], 1, "x", {}, {"update_id": 1}, {"update_id": 1, "poll": {"id": "1"}}])
def test_what_concerns_no_chat_is_none(raw: object) -> None:
    assert read(raw, 42, "klad_bot") is None


def test_a_mention_is_found_by_utf16_offsets_and_whatever_the_case() -> None:
    raw = group(text="🎉🎉 @KLAD_bot hi", entities=[{"type": "mention", "offset": 5, "length": 9}])
    assert reading(raw).mentions_bot


@pytest.mark.parametrize(
    ("text", "entities", "mentioned"),
    [
        ("@klad_bots hi", [{"type": "mention", "offset": 0, "length": 10}], False),
        ("@other hi", [{"type": "mention", "offset": 0, "length": 6}], False),
        ("see @klad_bot", [{"type": "code", "offset": 4, "length": 9}], False),
        ("/status@klad_bot", [{"type": "bot_command", "offset": 0, "length": 16}], True),
        ("/status@other_bot", [{"type": "bot_command", "offset": 0, "length": 17}], False),
        ("Klåd, hi", [{"type": "text_mention", "offset": 0, "length": 4, "user": {"id": 42}}], True),
        ("Bob, hi", [{"type": "text_mention", "offset": 0, "length": 3, "user": {"id": 43}}], False),
        ("hey @klad_bot!", None, True),
        ("me@klad_bot.org", None, False),
    ],
)
def test_only_this_bots_name_is_a_mention(text: str, entities: Any, mentioned: bool) -> None:
    more = {} if entities is None else {"entities": entities}
    assert reading(group(text=text, **more)).mentions_bot is mentioned


def test_a_mention_in_a_caption_counts() -> None:
    raw = group(photo=[{}], caption="@klad_bot", caption_entities=[{"type": "mention", "offset": 0, "length": 9}])
    assert reading(raw).mentions_bot


def test_a_reply_carries_its_target_and_whose_it_is() -> None:
    incoming = reading(group(text="yes", reply_to_message={"message_id": 2, "text": "ok?", "from": {"id": 42}}))
    assert (incoming.reply_to, incoming.reply_text, incoming.replies_to_bot) == (2, "ok?", True)
    assert not reading(group(text="yes", reply_to_message={"message_id": 2, "from": {"id": 41}})).replies_to_bot


def test_words_quoted_on_purpose_stand_for_the_whole_message() -> None:
    raw = private(text="this?", reply_to_message={"message_id": 2, "text": "long"}, quote={"text": "on"})
    assert reading(raw).reply_text == "on"


def test_the_notice_that_a_topic_began_is_no_message_replied_to() -> None:
    begun = {"message_id": 7, "forum_topic_created": {"name": "t"}, "from": {"id": 42}}
    incoming = reading(group(text="x", message_thread_id=7, is_topic_message=True, reply_to_message=begun))
    assert (incoming.reply_to, incoming.replies_to_bot) == (None, False)


def test_lone_surrogates_and_nul_become_text_that_a_database_takes() -> None:
    text = reading(json.loads(json.dumps(private(text="a\ud800b\x00c")))).text
    assert text.encode() == "a\ufffdb\ufffdc".encode()


def test_an_id_too_large_for_a_database_is_no_id() -> None:
    assert chat_of({"update_id": 1, "message": {"chat": {"id": 2**63}}}) is None


@given(st.fixed_dictionaries({"update_id": st.integers(0, 9), "message": TELEGRAMLIKE}) | TELEGRAMLIKE | JSON)
def test_no_garbage_makes_it_raise(raw: object) -> None:
    incoming = read(raw, 42, "klad_bot")
    if incoming is not None:
        incoming.text.encode()
        incoming.title.encode()
        assert incoming.kind in ("text", "edited", "other")
        assert (incoming.kind == "text") <= bool(incoming.text)
        assert incoming.kind != "other" or incoming.what
