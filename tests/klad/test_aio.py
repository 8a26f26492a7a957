"""An asyncio loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from klad.aio import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("test loop")
    thread.start()
    yield thread
    thread.stop()


async def name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_a_coroutine_runs_on_the_loops_own_thread(loop: LoopThread) -> None:
    assert loop.run(name(), 10) == "test loop"


def test_what_it_raises_is_raised(loop: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        loop.run(fail(), 10)
    assert loop.run(name(), 10)


def test_a_coroutine_that_takes_too_long_is_cancelled(loop: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop.run(hang(), 0.02)
    assert cancelled.wait(10)


def test_a_call_is_carried_out_soon(loop: LoopThread) -> None:
    called = threading.Event()
    loop.call(called.set)
    assert called.wait(10)


def test_stopping_cancels_what_still_runs_and_closes_the_loop(loop: LoopThread) -> None:
    cancelled, begun = threading.Event(), threading.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it may still await something on its way out
            cancelled.set()
            raise

    future = asyncio.run_coroutine_threadsafe(hang(), loop.loop)
    assert begun.wait(10)
    loop.stop()
    assert cancelled.is_set()
    assert future.cancelled()
    assert loop.loop.is_closed()
    assert "test loop" not in [thread.name for thread in threading.enumerate()]


def test_stopping_twice_is_stopping_once_and_calls_after_it_are_passed_over(loop: LoopThread) -> None:
    loop.stop()
    loop.stop()
    loop.call(pytest.fail, "called")


def test_one_that_was_never_started_can_be_stopped() -> None:
    thread = LoopThread("never")
    thread.stop()
    assert thread.loop.is_closed()


def test_a_coroutine_for_a_stopped_loop_is_refused_and_not_left_unawaited(loop: LoopThread) -> None:
    loop.stop()
    coroutine = name()
    with pytest.raises(RuntimeError):
        loop.run(coroutine, 10)
    assert coroutine.cr_frame is None, "closed"
