"""Each setting does what .env.example says, seen from outside."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from klad.runtime.image import image_tags
from tests.e2e.program import Program, containers, running, until
from tests.e2e.test_scenario import gate, open_gate

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_name_time_zone_image_and_runtime_reach_the_assistant_and_its_containers(tmp_path: Path) -> None:
    settings = {
        "ASSISTANT_NAME": "Bob",
        "TIMEZONE": "Asia/Tokyo",
        "IMAGE": image_tags().worker,
        "CONTAINER_RUNTIME": "runc",
    }
    with running(tmp_path, **settings) as (program, person):
        assert "I am Bob" in person.send("/start").answer().text
        assert "+0900" in person.send("$ date +%z").answer().text
        (worker,) = containers(program.home, "worker")
        told = subprocess.run(["docker", "inspect", worker], capture_output=True, text=True, check=True, timeout=60)
        (seen,) = json.loads(told.stdout)
        assert seen["HostConfig"]["Runtime"] == "runc"
        assert seen["Config"]["Image"] == image_tags().worker


def test_a_worker_rests_for_idle_timeout_and_then_its_container_goes(tmp_path: Path) -> None:
    with running(tmp_path, IDLE_TIMEOUT=500) as (program, person):
        person.send("$ echo hello").answer("hello")
        until(lambda: not containers(program.home), "the resting worker is gone")
        person.send("$ echo again").answer("again")


def test_the_last_place_is_kept_for_answering_and_waiting_is_said_aloud(tmp_path: Path) -> None:
    with running(tmp_path, MAX_CONCURRENT_CONTAINERS=2) as (program, person):
        other = person.new_chat("Second")
        work = person.send(f"$ {gate(program, 'go')}; echo first")
        until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
        waits = person.send("$ echo second", other)
        waits.answer("places for containers are taken")
        person.send("how far is it?").answer("how far is it?")
        assert len(containers(program.home)) <= 2
        open_gate(program, "go")
        work.answer("first")
        waits.answer("second")  # the resting first worker made place


def test_who_is_not_allowed_is_told_so_and_starts_nothing(tmp_path: Path) -> None:
    with running(tmp_path, ALLOWED_USERS="12345") as (program, person):
        person.send("SAY hello").answer("hello")  # the web chat's bearer is the owner all the same
        assert "12345" in (program.root / ".env").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"IMAGE": "nobody/has:this"}, "no such image"), ({"CONTAINER_RUNTIME": "warp"}, "no such runtime")],
)
def test_an_image_or_runtime_that_the_engine_does_not_have_ends_the_first_start(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    program = Program(tmp_path, **settings)
    program.launch(words)
    assert program.process is not None
    assert program.process.wait(60) == 4
    program.stop()


def test_a_process_left_in_the_background_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as (_, person):
        person.send("$ sleep 1000 & echo up").answer("1 process goes on in the background")
        person.send("please stop").answer("nothing left running")
