"""Estimates: ranges with a source, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad.estimate import Estimate, duration, estimate, kind_of, spoken
from klad.words import Progress

SECONDS = st.floats(-1e6, 1e7, allow_nan=False)
NUMBERS = st.one_of(st.none(), st.floats(-1e15, 1e15, allow_nan=False))
PROGRESS = st.one_of(st.none(), st.builds(Progress, done=NUMBERS, total=NUMBERS, step=st.text(max_size=5)))
DURATIONS = st.lists(SECONDS, max_size=10).map(tuple)


@given(SECONDS, PROGRESS, DURATIONS)
def test_an_estimate_is_a_range_that_is_never_negative_and_names_its_source(
    elapsed: float, progress: Progress | None, durations: tuple[float, ...]
) -> None:
    found = estimate(elapsed, progress, durations)
    if found is not None:
        assert 0 <= found.low_s <= found.high_s
        assert found.source
    assert "-" not in spoken(found).split("(")[0]


def test_without_anything_known_there_is_no_number() -> None:
    assert estimate(60.0, None, ()) is None
    assert estimate(60.0, Progress(step="compile"), ()) is None
    assert estimate(60.0, Progress(done=3), ()) is None
    assert estimate(60.0, Progress(total=3), ()) is None
    assert "no estimate" in spoken(None)


def test_declared_progress_comes_first() -> None:
    found = estimate(60.0, Progress(done=5, total=10), (1000.0,))
    assert found is not None
    assert found.low_s < 60 < found.high_s
    assert found.source == "5 of 10 done"


@given(st.floats(1, 1e5), st.integers(1, 1000), st.integers(1, 1000))
def test_the_range_holds_what_a_steady_task_will_need(elapsed: float, done: int, total: int) -> None:
    found = estimate(elapsed, Progress(done=done, total=total), ())
    if done / total >= 0.05 and done <= total:
        assert found is not None
        left = elapsed * (total - done) / done
        assert found.low_s <= left * 1.000001
        assert found.high_s >= left * 0.999999


def test_a_first_sliver_of_progress_says_nothing_yet() -> None:
    assert estimate(60.0, Progress(done=1, total=100), ()) is None


def test_more_done_than_there_is_means_done() -> None:
    found = estimate(60.0, Progress(done=12, total=10), ())
    assert found is not None
    assert (found.low_s, found.high_s) == (0, 0)


def test_earlier_tasks_of_the_kind_are_a_range() -> None:
    found = estimate(10.0, None, (60.0, 100.0, 80.0))
    assert found == Estimate(50.0, 90.0, "a task like it ran 3 times before")


def test_one_earlier_task_is_a_wider_range() -> None:
    found = estimate(0.0, None, (100.0,))
    assert found is not None
    assert (found.low_s, found.high_s) == pytest.approx((70.0, 150.0))
    assert "once" in found.source


def test_a_task_that_has_outlasted_its_like_has_no_estimate() -> None:
    assert estimate(151.0, None, (100.0,)) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (-7, "0 s"), (8.4, "8 s"), (89, "89 s"), (90, "2 min"), (240, "4 min"), (5399, "90 min"),
     (5400, "1 h 30 min"), (7200, "2 h"), (4800 + 3600, "2 h 20 min"), (90_000, "25 h")],
)  # fmt: skip
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_estimate_in_words() -> None:
    assert spoken(Estimate(240.0, 400.0, "5 of 10 done")) == "4 min to 7 min left (5 of 10 done)"
    assert spoken(Estimate(240.0, 241.0, "x")) == "~4 min left (x)"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Run test 1", "run  TEST 22!"), ("build it\nwith care", "build it\nquickly"), ("$ make", "make")],
)
def test_tasks_alike_are_of_one_kind(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other) != ""


@given(st.text())
def test_a_kind_is_short_whatever_the_request(request: str) -> None:
    kind = kind_of(request)
    assert len(kind) <= 80
    assert kind_of(kind) in (kind, kind.strip())
