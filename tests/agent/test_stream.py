"""The Messages API's stream, put together."""

from __future__ import annotations

import json

import pytest

from agent.errors import Broken
from agent.stream import Call, StreamError, assemble, events, whole
from tests.agent.fake_gateway import Answer, message, use


def lines(answer: Answer) -> list[bytes]:
    return "".join(
        e if isinstance(e, str) else f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in answer.events
    ).encode().split(b"\n")


def test_text_and_calls_are_put_together_from_their_pieces() -> None:
    call = use("bash", command="echo å")
    reply = assemble(events(lines(message({"type": "text", "text": "I look."}, call, stop="tool_use"))))
    assert reply.text == "I look."
    assert reply.stop == "tool_use"
    assert reply.calls == [Call(call["id"], "bash", {"command": "echo å"})]
    assert reply.content == [{"type": "text", "text": "I look."}, call]


def test_a_call_without_input_has_an_empty_one() -> None:
    start = {"type": "content_block_start", "index": 0,
             "content_block": {"type": "tool_use", "id": "c", "name": "worker_status", "input": {}}}
    assert assemble([start, {"type": "message_stop"}]).calls == [Call("c", "worker_status", {})]


def test_thinking_is_kept_with_its_signature() -> None:
    def delta(**of: str) -> dict[str, object]:
        return {"type": "content_block_delta", "index": 0, "delta": of}

    reply = assemble([
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        delta(type="thinking_delta", thinking="hm"),
        delta(type="signature_delta", signature="s"),
        delta(type="a_new_one", x="y"),
        {"type": "a_new_event"},
        {"type": "message_stop"},
    ])
    assert reply.content == [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    assert reply.text == ""


def test_an_answer_of_nothing_can_be_sent_back() -> None:
    assert assemble(events(lines(message({"type": "text", "text": ""})))).content[0]["text"] == "(nothing)"


def test_an_answer_that_stops_before_its_end_is_broken() -> None:
    all_of_it = lines(message({"type": "text", "text": "hello"}))
    for end in range(len(all_of_it) - 2):
        with pytest.raises(Broken):
            assemble(events(all_of_it[:end]))


@pytest.mark.parametrize(
    "data", [b"data: {", b"data: 7", b'data: {"type":"content_block_delta","index":4,"delta":{}}',
             b'data: {"type":"content_block_start"}', b'data: {"type":"message_delta","delta":null}'],
)  # fmt: skip
def test_a_malformed_event_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        assemble(events([data, b""]))


def test_an_error_in_mid_stream_has_its_type() -> None:
    with pytest.raises(StreamError) as caught:
        assemble([{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}])
    assert caught.value.kind == "overloaded_error"


def test_data_over_several_lines_comments_and_crlf_are_understood() -> None:
    raw = [b": comment", b"event: x", b'data: {"type":', b'data:"ping"}', b"", b"", b"data: cut off"]
    assert list(events(raw)) == [{"type": "ping"}]


def test_an_unstreamed_answer_without_content_is_broken() -> None:
    with pytest.raises(Broken):
        whole(b'{"type":"message"}')
