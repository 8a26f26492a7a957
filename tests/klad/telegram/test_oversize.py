from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from klad.telegram.intake import read
from klad.telegram.oversize import LIMIT, OVERSIZE, written_down
from tests.klad.telegram.test_intake import JSON


def huge(**more: Any) -> dict[str, Any]:
    message = {"message_id": 3, "chat": {"id": 7, "type": "private"}, "from": {"id": 7}, "text": "x" * LIMIT}
    return {"update_id": 5, "message": {**message, **more}}


def test_an_ordinary_update_is_kept_as_it_is() -> None:
    raw = {"update_id": 5, "message": {"text": "å\ud800"}}
    assert json.loads(written_down(raw, 5)) == raw


def test_of_an_oversize_update_the_bones_are_kept() -> None:
    text = written_down(huge(), 5)
    assert len(text) < 10_000
    incoming = read(json.loads(text), 42, None)
    assert incoming is not None
    assert (incoming.chat, incoming.sender_id, incoming.kind, incoming.what) == ("7", 7, "other", "oversize")
    assert incoming.text == "x" * 4096
    assert json.loads(text)[OVERSIZE] > LIMIT


def test_the_bones_of_a_topics_message_stay_in_the_topic() -> None:
    text = written_down(huge(message_thread_id=4, is_topic_message=True), 5)
    incoming = read(json.loads(text), 42, None)
    assert incoming is not None
    assert incoming.chat == "7:4"


def test_what_is_nested_too_deep_for_json_is_kept_by_its_id() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert json.loads(written_down({"update_id": 5, "message": deep}, 5)) == {"update_id": 5, OVERSIZE: 0}


@given(st.dictionaries(st.text(), JSON))
def test_anything_is_written_down_as_ascii(raw: dict[str, Any]) -> None:
    assert written_down(raw, 5).isascii()
