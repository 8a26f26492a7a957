from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram.error import NetworkError

from klad.telegram.bot import parse
from tests.klad.telegram.test_intake import JSON


def test_an_update_keeps_its_json_whatever_is_in_it() -> None:
    raw = {"update_id": 5, "message": {"message_id": "x", "chat": 3, "date": []}}
    [update] = parse([raw])
    assert (update.update_id, update.raw) == (5, raw)


def test_updates_come_by_rising_id_so_that_the_last_acknowledges_all() -> None:
    assert [update.update_id for update in parse([{"update_id": 9}, {"update_id": 7}, {"update_id": 7}])] == [7, 9]


def test_what_has_no_id_is_left_out() -> None:
    garbage = [None, 3, {}, {"update_id": "4"}, {"update_id": True}, {"update_id": 2**63}]
    assert [update.update_id for update in parse([*garbage, {"update_id": 6}])] == [6]


@pytest.mark.parametrize("answer", [{}, None, True, [{}], [None]])
def test_an_answer_without_any_update_in_it_is_a_failure_to_back_off_from(answer: object) -> None:
    with pytest.raises(NetworkError):
        parse(answer)


def test_no_news_is_no_failure() -> None:
    assert parse([]) == ()


@given(JSON | st.lists(st.fixed_dictionaries({"update_id": JSON}) | JSON))
def test_no_garbage_makes_it_fail_otherwise(answer: object) -> None:
    try:
        parse(answer)
    except NetworkError:
        return
