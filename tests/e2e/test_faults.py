"""Killed at any time: an actor, the whole process, a container. Nobody else notices and no word is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.program import Person, Program, containers, running, until
from tests.e2e.test_scenario import gate, open_gate, printed

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
Up = tuple[Program, Person]

POINTS = ("router", "slot-chat", "slot-worker", "telegram", "scheduler", "gateway", "engine")


def test_an_actor_of_each_kind_dies_and_the_worker_goes_on_in_its_container(up: Up) -> None:
    program, person = up
    work = person.send(f"$ echo begun; {gate(program, 'go')}; echo finished")
    until(lambda: printed(person, "begun"), "the worker works")
    (worker,) = containers(program.home, "worker").values()
    pid = program.pid
    for point in POINTS:
        program.fault(f"{point}.message")
        answer = person.send(f"question after {point}?").answer(f"question after {point}")
        assert answer.by_bot
        if not program.fault_happened():  # nothing was told to it by a question alone
            assert point in ("scheduler", "engine", "slot-worker"), f"{point} was not hit"
            program.faults.write_text("")
        assert list(containers(program.home, "worker").values()) == [worker], f"after {point}"
    assert program.pid == pid
    assert program.process is not None
    assert program.process.poll() is None
    open_gate(program, "go")
    assert "begun" in work.answer("finished").text


def test_the_process_killed_in_mid_turn_finds_its_worker_again_and_runs_nothing_twice(tmp_path: Path) -> None:
    with running(tmp_path) as (program, person):
        work = person.send(f"$ echo start >>p; {gate(program, 'go')}; echo end >>p; cat p")
        until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
        until(lambda: next(program.root.glob("groups/*/group/p"), None), "the command has begun")
        (worker,) = containers(program.home, "worker").values()
        program.kill()
        assert list(containers(program.home, "worker").values()) == [worker]
        person = program.start()
        work.person = person
        open_gate(program, "go")
        done = work.answer("end")
        assert done.text.count("start") == 1
        assert list(containers(program.home, "worker").values()) == [worker]
        assert len([reply for reply in work.replies() if "end" in reply.text]) == 1


def test_messages_sent_around_a_kill_are_each_answered_once(tmp_path: Path) -> None:
    with running(tmp_path) as (program, person):
        person.send("SAY warm").answer("warm")
        sent = []
        for round_number in range(3):
            sent += [person.send(f"SAY number {round_number}-{number}.") for number in range(4)]
            program.kill()
            person = program.start()
        for one in sent:
            one.person = person
            one.said(one.text.removeprefix("SAY "))
        for one in sent:
            wanted = one.text.removeprefix("SAY ")
            said = [s.text for s in person.seen if s.by_bot and wanted in s.text]
            # A kill in mid-send leaves open whether it arrived: then, and only then, it comes with a mark.
            assert len([text for text in said if not text.startswith("(perhaps a repeat)")]) <= 1, f"{wanted}: {said}"
            assert said, wanted


def test_a_container_killed_from_outside_is_told_in_words(up: Up) -> None:
    program, person = up
    work = person.send("$ echo begun; sleep 3600")
    until(lambda: printed(person, "begun"), "the command has begun")
    (worker,) = containers(program.home, "worker").values()
    subprocess.run(["docker", "kill", worker], check=True, capture_output=True, timeout=60)
    assert "did not try again" in work.answer("ended before").text
    person.send("$ echo again").answer("again")


def test_a_stopped_program_leaves_its_worker_running_and_takes_it_over_again(tmp_path: Path) -> None:
    with running(tmp_path) as (program, person):
        work = person.send(f"$ {gate(program, 'go')}; echo finished")
        until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
        (worker,) = containers(program.home, "worker").values()
        assert program.stop() == 0
        assert list(containers(program.home, "worker").values()) == [worker]
        open_gate(program, "go")  # it finishes while nobody listens
        work.person = program.start()
        work.answer("finished")
