from __future__ import annotations

from typing import Any

import pytest

from actors.supervision import Backoff, Child, GivingUp, Limit, Restart, Strategy
from actors.supervision._decide import Again, Crash, Forget, GiveUp, Loss, Park, Rules, Verdict, decide

CRASH = ValueError("crash")
MINUTES = Backoff(60, 3600, jitter=0)


def child(name: str, **spec: Any) -> Child:
    return Child(name, lambda parent: None, **spec)  # type: ignore[arg-type,return-value]


FAMILY = [child(name) for name in "abcd"]


def judge(
    loss: Loss,
    *,
    family: list[Child] | None = None,
    history: tuple[Crash, ...] = (),
    now: float = 100.0,
    **rules: Any,
) -> Verdict:
    return decide(loss, Rules(**rules), family or [loss.child], history, now, lambda: 0.0)


@pytest.mark.parametrize(
    ("restart", "after_crash", "after_stop"),
    [(Restart.PERMANENT, Again, Again), (Restart.TRANSIENT, Again, Forget), (Restart.TEMPORARY, Forget, Forget)],
)
def test_the_restart_type_says_which_ends_are_followed_by_a_start(
    restart: Restart, after_crash: type, after_stop: type
) -> None:
    one = child("a", restart=restart)
    assert isinstance(judge(Loss(one, CRASH)), after_crash)
    assert isinstance(judge(Loss(one, None)), after_stop)


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [
        (Strategy.ONE_FOR_ONE, "", "b"),
        (Strategy.REST_FOR_ONE, "dc", "bcd"),
        (Strategy.ONE_FOR_ALL, "dca", "abcd"),
    ],
)
def test_the_strategy_says_who_is_stopped_from_the_right_and_started_from_the_left(
    strategy: Strategy, stop: str, start: str
) -> None:
    verdict = judge(Loss(FAMILY[1], CRASH), family=FAMILY, strategy=strategy)
    assert isinstance(verdict, Again)
    assert (verdict.stop, verdict.start) == (tuple(stop), tuple(start))


def test_a_temporary_sibling_is_stopped_with_the_others_but_not_started_again() -> None:
    family = [child("a"), child("b", restart=Restart.TEMPORARY), child("c")]
    verdict = judge(Loss(family[0], CRASH), family=family, strategy=Strategy.ONE_FOR_ALL)
    assert isinstance(verdict, Again)
    assert (verdict.stop, verdict.start) == (("c", "b"), ("a", "c"))


def test_one_restart_over_the_limit_gives_up_whoever_crashed_before() -> None:
    history = (Crash("a", 96), Crash("b", 98))
    assert isinstance(judge(Loss(FAMILY[0], CRASH), history=history, limit=Limit(3, 5)), Again)
    verdict = judge(Loss(FAMILY[0], CRASH), history=history, limit=Limit(2, 5))
    assert isinstance(verdict, GiveUp)
    assert "a" in verdict.why


def test_what_is_older_than_the_limits_seconds_is_forgotten() -> None:
    history = (Crash("a", 94.9), Crash("a", 95.0))
    verdict = judge(Loss(FAMILY[0], CRASH), history=history, limit=Limit(2, 5))
    assert isinstance(verdict, Again)
    assert verdict.history == (Crash("a", 95.0), Crash("a", 100.0))


def test_the_backoff_grows_with_the_childs_own_restarts() -> None:
    history = (Crash("a", 99), Crash("b", 99), Crash("a", 99))
    verdict = judge(Loss(FAMILY[0], CRASH), history=history, limit=Limit(9, 5), backoff=Backoff(1, 60))
    assert isinstance(verdict, Again)
    assert verdict.delay == 4


def test_a_child_with_park_that_gives_up_is_parked_ever_longer() -> None:
    branch = child("a", park=MINUTES)
    delays, loss = [], Loss(branch, GivingUp())
    for _ in range(4):
        verdict = judge(loss, limit=Limit(0, 5))
        assert isinstance(verdict, Park)
        delays.append(verdict.delay)
        loss = Loss(branch, GivingUp(), lived=10, parkings=verdict.times, parked_for=verdict.delay)
    assert delays == [60, 120, 240, 480]


def test_a_child_that_lived_well_longer_than_it_was_parked_begins_anew() -> None:
    branch = child("a", park=MINUTES)
    short = judge(Loss(branch, GivingUp(), lived=479, parkings=3, parked_for=240))
    well = judge(Loss(branch, GivingUp(), lived=480, parkings=3, parked_for=240))
    assert isinstance(short, Park)
    assert isinstance(well, Park)
    assert (short.times, well.times) == (4, 1)


def test_other_crashes_of_a_child_with_park_count_against_itself_alone() -> None:
    branch, other = child("a", park=MINUTES), child("b")
    history: tuple[Crash, ...] = ()
    for _ in range(2):
        verdict = judge(Loss(branch, CRASH), history=history, limit=Limit(2, 5))
        assert isinstance(verdict, Again)
        history = verdict.history
    assert isinstance(judge(Loss(branch, CRASH), history=history, limit=Limit(2, 5)), Park)
    assert isinstance(judge(Loss(other, CRASH), history=history, limit=Limit(1, 5)), Again)


def test_without_park_a_branch_that_gives_up_is_a_crash_like_any_other() -> None:
    assert isinstance(judge(Loss(FAMILY[0], GivingUp()), limit=Limit(0, 5)), GiveUp)
