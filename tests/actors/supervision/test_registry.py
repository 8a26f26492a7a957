from __future__ import annotations

from typing import Any

import pykka
import pytest

from actors.supervision import DeadLetter, Registry
from actors.supervision.testing import Probe, wait_until


def test_a_message_goes_to_whoever_has_the_name() -> None:
    registry, probe = Registry(), Probe()
    registry.bind("a/b", probe)
    assert registry.tell("a/b", "hello")
    probe.expect("hello")


def test_a_message_for_nobody_is_a_dead_letter() -> None:
    registry = Registry()
    assert not registry.tell("a/b", "hello")
    assert registry.dead_letters == (DeadLetter("a/b", "hello"),)


def test_a_message_for_one_who_has_just_died_is_a_dead_letter() -> None:
    class Dead:
        def tell(self, message: Any) -> None:
            raise pykka.ActorDeadError

    registry = Registry()
    registry.bind("a", Dead())
    assert not registry.tell("a", "hello")
    assert registry.dead_letter_count == 1


def test_all_dead_letters_are_counted_and_the_last_ones_kept() -> None:
    registry = Registry(keep=2)
    for n in range(5):
        registry.tell("a", n)
    assert registry.dead_letter_count == 5
    assert [letter.message for letter in registry.dead_letters] == [3, 4]


def test_the_log_names_a_dead_letters_type_and_not_its_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    Registry().tell("a", "something private")
    assert "dead letter: str for a" in caplog.text
    assert "private" not in caplog.text


def test_only_the_incarnation_that_has_a_name_can_free_it() -> None:
    registry, old, new = Registry(), Probe(), Probe()
    registry.bind("a", old)
    registry.bind("a", new)
    registry.unbind("a", old)
    assert registry.get("a") is new
    registry.unbind("a", new)
    assert registry.names == ()


def test_waiting_ends_when_it_is_so_or_when_the_time_is_over() -> None:
    registry = Registry()
    registry.bind("a", Probe())
    wait_until(registry, lambda r: "a" in r.names)
    with pytest.raises(AssertionError):
        wait_until(registry, lambda r: "b" in r.names, timeout=0)
