from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka
import pytest

from actors.supervision import Down, Escaped, Parent, SupervisedActor
from actors.supervision.testing import PATIENCE, ManualClock, Probe, flush, solo
from tests.actors.supervision.support import Worker, raises, until

FATAL = [ValueError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]


def kind(exc: BaseException) -> str:
    return type(exc).__name__


def ended(parent: Parent) -> Down:
    """The one Down; a second one would be here by now, as `ended` comes after it."""
    assert parent.ended.wait(PATIENCE)
    assert isinstance(parent.deliver, Probe)
    down = parent.deliver.expect_type(Down)
    parent.deliver.expect_nothing()
    assert parent.ref is not None
    assert (down.name, down.urn) == (parent.name, parent.ref.actor_urn)
    assert not parent.ref.is_alive()
    assert parent.registry.names == ()
    assert pykka.ActorRegistry.get_all() == []
    return down


def cause(down: Down) -> BaseException | None:
    return down.reason.__cause__ if isinstance(down.reason, Escaped) else down.reason


def test_a_stop_is_a_down_without_a_reason() -> None:
    parent = solo()
    Worker.start(parent, Probe()).stop(timeout=PATIENCE)
    assert ended(parent).reason is None


@pytest.mark.parametrize("exc", FATAL, ids=kind)
def test_a_told_message_that_raises_is_one_down_with_it_as_the_reason(exc: BaseException) -> None:
    parent = solo()
    Worker.start(parent, Probe()).tell(exc)
    assert cause(ended(parent)) is exc


@pytest.mark.parametrize("exc", FATAL, ids=kind)
def test_an_on_start_that_raises_is_one_down_and_leaves_no_zombie(exc: BaseException) -> None:
    parent = solo()
    Worker.start(parent, Probe(), raises(exc))
    assert cause(ended(parent)) is exc
    assert not parent.started


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
@pytest.mark.parametrize("exc", FATAL, ids=kind)
def test_a_last_hook_that_raises_is_one_down_too(hook: str, exc: BaseException) -> None:
    def fail(self: Any, *_: Any) -> None:
        raise exc

    parent, first = solo(), OSError("first")
    unlucky: type[Worker] = type("Unlucky", (Worker,), {hook: fail})
    ref = unlucky.start(parent, Probe())
    if hook == "on_stop":
        ref.stop(block=False)
        assert cause(ended(parent)) is exc
    else:
        ref.tell(first)
        assert ended(parent).reason is first


def test_the_first_failure_is_the_reason_and_not_what_fails_while_cleaning_up() -> None:
    class Unlucky(Worker):
        def on_failure(self, *_: Any) -> None:
            raise ValueError("second")

    parent = solo()
    Unlucky.start(parent, Probe()).tell(OSError("first"))
    assert isinstance(ended(parent).reason, OSError)


@pytest.mark.parametrize("exc", FATAL, ids=kind)
def test_an_ask_that_raises_goes_to_the_asker_and_kills_nobody(exc: BaseException) -> None:
    parent = solo()
    ref = Worker.start(parent, Probe())
    with pytest.raises(type(exc) if isinstance(exc, Exception) else Escaped):
        ref.ask(exc, timeout=PATIENCE)
    assert ref.is_alive()
    ref.stop(timeout=PATIENCE)
    assert ended(parent).reason is None


def test_a_neighbour_never_hears_of_a_base_exception() -> None:
    one, two = solo("test/one"), solo("test/two")
    neighbour = Worker.start(two, Probe())
    Worker.start(one, Probe()).tell(SystemExit())
    assert one.ended.wait(PATIENCE)
    assert neighbour.is_alive()
    neighbour.stop(timeout=PATIENCE)
    ended(two)


def test_stopping_in_on_start_is_an_ordinary_end() -> None:
    class Brief(SupervisedActor):
        def on_start(self) -> None:
            self.stop()

    parent = solo()
    Brief.start(parent)
    assert ended(parent).reason is None
    assert parent.started


