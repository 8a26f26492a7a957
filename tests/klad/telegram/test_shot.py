from __future__ import annotations

import pytest

from klad.telegram.classify import GiveUp, NoReply, PlainText, Retry
from klad.telegram.formatting import Part
from klad.telegram.shot import MARK, OUR_TRIES, Shot, address, after

SHOT = Shot(7, None, Part("hi"), reply_to=3)


def following(shot: Shot, *decisions: Retry | PlainText | NoReply) -> Shot:
    for decision in decisions:
        result = after(shot, decision)
        assert isinstance(result, Shot)
        shot = result
    return shot


def test_what_may_have_arrived_is_marked_from_then_on() -> None:
    sure = Retry(None, uncertain=False)
    assert following(SHOT, sure).text == "hi"
    assert following(SHOT, Retry(None, uncertain=True), sure).text == f"{MARK}hi"


def test_refused_entities_are_dropped_once() -> None:
    plain = following(SHOT, PlainText())
    assert plain.plain
    assert isinstance(after(plain, PlainText()), GiveUp)


def test_a_missing_message_to_reply_to_is_left_out_once() -> None:
    alone = following(SHOT, NoReply())
    assert alone.reply_to is None
    assert isinstance(after(alone, NoReply()), GiveUp)


def test_the_network_is_tried_for_ever_but_our_own_errors_are_not() -> None:
    assert following(SHOT, *[Retry(None, uncertain=True)] * 100).tries == 101
    ours = Retry(None, uncertain=True, ours=True)
    assert isinstance(after(following(SHOT, *[ours] * (OUR_TRIES - 1)), ours), GiveUp)


def test_a_chats_key_is_its_address() -> None:
    assert address("7") == (7, None)
    assert address("-100123:7") == (-100123, 7)
    with pytest.raises(ValueError):
        address("nobody")
