from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
import threading

import pykka
import pytest

from actors.supervision import Backoff, Child, GivingUp, Limit, Supervisor, Tree, render
from actors.supervision.testing import PATIENCE, Probe, flush
from tests.actors.supervision.support import Worker, World, raises, until

CRASH = ValueError("crash")


def nested(world: World) -> Child:
    return Child("branch", lambda parent: Supervisor.start(parent, [world.worker("leaf")]))


def test_the_picture_shows_names_classes_states_restarts_and_children(world: World) -> None:
    tree = world.tree(world.worker("a"), nested(world), world.worker("b"), backoff=Backoff(first=10))
    tree.start()
    world.ref("top/branch/leaf").tell(CRASH)
    world.probe.expect(("start", "a"), ("start", "leaf"), ("start", "b"), ("start", "leaf"))
    flush(world.ref("top/branch"))
    world.ref("top/b").tell(CRASH)
    world.clock.wait_for_timers()
    picture = tree.picture()
    assert picture
    assert render(picture).splitlines() == [
        "top         Supervisor  up",
        "├─ a        Worker      up",
        "├─ branch   Supervisor  up",
        "│  └─ leaf  Worker      up, 1 restart",
        "└─ b        Worker      restarting",
    ]
    assert picture.children[1].children[0].path == "top/branch/leaf"


def test_the_root_is_up_in_the_picture_as_soon_as_start_returns(world: World) -> None:
    tree = world.up(world.worker("a"))
    picture = tree.picture()
    assert picture
    assert picture.state == "up"


def test_the_picture_is_ready_for_json(world: World) -> None:
    tree = world.up(world.worker("a"))
    picture = tree.picture()
    assert picture
    again = json.loads(json.dumps(dataclasses.asdict(picture)))
    assert again["children"][0] == {
        "name": "a",
        "path": "top/a",
        "kind": "Worker",
        "state": "up",
        "restarts": 0,
        "children": [],
    }


def test_the_picture_does_not_wait_for_an_actor_that_is_stuck(world: World) -> None:
    free = threading.Event()
    tree = world.tree(world.worker("a", boot=until(free)))
    starter = threading.Thread(target=tree.start)
    starter.start()
    assert world.registry.wait_until(lambda r: "top/a" in r.names, PATIENCE)
    picture = tree.picture()
    free.set()
    starter.join(PATIENCE)
    assert picture
    assert render(picture).splitlines() == ["top   Supervisor  starting", "└─ a  ?           starting"]


def test_a_supervisor_gives_the_same_picture(world: World) -> None:
    tree = world.up(world.worker("a"))
    assert world.ref("top").proxy().tree().get(timeout=PATIENCE) == tree.picture()


def test_there_is_no_picture_of_a_tree_that_is_down(world: World) -> None:
    tree = world.up(world.worker("a"))
    tree.stop()
    assert tree.picture() is None


def test_start_raises_what_kept_the_root_from_coming_up_and_leaves_nobody(world: World) -> None:
    tree = world.tree(world.worker("a"), world.worker("b", raises(CRASH)), limit=Limit(0, 5))
    with pytest.raises(GivingUp, match="top gives up: b: more than 0 restarts in 5 s; ValueError: crash"):
        tree.start()
    assert pykka.ActorRegistry.get_all() == []
    world.probe.expect(("start", "a"), ("stop", "a"))


def test_a_child_that_never_starts_ends_the_tree_when_its_restarts_are_used_up(world: World) -> None:
    tree = world.tree(world.worker("a"), world.worker("b", raises(CRASH)), limit=Limit(2, 5))
    tree.start()
    down = tree.wait(PATIENCE)
    assert down
    assert isinstance(down.reason, GivingUp)
    assert CRASH in down.causes()


def test_a_branch_that_gives_up_takes_its_parent_along_when_that_is_past_its_limit(world: World) -> None:
    strict = Child("branch", lambda parent: Supervisor.start(parent, [world.worker("w")], limit=Limit(0, 5)))
    tree = world.tree(world.worker("a"), strict, limit=Limit(0, 5))
    tree.start()
    world.ref("top/branch/w").tell(CRASH)
    down = tree.wait(PATIENCE)
    assert down
    assert [type(cause) for cause in down.causes()] == [GivingUp, GivingUp, ValueError]


def test_the_end_is_told_once_and_a_second_stop_does_nothing(world: World) -> None:
    probe = Probe()
    tree = world.tree(world.worker("a"))
    tree._on_down = probe
    assert tree.wait(timeout=0) is None
    tree.start()
    tree.stop()
    tree.stop()
    down = tree.wait(PATIENCE)
    assert down
    assert down.reason is None
    probe.expect(down)
    probe.expect_nothing()


def test_a_tree_is_started_once(world: World) -> None:
    tree = world.up(world.worker("a"))
    with pytest.raises(RuntimeError, match="already"):
        tree.start()
    assert world.states() == {"a": "up"}


def test_stop_waits_for_those_at_the_bottom(world: World) -> None:
    tree = world.tree(nested(world))
    tree.start()
    tree.stop()
    world.probe.expect(("start", "leaf"), ("stop", "leaf"))
    assert world.registry.names == ()


def test_who_stops_a_supervisor_by_its_ref_waits_for_those_below_it_too(world: World) -> None:
    ending, free = threading.Event(), threading.Event()

    class Lingering(Worker):
        def on_stop(self) -> None:
            ending.set()
            free.wait(PATIENCE)

    world.tree(Child("a", lambda parent: Lingering.start(parent, world.probe))).start()
    stopped = world.ref("top").stop(block=False)
    assert ending.wait(PATIENCE)
    with pytest.raises(pykka.Timeout):
        stopped.get(timeout=0)
    free.set()
    assert stopped.get(timeout=PATIENCE)


def test_the_last_resort_ends_the_process_and_shows_where_it_is_stuck() -> None:
    program = """
        import logging, threading
        from actors.supervision import Child, SupervisedActor, Supervisor, Tree

        logging.basicConfig()

        class Stuck(SupervisedActor):
            def on_stop(self):
                threading.Event().wait()

        children = [Child("a", lambda parent: Stuck.start(parent), shutdown=0.05)]
        tree = Tree(Child("top", lambda parent: Supervisor.start(parent, children), shutdown=60))
        tree.start()
        tree.stop()
        print("not reached")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (70, "")
    assert "top/a did not stop within 0.05 s" in done.stderr
    assert "in on_stop" in done.stderr


def test_actors_do_not_hold_up_the_end_of_the_process() -> None:
    program = """
        from actors.supervision import Child, SupervisedActor, Supervisor, Tree

        children = [Child("a", lambda parent: SupervisedActor.start(parent))]
        Tree(Child("top", lambda parent: Supervisor.start(parent, children))).start()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60)
    assert done.returncode == 0


def test_by_the_systems_own_clock_a_child_comes_back_by_itself() -> None:
    world = World()
    children = [world.worker("a")]
    root = Child("top", lambda parent: Supervisor.start(parent, children, backoff=Backoff(first=0.01)))
    tree = Tree(root, registry=world.registry)
    tree.start()
    world.ref("top/a").tell(CRASH)
    world.probe.expect(("start", "a"), ("start", "a"))
    tree.stop()
