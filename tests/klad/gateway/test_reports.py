from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad.gateway import reports
from klad.gateway.reports import Garbage
from klad.words import Event


def body(kind: str, data: Any, **fields: Any) -> dict[str, Any]:
    return {"events": [{"seq": 1, "kind": kind, "turn": 17, "data": data, "at": 1763856000.5} | fields]}


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("say", {"text": "soon"}),
    ("tool", {"call": "toolu_1", "name": "bash", "input": "make"}),
    ("tool_end", {"call": "toolu_1", "ok": True, "tail": "done"}),
    ("output", {"tail": "step 2"}),
    ("progress", {"done": 2, "total": 3.5, "step": "linking"}),
    ("steered", {"signal": 4, "at_step": 2}),
    ("done", {"text": "that is it", "left": 2}),
    ("failed", {"text": "no", "left": 0}),
    ("crash", {"stderr": "Traceback"}),
]


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_each_kind_of_the_contract_is_read(kind: str, data: dict[str, Any]) -> None:
    assert reports.events(body(kind, data)) == [Event(1, kind, 17, data)]


def test_unknown_fields_are_left_out_and_optional_ones_filled_in() -> None:
    assert reports.events(body("progress", {"step": "x", "new": 1}))[0].data == {
        "done": None,
        "total": None,
        "step": "x",
    }


@pytest.mark.parametrize(
    ("kind", "data", "fields", "words"),
    [
        ("fly", {}, {}, "kind"),
        (None, {}, {}, "kind"),
        (["say"], {}, {}, "kind"),
        ("say", None, {}, "data"),
        ("say", {}, {}, "text"),
        ("say", {"text": 1}, {}, "text"),
        ("say", {"text": "x"}, {"seq": 0}, "seq"),
        ("say", {"text": "x"}, {"seq": True}, "seq"),
        ("say", {"text": "x"}, {"seq": 1.0}, "seq"),
        ("say", {"text": "x"}, {"seq": 2**63}, "seq"),
        ("say", {"text": "x"}, {"turn": "17"}, "turn"),
        ("say", {"text": "x"}, {"at": "now"}, "at"),
        ("tool", {"name": "bash", "input": "x"}, {}, "call"),
        ("tool", {"call": "c" * 201, "name": "bash"}, {}, "call"),
        ("tool_end", {"call": "c", "ok": 1}, {}, "ok"),
        ("progress", {"done": "2"}, {}, "done"),
        ("steered", {"signal": -1, "at_step": 1}, {}, "signal"),
    ],
)
def test_what_has_another_shape_is_refused_by_name(kind: Any, data: Any, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Garbage, match=words):
        reports.events(body(kind, data, **fields))


@pytest.mark.parametrize(
    "given", [None, [], {}, {"events": {}}, {"events": []}, {"events": [1]}, {"events": [[]] * 501}]
)
def test_a_body_that_is_no_list_of_events_is_refused(given: Any) -> None:
    with pytest.raises(Garbage):
        reports.events(given)


def test_numbers_rise_by_one() -> None:
    entries = [body("say", {"text": "x"}, seq=seq)["events"][0] for seq in (1, 3)]
    with pytest.raises(Garbage, match="seq 3 follows seq 1"):
        reports.events({"events": entries})


@pytest.mark.parametrize(
    ("kind", "key", "length", "end"),
    [("tool", "input", 300, "head"), ("tool_end", "tail", 600, "tail"), ("output", "tail", 2000, "tail")],
)
def test_long_texts_are_cut_where_they_matter_least(kind: str, key: str, length: int, end: str) -> None:
    data = dict(KINDS)[kind] | {key: "a" * 5000 + "b" * 5000}
    cut = reports.events(body(kind, data))[0].data[key]
    assert cut == ("a" if end == "head" else "b") * length


def test_what_no_database_or_telegram_takes_is_replaced() -> None:
    sent = json.loads(json.dumps(body("say", {"text": "a\ud800b\0c \U0001f600"})))
    assert reports.events(sent)[0].data["text"] == "a\ufffdb\ufffdc \U0001f600"


def test_a_giant_answer_keeps_its_head_and_tail() -> None:
    cut = reports.events(body("done", {"text": "a" * 200_000 + "b" * 200_000}))[0].data["text"]
    assert len(cut) < 101_000
    assert cut[0] + cut[-1] == "ab"


def test_numbers_that_mean_nothing_count_as_undeclared() -> None:
    for number in (-1, 1e300, float("inf"), float("nan"), 10**400):
        assert reports.events(body("progress", {"done": number, "step": ""}))[0].data["done"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.just(1) | JSON,
        "kind": st.sampled_from([kind for kind, _ in KINDS]) | JSON,
        "turn": st.just(17) | JSON,
        "at": st.just(1) | JSON,
        "data": st.dictionaries(
            st.sampled_from(["text", "call", "name", "input", "ok", "tail", "done", "signal", "at_step", "stderr"]),
            JSON,
        ),
    },
)


@given(st.lists(ENTRY, min_size=1, max_size=3).map(lambda entries: {"events": entries}) | JSON)
def test_whatever_is_posted_is_refused_or_fit_for_the_ledger(given: Any) -> None:
    try:
        found = reports.events(given)
    except Garbage:
        return
    for event in found:
        assert 1 <= event.seq < 2**63
        json.dumps(event.data, ensure_ascii=False, allow_nan=False).encode()


@given(JSON | st.fixed_dictionaries({"protocol": st.just(1), "mounts": st.dictionaries(st.text(), JSON)}))
def test_whatever_is_said_in_hello_is_refused_or_compared(given: Any) -> None:
    try:
        found = reports.mounts(given)
    except Garbage as garbage:
        str(garbage).encode()
    else:
        reports.mismatch({"/workspace/group": (1, 2)}, found).encode("utf-8", "replace")


def test_mounts_that_the_host_expects_nothing_of_may_be_there() -> None:
    assert reports.mismatch({"/a": (1, 2)}, {"/a": (1, 2), "/tmpfs": (3, 4)}) == ""
    assert "not mounted" in reports.mismatch({"/a": (1, 2)}, {"/tmpfs": (3, 4)})


def test_devices_and_inodes_use_all_their_64_bits() -> None:
    big = 2**64 - 1
    assert reports.mounts({"protocol": 1, "mounts": {"/a": [big, big]}}) == {"/a": (big, big)}
