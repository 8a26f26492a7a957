from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from actors.supervision import SystemClock
from actors.supervision.testing import PATIENCE, ManualClock, Probe


class Held(SystemClock):
    """The system clock with its hands held until `go`, so that a slow machine can't be late for a test."""

    time = 0.0

    def now(self) -> float:
        return self.time

    def go(self) -> None:
        self.time = 3600.0
        self.call_later(0, lambda: None)  # wakes its thread


def test_the_system_clock_calls_in_the_order_of_the_times_and_not_of_the_asking() -> None:
    clock, probe = Held(), Probe()
    clock.call_later(20, lambda: probe("second"))
    clock.call_later(10, lambda: probe("first"))
    probe.expect_nothing()
    clock.go()
    probe.expect("first", "second")


def test_a_timer_is_not_kept_waiting_by_a_later_one_that_was_armed_before() -> None:
    clock, probe = SystemClock(), Probe()
    hour = clock.call_later(3600, lambda: None)
    for _ in range(50):  # so that some of them come while its thread waits for the hour
        clock.call_later(0, lambda: probe(threading.current_thread()))
        thread = probe.expect_type(threading.Thread)
    hour.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_cancelled_timer_is_not_called() -> None:
    clock, probe = Held(), Probe()
    clock.call_later(10, lambda: probe("cancelled")).cancel()
    clock.call_later(20, lambda: probe("kept"))
    clock.go()
    probe.expect("kept")


def test_an_action_that_fails_does_not_cost_the_others_their_timers() -> None:
    clock, probe = SystemClock(), Probe()

    def fail() -> None:
        raise SystemExit

    clock.call_later(0, fail)
    clock.call_later(0.01, lambda: probe("kept"))
    probe.expect("kept")


def test_the_timer_thread_ends_with_the_last_timer_and_comes_back_for_the_next() -> None:
    clock, probe = SystemClock(), Probe()
    for _ in range(2):
        clock.call_later(0, lambda: probe(threading.current_thread()))
        thread = probe.expect_type(threading.Thread)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_timer_that_is_cancelled_late_harms_nobody() -> None:
    clock, probe = SystemClock(), Probe()
    timer = clock.call_later(0, lambda: probe("called"))
    probe.expect("called")
    timer.cancel()


def test_the_system_clock_goes_forward() -> None:
    clock = SystemClock()
    assert clock.now() <= clock.now()


def test_a_manual_clock_calls_each_at_its_own_time() -> None:
    clock, seen = ManualClock(), list[tuple[str, float]]()

    def note(name: str, then: Callable[[], object] = lambda: None) -> Callable[[], None]:
        def action() -> None:
            seen.append((name, clock.now()))
            then()

        return action

    clock.call_later(3, note("late"))
    clock.call_later(1, note("early", then=lambda: clock.call_later(1, note("nested"))))
    clock.call_later(2, note("cancelled")).cancel()
    clock.call_later(9, note("beyond"))
    clock.advance(5)
    assert seen == [("early", 1), ("nested", 2), ("late", 3)]
    assert (clock.now(), clock.pending) == (5, 1)


def test_a_manual_clock_can_be_waited_for_until_somebody_arms_a_timer() -> None:
    clock = ManualClock()
    thread = threading.Thread(target=lambda: clock.call_later(1, lambda: None))
    thread.start()
    clock.wait_for_timers(1)
    thread.join()
    with pytest.raises(AssertionError, match="1 timers armed"):
        clock.wait_for_timers(2, timeout=0)
