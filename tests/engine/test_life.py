"""A run's life on a real engine: started, adopted, stopped, found."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from klad.errors import EngineError
from klad.runtime import Exited, Failed, Found, Mount, Started, Stopped, calls
from klad.runtime import docker as docker_runtime
from klad.runtime.docker import DockerRuntime
from klad.runtime.specification import specification
from tests.engine.conftest import Heard, Launcher

pytestmark = pytest.mark.engine


def gone(client: docker.APIClient, run: str) -> bool:
    """Waits until the engine has removed it."""
    with suppress(docker.errors.NotFound):
        client.wait(run, timeout=20, condition="removed")
    return not client.containers(all=True, filters={"name": run})


def test_a_run_is_told_of_from_start_to_end_and_leaves_nothing(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("exit 0")
    runtime.start(one, heard)

    started = heard.next(Started)
    assert started.run == one.run
    assert heard.next(Exited) == Exited(one.run, 0)
    assert gone(client, one.run)


@pytest.mark.parametrize("code", [1, 78, 255])
def test_the_code_of_a_run_that_ends_at_once_is_known(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, code: int
) -> None:
    one = launch(f"exit {code}", "chat")
    runtime.start(one, heard)

    heard.next(Started)
    assert heard.next(Exited) == Exited(one.run, code)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"image": "klad-nowhere:1"}, "klad build"),
        ({"runtime": "nowhere"}, "nowhere"),
        ({"mounts": (Mount("/klad-nowhere", "/workspace/group", False),)}, "/klad-nowhere"),
        ({"mounts": (Mount("/etc", "/proc/self", False),)}, "proc"),
        # Found out by the start alone: the container has been created by then.
        ({"user": "nobody-here"}, "nobody-here"),
    ],
    ids=["image", "runtime", "source", "target", "user"],
)
def test_a_failed_start_says_why_and_leaves_nothing(
    runtime: DockerRuntime,
    launch: Launcher,
    heard: Heard,
    client: docker.APIClient,
    what: dict[str, object],
    words: str,
) -> None:
    one = launch("sleep 60", **what)  # type: ignore[arg-type]
    runtime.start(one, heard)

    failed = heard.next(Failed)
    assert (failed.run, failed.engine_down) == (one.run, False)
    assert words in failed.reason
    assert "\n" not in failed.reason
    assert not client.containers(all=True, filters={"name": one.run})


def test_a_start_whose_connection_is_lost_leaves_nothing(
    runtime: DockerRuntime,
    launch: Launcher,
    heard: Heard,
    client: docker.APIClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*args: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(calls, "start", lost)
    one = launch("sleep 60")
    runtime.start(one, heard)

    assert heard.next(Failed).engine_down
    assert not client.containers(all=True, filters={"name": one.run})


def test_a_name_that_is_taken_fails_and_its_holder_lives_on(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 60")
    runtime.start(one, heard)
    heard.next(Started)
    other, other_heard = DockerRuntime(), Heard()
    try:
        other.start(one, other_heard)
        assert other_heard.next(Failed).engine_down is False
    finally:
        other.close()

    assert client.inspect_container(one.run)["State"]["Running"]
    assert heard.nothing()


def test_a_run_that_ignores_sigterm_and_went_off_with_setsid_is_stopped(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; exec sleep 1000' & while :; do sleep 1000; done",
    )
    runtime.start(one, heard)
    heard.next(Started)
    pids = [int(line[1]) for line in client.top(one.run)["Processes"]]

    stopping = Heard()
    runtime.stop(one.run, 0.5, stopping)

    stopped = stopping.next(Stopped)
    assert (stopped.verified, stopped.error) == (True, "")
    assert 0.5 <= stopped.seconds < 10
    assert heard.next(Exited) == Exited(one.run, 137)
    assert not client.containers(all=True, filters={"name": one.run})
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_run_that_obeys_sigterm_is_stopped_within_its_grace(
    runtime: DockerRuntime, launch: Launcher, heard: Heard
) -> None:
    one = launch("trap 'exit 5' TERM; while :; do sleep 0.05; done")
    runtime.start(one, heard)
    heard.next(Started)

    stopping = Heard()
    runtime.stop(one.run, 30, stopping)

    stopped = stopping.next(Stopped)
    assert stopped.verified
    assert stopped.seconds < 10
    assert heard.next(Exited).code == 5


def test_a_paused_run_is_stopped(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 60")
    runtime.start(one, heard)
    heard.next(Started)
    client.pause(one.run)

    runtime.stop(one.run, 1, heard)

    heard.next(Exited)
    assert heard.next(Stopped).verified


def test_what_the_engine_still_has_is_not_called_gone(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "remove", lambda *args: None)
    monkeypatch.setattr(docker_runtime, "GONE_S", 0.5)
    one = launch("trap '' TERM; while :; do sleep 60; done")
    runtime.start(one, heard)
    heard.next(Started)

    runtime.stop(one.run, 0.1, heard)
    stopped = heard.next(Stopped)
    with pytest.raises(EngineError, match="could not remove"):
        runtime.remove(one.run)
    monkeypatch.undo()

    assert not stopped.verified
    assert one.run in stopped.error


def test_what_was_only_created_and_what_is_gone_is_stopped_too(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 60")
    client.create_container_from_config(specification(one), one.run)

    for _ in range(2):
        runtime.stop(one.run, 5, heard)
        stopped = heard.next(Stopped)
        assert stopped.verified
        assert stopped.seconds < 5


def test_a_start_that_is_stopped_in_the_queue_never_happens(launch: Launcher, client: docker.APIClient) -> None:
    runtime = DockerRuntime(max_starts=1)
    first, heard = Heard(), Heard()
    try:
        with runtime._gate.place("chat", lambda: False):
            one = launch("sleep 60")
            runtime.start(one, first)
            runtime.stop(one.run, 1, heard)
            assert heard.next(Stopped).verified
            assert first.next(Failed).reason == "stopped before it was started"
    finally:
        runtime.close()
    assert not client.containers(all=True, filters={"name": one.run})


def test_a_stop_in_mid_start_leaves_nothing_running(
    runtime: DockerRuntime, launch: Launcher, client: docker.APIClient
) -> None:
    heard, stopping = Heard(), Heard()
    one = launch("sleep 60")
    runtime.start(one, heard)
    runtime.stop(one.run, 0, stopping)

    assert stopping.next(Stopped).verified
    assert not client.containers(all=True, filters={"name": one.run})


def test_another_runtime_adopts_a_run_that_the_first_left_alone(
    launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    first, second = DockerRuntime(), DockerRuntime()
    left = Heard()
    one = launch("sleep 1; exit 9")
    try:
        first.start(one, left)
        container = left.next(Started).container
        first.close()
        assert client.inspect_container(one.run)["Id"] == container

        second.adopt(one.run, heard)

        assert heard.next(Exited) == Exited(one.run, 9)
        assert left.nothing()
    finally:
        first.close()
        second.close()


def test_a_second_adopter_takes_the_place_of_the_first(runtime: DockerRuntime, launch: Launcher) -> None:
    first, second = Heard(), Heard()
    one = launch("sleep 1; exit 9")
    runtime.start(one, first)
    first.next(Started)

    runtime.adopt(one.run, second)

    assert second.next(Exited).code == 9
    assert first.nothing()


def test_adopting_what_ended_unseen_tells_what_the_engine_remembers(
    launch: Launcher, heard: Heard, client: docker.APIClient, runtime: DockerRuntime
) -> None:
    first, left = DockerRuntime(), Heard()
    one = launch("sleep 0.5; exit 9")
    first.start(one, left)
    left.next(Started)
    first.close()
    assert gone(client, one.run)

    runtime.adopt(one.run, heard)

    assert heard.next(Exited) == Exited(one.run, 9)


def test_the_code_of_what_the_engine_never_had_is_unknown(runtime: DockerRuntime, heard: Heard) -> None:
    runtime.adopt("klad-000000000000", heard)

    assert heard.next(Exited) == Exited("klad-000000000000", None)


def test_adopting_what_was_never_started_ends_it(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 60")
    client.create_container_from_config(specification(one), one.run)

    runtime.adopt(one.run, heard)

    assert heard.next(Exited) == Exited(one.run, None)
    assert not client.containers(all=True, filters={"name": one.run})


def test_an_end_for_want_of_memory_is_told_apart(runtime: DockerRuntime, launch: Launcher, heard: Heard) -> None:
    hungry = "exec python3 -c 'x = bytearray(200 << 20)'"
    one = launch(hungry, memory_bytes=64 << 20)
    runtime.start(one, heard)
    heard.next(Started)
    assert heard.next(Exited) == Exited(one.run, 137, out_of_memory=True)

    other = launch("kill -9 $$; sleep 60")
    runtime.start(other, heard)
    heard.next(Started)
    assert heard.next(Exited) == Exited(other.run, 137, out_of_memory=False)


def test_a_tenants_containers_are_found_in_any_state(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient, install: str
) -> None:
    running, created, other = launch("sleep 60"), launch("sleep 60", "chat"), launch("sleep 60", tenant="davi")
    for one in (running, other):
        runtime.start(one, heard)
        heard.next(Started)
    client.create_container_from_config(specification(created), created.run)

    found = runtime.find(install, "david")

    assert sorted(found, key=lambda one: one.slot) == [
        Found(created.run, "-100123:7", "chat", running=False),
        Found(running.run, "-100123:7", "worker", running=True),
    ]
    assert [one.run for one in runtime.find(install, "davi")] == [other.run]


def test_remove_takes_away_what_is_there_and_minds_nothing_else(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, install: str
) -> None:
    one = launch("trap '' TERM; sleep 60; sleep 60")
    runtime.start(one, heard)
    heard.next(Started)

    runtime.remove(one.run)
    assert runtime.find(install, "david") == []
    runtime.remove(one.run)


def test_many_starts_at_once_all_succeed(runtime: DockerRuntime, launch: Launcher) -> None:
    launches = [launch("exit 3", "chat" if n % 2 else "worker") for n in range(10)]
    ears = {one.run: Heard() for one in launches}
    for one in launches:
        runtime.start(one, ears[one.run])

    for run, ear in ears.items():
        assert ear.next(Started).run == run
        assert ear.next(Exited).code == 3


def test_closing_ends_the_threads_and_leaves_the_containers(
    launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    runtime = DockerRuntime()
    one = launch("sleep 60")
    runtime.watch(lambda news: None)
    runtime.start(one, heard)
    heard.next(Started)

    begun = time.monotonic()
    runtime.close()

    assert time.monotonic() - begun < 3
    assert not runtime._threads
    assert heard.nothing()
    assert client.inspect_container(one.run)["State"]["Running"]


def test_without_an_engine_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"make engine.*start Docker"):
        DockerRuntime(f"unix://{tmp_path}/none.sock").check()
