from __future__ import annotations

from klad.gateway.limits import IDLE_S, Bucket, Limits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    for _ in range(3):
        assert bucket.wait() == 0
        bucket.spend(1)
    assert 0 < bucket.wait() <= 0.1
    clock.now += bucket.wait()
    assert bucket.wait() == 0


def test_who_spends_more_than_there_is_waits_the_debt_off() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    bucket.spend(53)
    clock.now += 5
    assert bucket.wait() > 0
    clock.now += 0.1
    assert bucket.wait() == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    clock.now += 1000
    bucket.spend(3)
    assert bucket.wait() > 0


def test_allowances_of_runs_that_are_gone_are_dropped() -> None:
    clock = Clock()
    limits = Limits(clock)
    limits.of("gone")
    busy = limits.of("busy")
    busy.running = 1
    clock.now += IDLE_S + 1
    limits.of("new")
    assert len(limits) == 2
    assert limits.of("busy") is busy
