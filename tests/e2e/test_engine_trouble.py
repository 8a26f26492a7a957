"""The engine pulled out from under the program: it says so, waits, and goes on when it is back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Person, Program, containers, remove_containers, running, until
from tests.e2e.test_scenario import gate, open_gate
from tests.engine.proxy import EngineProxy

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
Up = tuple[Program, Person, EngineProxy]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    home = tmp_path / "home"
    home.mkdir()
    with EngineProxy(tmp_path) as engine, running(home, {"DOCKER_HOST": engine.url}) as (program, person):
        yield program, person, engine


def test_a_message_waits_for_the_engine_is_told_so_and_answered_when_it_is_back(up: Up) -> None:
    program, person, engine = up
    engine.cut()
    until(lambda: program.health()["engine"] != "ok", "the loss is noticed")
    asked = person.send("$ echo hello")
    asked.answer("can't start a container now")
    assert "engine" in person.send("/status").answer("Waiting to start").text
    engine.restore()
    asked.answer("hello")


def test_a_running_worker_outlives_the_loss_of_the_engine_and_is_found_again(up: Up) -> None:
    program, person, engine = up
    work = person.send(f"$ echo begun >> p; {gate(program, 'go')}; cat p")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    (worker,) = containers(program.home, "worker").values()
    engine.cut()
    until(lambda: program.health()["engine"] != "ok", "the loss is noticed")
    engine.restore()
    until(lambda: program.health()["engine"] == "ok", "the return is noticed")
    open_gate(program, "go")
    assert work.answer("begun").text.count("begun") == 1
    assert list(containers(program.home, "worker").values()) == [worker]


def test_a_stop_without_an_engine_does_not_claim_to_be_verified_and_is_done_later(up: Up) -> None:
    program, person, engine = up
    person.send("$ sleep 3600")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    engine.cut()
    stop = person.send("/stop")
    answer = stop.answer("could not verify")
    assert "nothing left running" not in answer.text
    engine.restore()
    until(lambda: not containers(program.home), "the container is gone after all")


def test_a_container_that_ended_while_nobody_could_see_it_is_noticed(up: Up) -> None:
    program, person, engine = up
    work = person.send("$ echo begun; sleep 3600")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    engine.cut()
    (worker,) = containers(program.home, "worker").values()
    subprocess.run(["docker", "kill", worker], check=True, capture_output=True, timeout=60)
    engine.restore()
    work.answer("ended before")


def test_a_later_start_without_an_engine_serves_says_so_and_waits(up: Up) -> None:
    program, person, engine = up
    person.send("SAY hello").answer("hello")
    assert program.stop() == 0
    remove_containers(program.home)  # or the resting worker would simply answer
    engine.cut()
    person = program.start()
    asked = person.send("SAY again")
    asked.answer("can't start a container now")
    engine.restore()
    asked.answer("again")
