"""Against "Streaming Messages" of the API's documentation."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from klad.gateway import sse


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": 15},
    }


TEXT = {"type": "text", "text": "hello"}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}}


def test_the_events_stand_in_the_documented_order() -> None:
    names = [name for name, _ in sse.events(message(TEXT, TOOL))]
    assert names == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_each_event_has_the_documented_fields() -> None:
    found = dict(sse.events(message(TEXT)))
    assert found["message_start"] == {
        "type": "message_start",
        "message": message() | {"stop_reason": None, "usage": {"input_tokens": 25, "output_tokens": 1}},
    }
    assert found["content_block_start"] == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    assert found["content_block_delta"] == {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "hello"},
    }
    assert found["content_block_stop"] == {"type": "content_block_stop", "index": 0}
    assert found["message_delta"] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 15},
    }
    assert found["message_stop"] == {"type": "message_stop"}
    assert found["ping"] == {"type": "ping"}


def test_a_tool_call_starts_with_an_empty_input_that_its_deltas_write() -> None:
    found = [data for _, data in sse.events(message(TOOL)) if data.get("index") == 0]
    assert found[0]["content_block"] == TOOL | {"input": {}}
    deltas = [data["delta"] for data in found if "delta" in data]
    assert {delta["type"] for delta in deltas} == {"input_json_delta"}
    assert deltas[0]["partial_json"] == ""
    assert json.loads("".join(delta["partial_json"] for delta in deltas)) == {"command": "ls"}


def test_an_event_on_the_wire_is_two_lines_and_a_blank_one() -> None:
    wire = sse.encode(("message_stop", {"type": "message_stop", "odd": "a\nb\r å"}))
    event, data, blank = wire.decode().split("\n", 2)
    assert event == "event: message_stop"
    assert json.loads(data.removeprefix("data: "))["odd"] == "a\nb\r å"
    assert blank == "\n"


def together(events: list[sse.Event]) -> dict[str, Any]:
    """What a client makes of a stream."""
    whole: dict[str, Any] = {}
    for name, data in events:
        match name:
            case "message_start":
                whole = data["message"]
            case "content_block_start":
                assert data["index"] == len(whole["content"])
                whole["content"].append(dict(data["content_block"]))
                pieces: list[str] = []
            case "content_block_delta":
                pieces.append(data["delta"].get("text", "") + data["delta"].get("partial_json", ""))
            case "content_block_stop":
                block = whole["content"][data["index"]]
                if block["type"] == "text":
                    block["text"] = "".join(pieces)
                else:
                    block["input"] = json.loads("".join(pieces))
            case "message_delta":
                whole.update(data["delta"])
                whole["usage"].update(data["usage"])
    return whole


BLOCK = st.builds(lambda text: {"type": "text", "text": text}, st.text(min_size=1)) | st.builds(
    lambda given: TOOL | {"input": given}, st.dictionaries(st.text(), st.text() | st.integers() | st.none())
)


@given(st.lists(BLOCK, max_size=4))
def test_a_client_puts_any_message_together_again(content: list[dict[str, Any]]) -> None:
    whole = message(*content)
    wire = b"".join(sse.encode(event) for event in sse.events(whole)).decode()
    read = [event.split("\n") for event in wire.removesuffix("\n\n").split("\n\n")]
    events = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in read]
    assert together(events) == whole
