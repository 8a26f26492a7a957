from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.supervision import Backoff, Child, Limit


def test_backoff_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first=1, cap=10)
    assert [backoff.delay(n, lambda: 0.0) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 10]


def test_jitter_takes_off_up_to_its_fraction() -> None:
    backoff = Backoff(first=8, cap=60, jitter=0.25)
    assert backoff.delay(1, lambda: 0.5) == 7
    assert backoff.delay(1, lambda: 1.0) == 6


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_delay_stays_between_nothing_and_the_cap(attempt: int, luck: float) -> None:
    assert 0 <= Backoff(first=0.1, cap=30).delay(attempt, lambda: luck) <= 30


def test_without_a_first_delay_there_is_none_ever() -> None:
    assert Backoff().delay(9) == 0


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_childs_name_is_one_part_of_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Child(name, lambda parent: None)  # type: ignore[arg-type,return-value]


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError):
        Limit(-1, 5)
    with pytest.raises(ValueError):
        Limit(1, 0)
    with pytest.raises(ValueError):
        Backoff(-1)
    with pytest.raises(ValueError):
        Backoff(jitter=1.5)
