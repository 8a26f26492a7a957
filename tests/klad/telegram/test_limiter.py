from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klad.telegram import limiter
from klad.telegram.limiter import Limiter


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def send(time: Time, limits: Limiter, chat: str) -> float:
    """Wait as long as it takes; when it went."""
    while (wait := limits.take(chat)) > 0:
        time.now += wait
    return time.now


def test_a_private_chat_has_a_small_burst_and_then_one_a_second() -> None:
    limits = Limiter(time := Time())
    assert [round(send(time, limits, "7"), 3) for _ in range(6)] == [0, 0, 0, 1, 2, 3]


def test_silence_gives_the_burst_back() -> None:
    limits = Limiter(time := Time())
    for _ in range(3):
        send(time, limits, "7")
    time.now = 100
    assert [send(time, limits, "7") for _ in range(3)] == [100, 100, 100]


@given(st.lists(st.floats(0, 30), max_size=40))
def test_a_group_gets_at_most_20_in_any_minute(pauses: list[float]) -> None:
    limits = Limiter(time := Time())
    went = []
    for pause in [*pauses, *[0.0] * 40]:
        time.now += pause
        went.append(send(time, limits, "-100"))
    assert all(later - earlier >= 59.999 for earlier, later in zip(went, went[20:], strict=False))


def test_all_chats_together_get_at_most_30_in_any_second() -> None:
    limits = Limiter(time := Time())
    went = [send(time, limits, str(chat)) for chat in range(1, 200)]
    assert all(later - earlier >= 0.999 for earlier, later in zip(went, went[30:], strict=False))


def test_retry_after_holds_that_chat_alone() -> None:
    limits = Limiter(Time())
    limits.hold("-100:7", 30)
    assert limits.take("-100:7") == 30
    assert limits.take("-100:8") == 30, "Telegram counts a forum's topics together"
    assert limits.take("7") == 0


def test_a_shorter_hold_does_not_shorten_a_longer() -> None:
    limits = Limiter(Time())
    limits.hold("7", 30)
    limits.hold("7", 1)
    assert limits.wait("7") == 30


def test_asking_how_long_takes_nothing() -> None:
    limits = Limiter(Time())
    assert [limits.wait("7") for _ in range(10)] == [0] * 10


def test_chats_that_owe_nothing_are_forgotten() -> None:
    limits = Limiter(time := Time())
    for chat in range(limiter.FORGET_OVER * 3):
        time.now += 2
        assert limits.take(str(chat)) == 0
    assert len(limits._due) <= limiter.FORGET_OVER