def test_a_name_is_bound_before_on_start_and_free_before_down_is_told() -> None:
    seen: list[tuple[str, bool]] = []
    parent = solo()

    def look(when: str) -> None:
        seen.append((when, parent.registry.get(parent.name) is not None))

    parent.deliver = lambda down: look("down")
    Worker.start(parent, Probe(), lambda: look("on_start")).stop(timeout=PATIENCE)
    assert parent.ended.wait(PATIENCE)
    assert seen == [("on_start", True), ("down", False)]


def test_a_message_that_comes_during_on_start_is_handled_after_it() -> None:
    parent, probe, free = solo(), Probe(), threading.Event()
    ref = Worker.start(parent, probe, until(free))
    assert parent.registry.tell(parent.name, "nudge")
    free.set()
    probe.expect(("start", "actor"), ("actor", "nudge"))
    ref.stop(timeout=PATIENCE)
    ended(parent)


def test_a_deliver_that_fails_does_not_keep_the_end_from_being_seen() -> None:
    parent = solo()
    parent.deliver = raises(SystemExit())  # type: ignore[assignment]
    Worker.start(parent, Probe()).stop(timeout=PATIENCE)
    assert parent.ended.wait(PATIENCE)
    assert parent.registry.names == ()


def test_a_thread_that_can_not_be_started_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = solo()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: raises(RuntimeError("can't start new thread"))())
        with pytest.raises(RuntimeError):
            Worker.start(parent, Probe())
    assert parent.ref is None
    assert parent.registry.names == ()
    assert pykka.ActorRegistry.get_all() == []


def test_one_parent_is_for_one_incarnation() -> None:
    parent = solo()
    first = Worker.start(parent, Probe())
    with pytest.raises(RuntimeError, match="already"):
        Worker.start(parent, Probe())
    assert parent.registry.get(parent.name) is first
    first.stop(timeout=PATIENCE)
    ended(parent)


def test_hiding_a_private_method_of_pykka_or_of_supervision_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"Clash\._stop hides a private method of Actor"):
        type("Clash", (Worker,), {"_stop": lambda self: None})
    with pytest.raises(TypeError, match=r"Clash\._end hides a private method of SupervisedActor"):
        type("Clash", (Worker,), {"_end": lambda self: None})


def test_an_actor_can_be_tested_without_being_started() -> None:
    probe, parent = Probe(), solo("shop/till/printer")
    actor = Worker(parent, probe)
    actor.on_receive("hello")
    probe.expect(("printer", "hello"))
    assert parent.registry.names == ()
    assert str(actor) == "shop/till/printer"


def test_a_sibling_is_named_beside_ones_own_path() -> None:
    assert Worker(solo("shop/till/printer"), Probe()).sibling("drawer") == "shop/till/drawer"
    assert Worker(solo("shop"), Probe()).sibling("bank") == "bank"


def test_a_message_to_oneself_comes_after_its_time() -> None:
    clock, probe = ManualClock(), Probe()
    parent = solo(clock=clock)
    ref = Worker.start(parent, probe)
    ref.ask(lambda actor: actor.tell_later(5, "late"), timeout=PATIENCE)
    ref.ask(lambda actor: actor.tell_later(3, "never").cancel(), timeout=PATIENCE)
    clock.advance(4.9)
    flush(ref)
    probe.expect(("start", "actor"))
    probe.expect_nothing()
    clock.advance(0.1)
    probe.expect(("actor", "late"))
    ref.ask(lambda actor: actor.tell_later(1, "too late"), timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)
    clock.advance(1)
    ended(parent)


def test_its_thread_is_a_daemon_that_bears_its_name() -> None:
    probe = Probe()
    parent = solo("shop/till")
    Worker.start(parent, probe, lambda: probe(threading.current_thread())).stop(timeout=PATIENCE)
    thread = probe.expect_type(threading.Thread)
    assert (thread.name, thread.daemon) == ("shop/till", True)
    ended(parent)
