"""The engine goes away and comes back, in front of a proxy that can be cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from klad.errors import EngineError
from klad.runtime import EngineDown, EngineUp, Exited, Failed, Started, Stopped, health
from klad.runtime.docker import DockerRuntime
from tests.engine.conftest import Heard, Launcher
from tests.engine.proxy import EngineProxy

pytestmark = pytest.mark.engine


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    with EngineProxy(tmp_path) as one:
        yield one


@pytest.fixture
def runtime(proxy: EngineProxy) -> Iterator[DockerRuntime]:
    one = DockerRuntime(proxy.url)
    yield one
    one.close()


def test_its_health_is_told_now_and_at_each_change(runtime: DockerRuntime, proxy: EngineProxy, heard: Heard) -> None:
    runtime.watch(heard)
    heard.next(EngineUp)

    proxy.cut()
    assert "engine" in heard.next(EngineDown).reason
    proxy.restore()
    heard.next(EngineUp)


def test_an_engine_that_is_away_at_first_is_told_of(runtime: DockerRuntime, proxy: EngineProxy, heard: Heard) -> None:
    proxy.cut()
    runtime.watch(heard)
    assert "make engine" in heard.next(EngineDown).reason
    proxy.restore()
    heard.next(EngineUp)


def test_a_restart_too_short_to_be_seen_otherwise_is_told_too(
    runtime: DockerRuntime, proxy: EngineProxy, heard: Heard
) -> None:
    runtime.watch(heard)
    heard.next(EngineUp)

    proxy.drop()

    heard.next(EngineDown)
    heard.next(EngineUp)


def test_an_engine_that_hangs_is_down(
    runtime: DockerRuntime, proxy: EngineProxy, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PING_EVERY_S", 0.1)
    runtime.watch(heard)
    heard.next(EngineUp)

    proxy.freeze()

    assert "too long" in heard.next(EngineDown).reason


def test_a_run_that_ends_while_nobody_can_see_is_told_when_the_engine_is_back(
    runtime: DockerRuntime, proxy: EngineProxy, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 1; exit 9")
    runtime.start(one, heard)
    heard.next(Started)
    proxy.cut()
    client.wait(one.run)
    assert heard.nothing()

    proxy.restore()

    assert heard.next(Exited) == Exited(one.run, 9)


def test_a_run_that_lives_on_is_watched_again(
    runtime: DockerRuntime, proxy: EngineProxy, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("trap 'exit 9' TERM; while :; do sleep 0.05; done")
    runtime.start(one, heard)
    heard.next(Started)
    proxy.cut()
    proxy.restore()
    runtime.adopt(one.run, heard)

    client.kill(one.run, "SIGTERM")

    assert heard.next(Exited) == Exited(one.run, 9)
    runtime.close()
    assert heard.nothing()


def test_adopting_without_an_engine_tells_nothing_until_it_answers(
    runtime: DockerRuntime, proxy: EngineProxy, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    proxy.cut()
    runtime.watch(heard)
    heard.next(EngineDown)
    ear = Heard()
    runtime.adopt("klad-000000000000", ear)
    assert ear.nothing()

    proxy.restore()

    assert ear.next(Exited).code is None


def test_a_start_without_an_engine_fails_and_says_so(
    runtime: DockerRuntime, proxy: EngineProxy, launch: Launcher, heard: Heard
) -> None:
    one = launch("sleep 60")
    proxy.cut()
    runtime.start(one, heard)

    failed = heard.next(Failed)
    assert failed.engine_down
    assert "make engine" in failed.reason


def test_a_stop_that_the_engine_does_not_answer_is_not_called_verified(
    runtime: DockerRuntime, proxy: EngineProxy, launch: Launcher, heard: Heard, client: docker.APIClient
) -> None:
    one = launch("sleep 60")
    runtime.start(one, heard)
    heard.next(Started)
    proxy.cut()
    begun = time.monotonic()

    runtime.stop(one.run, 1, heard)

    stopped = heard.next(Stopped)
    assert not stopped.verified
    assert "no container engine answers" in stopped.error
    assert stopped.seconds <= time.monotonic() - begun
    assert client.inspect_container(one.run)["State"]["Running"]


def test_asking_without_an_engine_is_an_error_of_one_line(runtime: DockerRuntime, proxy: EngineProxy) -> None:
    proxy.cut()
    for ask in (runtime.check, lambda: runtime.find("x", "y"), lambda: runtime.remove("klad-000000000000")):
        with pytest.raises(EngineError, match="no container engine answers") as error:
            ask()
        assert "\n" not in str(error.value)
