"""Branches that give up without taking their parent along."""

from __future__ import annotations

from typing import Any

from pykka.messages import ProxyCall

from actors.supervision import Backoff, Child, Limit, StartChild, StopChild, Supervisor
from actors.supervision.testing import flush, wait_until
from tests.actors.supervision.support import World

CRASH = ValueError("crash")
MINUTES = Backoff(60, 3600, jitter=0)


class Row(Supervisor):
    """Tells the probe of its parkings."""

    limit = Limit(0, 3600)
    probe: Any

    def on_parked(self, name: str, seconds: float, reason: BaseException | None) -> None:
        self.probe(("parked", name, seconds, type(reason).__name__))

    def on_unparked(self, name: str) -> None:
        self.probe(("unparked", name))


def row(world: World) -> type[Row]:
    return type("Row", (Row,), {"probe": staticmethod(world.probe)})


def branch(world: World, name: str, **spec: Any) -> Child:
    """A supervisor of one worker, that gives up at its first crash."""
    worker = world.worker("w", **spec)
    return Child(name, lambda parent: Supervisor.start(parent, [worker], limit=Limit(0, 60)), park=MINUTES)


def crash(world: World, path: str) -> None:
    world.ref(path).tell(CRASH)


def test_a_branch_that_gives_up_is_parked_and_its_neighbour_goes_on(world: World) -> None:
    tree = world.tree(branch(world, "a"), branch(world, "b"), cls=row(world))
    tree.start()
    world.probe.expect(("start", "w"), ("start", "w"))
    neighbour = world.ref("top/b/w")
    crash(world, "top/a/w")
    world.probe.expect(("parked", "a", 60, "GivingUp"))
    assert world.states() == {"a": "parked", "b": "up"}
    assert world.ref("top/b/w") is neighbour


def test_a_parked_branch_comes_back_and_says_so(world: World) -> None:
    world.tree(branch(world, "a"), cls=row(world)).start()
    crash(world, "top/a/w")
    world.probe.expect(("start", "w"), ("parked", "a", 60, "GivingUp"))
    world.clock.advance(59.9)
    flush(world.ref("top"))
    world.probe.expect_nothing()
    world.clock.advance(0.1)
    world.probe.expect(("start", "w"), ("unparked", "a"))
    flush(world.ref("top"))
    assert world.states() == {"a": "up"}


def test_parkings_double_never_count_for_the_parent_and_begin_anew_after_a_good_while(world: World) -> None:
    world.tree(branch(world, "a"), cls=row(world)).start()
    world.probe.expect(("start", "w"))
    for seconds in (60, 120, 240, 480):
        crash(world, "top/a/w")
        world.probe.expect(("parked", "a", seconds, "GivingUp"))
        world.clock.advance(seconds)
        world.probe.expect(("start", "w"), ("unparked", "a"))
    world.clock.advance(2 * 480)
    crash(world, "top/a/w")
    world.probe.expect(("parked", "a", 60, "GivingUp"))


def test_a_branch_that_is_back_is_restarted_like_any_other_when_it_crashes_without_giving_up(world: World) -> None:
    world.tree(branch(world, "a"), cls=row(world), limit=Limit(1, 3600)).start()
    crash(world, "top/a/w")
    world.probe.expect(("start", "w"), ("parked", "a", 60, "GivingUp"))
    world.clock.advance(60)
    world.probe.expect(("start", "w"), ("unparked", "a"))
    world.registry.tell("top/a", ProxyCall(("no_such_method",), (), {}))
    world.probe.expect(("stop", "w"), ("start", "w"))
    flush(world.ref("top"))
    world.probe.expect_nothing()


def test_a_branch_that_can_not_even_start_stays_parked_and_is_not_announced_as_back(world: World) -> None:
    broken = iter([None, CRASH, None])

    def boot() -> None:
        if exc := next(broken):
            raise exc

    world.tree(branch(world, "a", boot=boot), cls=row(world)).start()
    crash(world, "top/a/w")
    world.probe.expect(("start", "w"), ("parked", "a", 60, "GivingUp"))
    world.clock.advance(60)
    world.probe.expect(("parked", "a", 120, "GivingUp"))
    world.clock.advance(120)
    world.probe.expect(("start", "w"), ("unparked", "a"))


def test_a_parked_child_is_there_for_start_child_and_can_be_stopped_for_good(world: World) -> None:
    world.tree(branch(world, "a"), cls=row(world)).start()
    crash(world, "top/a/w")
    world.probe.expect(("start", "w"), ("parked", "a", 60, "GivingUp"))
    world.registry.tell("top", StartChild(branch(world, "a")))
    flush(world.ref("top"))
    assert world.states() == {"a": "parked"}
    world.registry.tell("top", StopChild("a"))
    world.clock.advance(60)
    wait_until(world.registry, lambda r: world.states() == {})
    flush(world.ref("top"))
    world.probe.expect_nothing()


def test_a_hook_that_fails_is_no_crash(world: World) -> None:
    class Clumsy(Row):
        def on_parked(self, *_: Any) -> None:
            raise CRASH

        def on_unparked(self, name: str) -> None:
            raise CRASH

    world.tree(branch(world, "a"), cls=Clumsy).start()
    crash(world, "top/a/w")
    world.clock.wait_for_timers()
    world.clock.advance(60)
    world.probe.expect(("start", "w"), ("start", "w"))
    flush(world.ref("top"))
    assert world.states() == {"a": "up"}
