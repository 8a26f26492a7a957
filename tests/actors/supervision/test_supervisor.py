"""Starting, stopping and restarting, as seen from outside."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from actors.supervision import (
    Backoff,
    BootTimeout,
    Child,
    Down,
    GivingUp,
    Limit,
    Parent,
    Restart,
    StartChild,
    StopChild,
    Strategy,
    Supervisor,
)
from actors.supervision.testing import PATIENCE, flush, wait_until
from tests.actors.supervision.support import Worker, World, raises, until

CRASH = ValueError("crash")


def test_children_start_from_left_to_right_each_when_the_one_before_is_up(world: World) -> None:
    free = threading.Event()
    tree = world.tree(world.worker("a", boot=until(free)), world.worker("b"))
    starter = threading.Thread(target=tree.start)
    starter.start()
    wait_until(world.registry, lambda r: "top/a" in r.names)
    assert world.states() == {"a": "starting", "b": "starting"}
    world.probe.expect_nothing()
    assert "top/b" not in world.registry.names
    free.set()
    starter.join(PATIENCE)
    world.probe.expect(("start", "a"), ("start", "b"))


def test_children_stop_from_right_to_left(world: World) -> None:
    world.up(*map(world.worker, "abc")).stop()
    world.probe.expect(("stop", "c"), ("stop", "b"), ("stop", "a"))


def test_a_crash_restarts_only_the_child_that_crashed(world: World) -> None:
    world.up(*map(world.worker, "abc"))
    old, neighbour = world.ref("top/a"), world.ref("top/b")
    old.tell(CRASH)
    world.probe.expect(("start", "a"))
    assert world.ref("top/a") is not old
    assert world.ref("top/b") is neighbour
    flush(world.ref("top"))
    world.probe.expect_nothing()


def test_rest_for_one_stops_every_younger_sibling_from_the_right(world: World) -> None:
    world.up(*map(world.worker, "abcd"), strategy=Strategy.REST_FOR_ONE)
    world.ref("top/b").tell(CRASH)
    world.probe.expect(("stop", "d"), ("stop", "c"), ("start", "b"), ("start", "c"), ("start", "d"))


def test_one_for_all_stops_all_from_the_right_and_starts_all_from_the_left(world: World) -> None:
    world.up(*map(world.worker, "abc"), strategy=Strategy.ONE_FOR_ALL)
    world.ref("top/b").tell(CRASH)
    world.probe.expect(("stop", "c"), ("stop", "a"), ("start", "a"), ("start", "b"), ("start", "c"))


def test_two_who_crash_together_are_one_restart_of_the_group(world: World) -> None:
    world.up(*map(world.worker, "abc"), strategy=Strategy.ONE_FOR_ALL, limit=Limit(1, 60))
    top, free = world.ref("top"), threading.Event()
    held = threading.Thread(target=lambda: top.ask(StartChild(world.worker("d", boot=until(free))), timeout=PATIENCE))
    held.start()
    wait_until(world.registry, lambda r: "top/d" in r.names)
    for name in "ab":
        world.ref(f"top/{name}").tell(CRASH)
    wait_until(world.registry, lambda r: "top/a" not in r.names and "top/b" not in r.names)
    free.set()
    held.join(PATIENCE)
    world.probe.expect(("start", "d"), ("stop", "d"), ("stop", "c"))
    world.probe.expect(*(("start", name) for name in "abcd"))
    flush(top)
    assert top.is_alive()


def test_the_down_of_an_earlier_incarnation_is_ignored(world: World) -> None:
    world.up(world.worker("a"), limit=Limit(0, 60))
    top = world.ref("top")
    top.tell(Down("top/a", "urn:of-an-earlier-one", CRASH))
    top.tell(Down("top/nobody", "urn:x", CRASH))
    flush(top)
    assert world.states() == {"a": "up"}
    world.probe.expect_nothing()


def test_a_child_that_is_asked_for_while_it_is_going_is_started_anew(world: World) -> None:
    ending, free = threading.Event(), threading.Event()

    class Lingering(Worker):
        def on_stop(self) -> None:
            ending.set()
            free.wait(PATIENCE)

    child = Child("a", lambda parent: Lingering.start(parent, world.probe), restart=Restart.TRANSIENT)
    world.up(child)
    old = world.ref("top/a")
    old.stop(block=False)
    assert ending.wait(PATIENCE)
    world.registry.tell("top", StartChild(child))
    flush(world.ref("top"))
    free.set()
    world.probe.expect(("start", "a"))
    assert world.ref("top/a") is not old


def test_backoff_waits_for_the_clock_and_not_for_the_wall(world: World) -> None:
    world.up(world.worker("a"), backoff=Backoff(first=10))
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers()
    assert world.states() == {"a": "restarting"}
    world.clock.advance(9.9)
    flush(world.ref("top"))
    world.probe.expect_nothing()
    world.clock.advance(0.1)
    world.probe.expect(("start", "a"))


def test_siblings_of_one_that_waits_go_on_by_one_for_one(world: World) -> None:
    world.up(world.worker("a"), world.worker("b"), backoff=Backoff(first=10))
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers()
    assert world.ref("top/b").ask("hello", timeout=PATIENCE) == "hello"


def test_an_older_siblings_restart_takes_those_along_who_were_waiting(world: World) -> None:
    world.up(*map(world.worker, "abc"), strategy=Strategy.REST_FOR_ONE, backoff=Backoff(first=10))
    world.ref("top/b").tell(CRASH)
    world.probe.expect(("stop", "c"))
    world.clock.wait_for_timers(1)
    world.clock.advance(5)
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers(2)
    world.clock.advance(5)  # b's own ticket is due, but it has got another
    flush(world.ref("top"))
    world.probe.expect_nothing()
    world.clock.advance(5)
    world.probe.expect(("start", "a"), ("start", "b"), ("start", "c"))


def test_a_stop_cancels_what_was_waiting(world: World) -> None:
    tree = world.up(world.worker("a"), backoff=Backoff(first=10))
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers()
    tree.stop()
    assert world.clock.pending == 0


def test_a_child_that_can_not_start_is_restarted_like_one_that_crashed(world: World) -> None:
    failures = iter([CRASH, SystemExit(), None])

    def boot() -> None:
        if exc := next(failures):
            raise exc

    world.tree(world.worker("a", boot=boot), world.worker("b")).start()
    world.probe.expect(("start", "b"), ("start", "a"))


@pytest.mark.parametrize("exc", [CRASH, SystemExit(1)], ids=["Exception", "SystemExit"])
def test_a_start_that_raises_in_the_supervisors_thread_is_a_failed_start(world: World, exc: BaseException) -> None:
    failures = iter([exc])

    def start(parent: Any) -> Any:
        for failure in failures:
            raise failure
        return Worker.start(parent, world.probe)

    world.tree(Child("a", start)).start()
    world.probe.expect(("start", "a"))


def test_a_start_that_starts_nobody_is_a_failed_start(world: World) -> None:
    tree = world.tree(Child("a", lambda parent: None), limit=Limit(0, 5))  # type: ignore[arg-type,return-value]
    with pytest.raises(GivingUp, match="must start a SupervisedActor"):
        tree.start()


def test_a_start_that_fails_after_the_actor_is_there_stops_it_again(world: World) -> None:
    def start(parent: Any) -> Any:
        Worker.start(parent, world.probe)
        raise CRASH

    with pytest.raises(GivingUp):
        world.tree(Child("a", start), limit=Limit(0, 5)).start()
    world.probe.expect(("start", "a"), ("stop", "a"))


def test_by_rest_for_one_nobody_starts_before_an_older_sibling_is_up(world: World) -> None:
    failures = iter([CRASH, None])

    def boot() -> None:
        if exc := next(failures):
            raise exc

    rules: Any = {"strategy": Strategy.REST_FOR_ONE, "backoff": Backoff(first=10)}
    world.tree(world.worker("a"), world.worker("b", boot=boot), world.worker("c"), **rules).start()
    world.probe.expect(("start", "a"))
    world.probe.expect_nothing()
    assert world.states() == {"a": "up", "b": "restarting", "c": "restarting"}
    world.clock.advance(10)
    world.probe.expect(("start", "b"), ("start", "c"))


def slow_child(world: World) -> Child:
    """Its on_start finishes when it is told to stop, and not before."""

    def start(parent: Parent) -> pykka.ActorRef[Worker]:
        return Worker.start(parent, world.probe, until(parent.stopping))

    return Child("a", start, boot=0.01, shutdown=PATIENCE)


def test_a_child_that_outstays_its_boot_is_stopped_and_waits_for_its_restart(world: World) -> None:
    world.tree(slow_child(world), backoff=Backoff(first=10)).start()
    world.probe.expect(("start", "a"), ("stop", "a"))
    assert world.states() == {"a": "restarting"}
    world.last_resort.expect_nothing()


def test_a_boot_limit_is_named_as_the_cause(world: World) -> None:
    with pytest.raises(GivingUp) as caught:
        world.tree(slow_child(world), limit=Limit(0, 5)).start()
    assert isinstance(caught.value.__cause__, BootTimeout)


def test_a_child_that_outstays_its_shutdown_limit_is_a_case_for_the_last_resort(world: World) -> None:
    free = threading.Event()
    world.up(world.worker("a"), world.worker("b", shutdown=0.01))
    stuck = world.ref("top/b")
    stuck.tell(free)
    world.registry.tell("top", StopChild("b"))
    assert world.last_resort.receive() == "top/b did not stop within 0.01 s"
    free.set()
    flush(stuck)
    wait_until(world.registry, lambda r: "top/b" not in r.names)


def test_more_restarts_than_the_limit_end_the_supervisor_with_a_reason(world: World) -> None:
    tree = world.up(world.worker("a"), world.worker("b"), limit=Limit(2, 60))
    for _ in range(2):
        world.ref("top/a").tell(CRASH)
        world.probe.expect(("start", "a"))
    world.ref("top/a").tell(CRASH)
    down = tree.wait(PATIENCE)
    assert down
    assert isinstance(down.reason, GivingUp)
    assert down.reason.__cause__ is CRASH
    assert "more than 2 restarts in 60 s" in str(down.reason)


def test_a_slow_drip_of_crashes_never_gives_up(world: World) -> None:
    world.up(world.worker("a"), limit=Limit(1, 5))
    for _ in range(10):
        world.ref("top/a").tell(CRASH)
        world.probe.expect(("start", "a"))
        flush(world.ref("top"))
        world.clock.advance(6)
    assert world.ref("top").is_alive()


@pytest.mark.parametrize("end", ["gives up", "crashes"])
def test_a_supervisor_that_ends_by_itself_stops_its_children_before_its_down(world: World, end: str) -> None:
    tree = world.tree(*map(world.worker, "abc"), limit=Limit(0, 60))
    downs: list[tuple[str, ...]] = []
    tree._on_down = lambda down: downs.append(world.registry.names)
    tree.start()
    world.probe.expect(*(("start", name) for name in "abc"))
    if end == "gives up":
        world.ref("top/b").tell(CRASH)
        world.probe.expect(("stop", "c"), ("stop", "a"))
    else:
        world.ref("top").tell(pykka.messages.ProxyCall(("no_such_method",), (), {}))
        world.probe.expect(("stop", "c"), ("stop", "b"), ("stop", "a"))
    assert tree.wait(PATIENCE)
    assert downs == [()]


def test_giving_up_in_a_call_that_somebody_waits_for_ends_the_supervisor_too(world: World) -> None:
    tree = world.up(world.worker("a"), limit=Limit(0, 60))
    with pytest.raises(GivingUp):
        world.ref("top").proxy().start_child(world.worker("b", raises(CRASH))).get(timeout=PATIENCE)
    down = tree.wait(PATIENCE)
    assert down
    assert isinstance(down.reason, GivingUp)
    world.probe.expect(("stop", "a"))


def test_temporary_and_stopped_transient_children_are_forgotten(world: World) -> None:
    world.up(
        world.worker("t", restart=Restart.TEMPORARY),
        world.worker("n", restart=Restart.TRANSIENT),
        world.worker("p"),
    )
    world.ref("top/t").tell(CRASH)
    world.ref("top/n").stop(timeout=PATIENCE)
    world.ref("top/p").stop(timeout=PATIENCE)
    wait_until(world.registry, lambda r: world.states() == {"p": "up"} and r.names == ("top", "top/p"))


def test_a_transient_child_that_crashes_is_restarted(world: World) -> None:
    world.up(world.worker("n", restart=Restart.TRANSIENT))
    world.ref("top/n").tell(SystemExit())
    world.probe.expect(("start", "n"))


def test_an_actor_that_is_restarted_gets_what_was_told_to_its_name_in_on_start(world: World) -> None:
    told: list[bool] = []
    child = world.worker("a", boot=lambda: told.append(world.registry.tell("top/a", "nudge")))
    world.up(child)
    world.probe.expect(("a", "nudge"))
    world.ref("top/a").tell(CRASH)
    world.probe.expect(("start", "a"), ("a", "nudge"))
    assert told == [True, True]


def test_messages_to_one_who_is_down_are_dead_letters(world: World) -> None:
    world.up(world.worker("a"), backoff=Backoff(first=10))
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers()
    assert not world.registry.tell("top/a", "hello")
    assert [letter.name for letter in world.registry.dead_letters] == ["top/a"]


def test_children_come_and_go_by_message(world: World) -> None:
    world.up()
    child = world.worker("a")
    assert world.registry.tell("top", StartChild(child))
    world.probe.expect(("start", "a"))
    first = world.ref("top/a")
    world.registry.tell("top", StartChild(child))
    flush(world.ref("top"))
    assert world.ref("top/a") is first
    world.registry.tell("top", StopChild("a"))
    world.probe.expect(("stop", "a"))
    world.registry.tell("top", StopChild("a"))
    flush(world.ref("top"))
    assert world.states() == {}


def test_children_come_and_go_by_method(world: World) -> None:
    world.up()
    top = world.ref("top").proxy()
    top.start_child(world.worker("a")).get(timeout=PATIENCE)
    assert top.which_children().get(timeout=PATIENCE) == {"a": world.ref("top/a")}
    top.stop_child("a").get(timeout=PATIENCE)
    assert top.which_children().get(timeout=PATIENCE) == {}


def test_a_child_that_is_stopped_while_it_waits_for_its_restart_stays_away(world: World) -> None:
    world.up(world.worker("a"), backoff=Backoff(first=10))
    world.ref("top/a").tell(CRASH)
    world.clock.wait_for_timers()
    world.registry.tell("top", StopChild("a"))
    flush(world.ref("top"))
    world.clock.advance(10)
    flush(world.ref("top"))
    assert world.states() == {}


def test_a_supervisor_that_is_being_stopped_starts_nobody_any_more(world: World) -> None:
    free = threading.Event()
    tree = world.up(world.worker("a"))
    blocker = world.worker("slow", boot=until(free))
    world.registry.tell("top", StartChild(blocker))
    wait_until(world.registry, lambda r: "top/slow" in r.names)
    world.registry.tell("top", StartChild(world.worker("late")))
    stopper = threading.Thread(target=tree.stop)
    stopper.start()
    assert tree._parent.stopping.wait(PATIENCE)
    free.set()
    stopper.join(PATIENCE)
    world.probe.expect(("start", "slow"), ("stop", "slow"), ("stop", "a"))
    world.probe.expect_nothing()


def test_two_children_of_one_name_are_a_mistake(world: World) -> None:
    with pytest.raises(ValueError, match="two children called a"):
        world.tree(world.worker("a"), world.worker("a")).start()


def test_a_subclass_may_handle_messages_of_its_own_without_a_thought_of_supervision(world: World) -> None:
    class Desk(Supervisor):
        def on_receive(self, message: Any) -> Any:
            world.probe(message)

    world.up(world.worker("a"), cls=Desk)
    world.registry.tell("top", "a customer")
    world.probe.expect("a customer")
    world.ref("top/a").tell(CRASH)
    world.probe.expect(("start", "a"))


def test_rules_may_be_the_class_attributes_of_a_subclass(world: World) -> None:
    class Strict(Supervisor):
        limit = Limit(0, 5)

    tree = world.up(world.worker("a"), cls=Strict)
    world.ref("top/a").tell(CRASH)
    down = tree.wait(PATIENCE)
    assert down
    assert isinstance(down.reason, GivingUp)


def test_whoever_is_told_that_a_child_is_gone_may_start_it_again(world: World) -> None:
    child = world.worker("a", restart=Restart.TRANSIENT)

    class Needy(Supervisor):
        def on_gone(self, name: str) -> None:
            self.start_child(child)

    world.up(child, cls=Needy)
    world.ref("top/a").stop(timeout=PATIENCE)
    world.probe.expect(("stop", "a"), ("start", "a"))
