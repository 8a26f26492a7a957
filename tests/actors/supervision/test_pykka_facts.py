"""What supervision relies on in Pykka, each against bare Pykka: an upgrade that changes a fact fails here."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
from pykka.messages import _ActorStop

WAIT = 10.0


class Gone(BaseException):
    """Not an Exception, and nothing that Python itself treats in a special way."""


class Bare(pykka.ThreadingActor):
    """Writes down which hooks ran. `over` is set by the end of `_actor_loop`."""

    use_daemon_thread = True

    def __init__(self, fail_start: type[BaseException] | None = None, fail_stop: bool = False) -> None:
        super().__init__()
        self.fail_start, self.fail_stop = fail_start, fail_stop
        self.hooks: list[str] = []
        self.over = threading.Event()

    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except SystemExit:
            pass  # a Thread drops it in silence, but pytest reports it
        finally:
            self.over.set()

    def on_start(self) -> None:
        if self.fail_start:
            raise self.fail_start

    def on_stop(self) -> None:
        self.hooks.append("on_stop")
        if self.fail_stop:
            raise ValueError

    def on_failure(self, *_: Any) -> None:
        self.hooks.append("on_failure")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, type):
            raise message
        if isinstance(message, threading.Event):
            message.wait(WAIT)
        return message

    def boom(self) -> None:
        raise ValueError


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)
        pykka.ActorRegistry.unregister(ref)


def run(actor: Bare) -> pykka.ActorRef[Bare]:
    """As Actor.start, but with the object in hand."""
    pykka.ActorRegistry.register(actor.actor_ref)
    actor._start_actor_loop()
    return actor.actor_ref


def test_an_on_start_that_raises_calls_neither_on_failure_nor_on_stop() -> None:
    actor = Bare(fail_start=ValueError)
    ref = run(actor)
    assert actor.over.wait(WAIT)
    assert actor.hooks == []
    assert not ref.is_alive()


@pytest.mark.parametrize("end", ["stop", "message", "on_start", "on_start by SystemExit", "on_stop"])
def test_every_exit_passes_the_end_of_actor_loop(end: str) -> None:
    failure = {"on_start": ValueError, "on_start by SystemExit": SystemExit}.get(end)
    actor = Bare(fail_start=failure, fail_stop=end == "on_stop")
    ref = run(actor)
    if end in ("stop", "on_stop"):
        ref.stop(timeout=WAIT)
    elif end == "message":
        ref.tell(ValueError)
    assert actor.over.wait(WAIT)


def test_an_exception_in_a_told_message_kills() -> None:
    actor = Bare()
    run(actor).tell(ValueError)
    assert actor.over.wait(WAIT)
    assert actor.hooks == ["on_failure"]


def test_an_exception_in_an_ask_or_a_proxy_call_does_not_kill() -> None:
    ref = Bare.start()
    with pytest.raises(ValueError):
        ref.ask(ValueError, timeout=WAIT)
    with pytest.raises(ValueError):
        ref.proxy().boom().get(timeout=WAIT)
    assert ref.ask("still there", timeout=WAIT) == "still there"


def test_a_base_exception_in_a_message_stops_every_actor() -> None:
    bystander = Bare()
    run(bystander)
    Bare.start().tell(Gone)
    assert bystander.over.wait(WAIT)
    assert bystander.hooks == ["on_stop"]


def test_system_exit_in_on_start_leaves_a_zombie() -> None:
    actor = Bare(fail_start=SystemExit)
    ref = run(actor)
    assert actor.over.wait(WAIT)
    assert ref.is_alive()
    assert ref in pykka.ActorRegistry.get_all()


def test_an_ask_without_a_timeout_can_hang_for_ever() -> None:
    actor = Bare(fail_start=SystemExit)
    ref = run(actor)
    assert actor.over.wait(WAIT)
    answer = ref.ask("anybody?", block=False)  # its thread is over: nobody is left who could answer
    with pytest.raises(pykka.Timeout):
        answer.get(timeout=0)


def test_a_look_up_in_the_registry_goes_through_a_list() -> None:
    assert isinstance(pykka.ActorRegistry._actor_refs, list)
    assert "for ref in cls._actor_refs" in inspect.getsource(pykka.ActorRegistry.get_by_urn)


def test_a_busy_thread_can_not_be_stopped() -> None:
    actor, free = Bare(), threading.Event()
    ref = run(actor)
    ref.tell(free)
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0)
    assert not actor.over.is_set()
    free.set()
    assert actor.over.wait(WAIT)


def test_a_stop_is_a_message_that_waits_for_those_before_it() -> None:
    actor, free = Bare(), threading.Event()
    ref = run(actor)
    ref.tell(free)
    before = ref.ask("before", block=False)
    ref.stop(block=False)
    after = ref.ask("after", block=False)
    free.set()
    assert before.get(timeout=WAIT) == "before"
    with pytest.raises(pykka.ActorDeadError):
        after.get(timeout=WAIT)


def test_an_actor_counts_as_dead_before_its_on_stop_runs() -> None:
    seen: list[bool] = []

    class Last(Bare):
        def on_stop(self) -> None:
            seen.append(self.actor_ref.is_alive())

    Last.start().stop(timeout=WAIT)
    assert seen == [False]


def test_a_tell_to_the_dead_raises() -> None:
    ref = Bare.start()
    ref.stop(timeout=WAIT)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("anybody?")


def test_an_on_stop_that_raises_is_a_failure_without_on_failure() -> None:
    actor = Bare(fail_stop=True)
    run(actor).stop(timeout=WAIT)
    assert actor.over.wait(WAIT)
    assert actor.hooks == ["on_stop"]


def test_a_thread_that_can_not_start_leaves_the_actor_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        Bare.start()
    assert len(pykka.ActorRegistry.get_all()) == 1


@pytest.mark.parametrize(
    "hook",
    [
        "_start_actor_loop",
        "_actor_loop",
        "_actor_loop_setup",
        "_actor_loop_teardown",
        "_handle_receive",
        "_handle_failure",
    ],
)
def test_the_private_hooks_are_there(hook: str) -> None:
    assert callable(getattr(pykka.ThreadingActor, hook))
    assert _ActorStop is not None
