"""The promise itself: ask while it works, be answered by a second container, and the work never notices."""

from __future__ import annotations

import subprocess
import threading

import pytest

from tests.e2e.program import Person, Program, containers, until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
Up = tuple[Program, Person]


def gate(program: Program, name: str) -> str:
    """A shell command that waits until `open_gate`, so that no test guesses how long work takes."""
    return f"until [ -e /workspace/inbox/{name} ]; do sleep 0.1; done"


def open_gate(program: Program, name: str) -> None:
    for inbox in program.root.glob("groups/*/inbox"):
        (inbox / name).touch()


def printed(person: Person, words: str) -> bool:
    """Whether the worker's last lines, as /status has them, hold these words."""
    return words in person.send("/status").answer().text.partition("Last lines")[2]


class Watch:
    """Notes every container of this home that is ever seen running, by asking the engine's events."""

    def __init__(self, program: Program) -> None:
        mark = (program.home / "install").read_text().strip()
        self.process = subprocess.Popen(
            ["docker", "events", "--filter", f"label=klad.install={mark}", "--filter", "event=start",
             "--format", '{{index .Actor.Attributes "klad.slot"}} {{.ID}}'],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: list[tuple[str, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            slot, _, name = line.strip().partition(" ")
            self.seen.append((slot, name))

    def ids(self, slot: str) -> list[str]:
        return [name for which, name in self.seen if which == slot]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_a_question_is_answered_by_a_second_container_while_the_worker_goes_on(up: Up) -> None:
    program, person = up
    work = person.send(f"$ echo step 1; echo step 2; {gate(program, 'go')}; echo step 3")
    until(lambda: printed(person, "step 2"), "the worker has printed step 2")
    (worker,) = containers(program.home, "worker").values()
    watch = Watch(program)
    try:
        question = person.send("what did step 2 print?")
        answer = question.answer("step 2")
        until(lambda: watch.ids("chat"), "the engine has told of the chat container")
    finally:
        watch.close()
    assert answer.text.startswith("what did step 2 print?\n\nstep 2\n")
    assert list(containers(program.home, "worker").values()) == [worker]
    assert worker not in watch.ids("chat")
    open_gate(program, "go")
    done = work.answer("step 3")
    assert "step 1" in done.text
    assert list(containers(program.home, "worker").values()) == [worker]


def test_five_questions_during_one_turn_have_five_containers_each_gone_after(up: Up) -> None:
    program, person = up
    work = person.send(f"$ {gate(program, 'go')}; echo finished")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    watch = Watch(program)
    try:
        for number in range(5):
            person.send(f"question {number}?").answer(f"question {number}")
        until(lambda: len(watch.ids("chat")) >= 5, "five containers were seen")
    finally:
        watch.close()
    assert len(set(watch.ids("chat"))) == len(watch.ids("chat")) == 5
    until(lambda: not containers(program.home, "chat"), "each chat container is gone")
    open_gate(program, "go")
    work.answer("finished")


def test_stop_ends_even_what_setsid_has_detached_and_the_engine_agrees(up: Up) -> None:
    program, person = up
    work = person.send("$ setsid sh -c 'while :; do date >> /workspace/group/beat; sleep 0.1; done' & sleep 3600")
    beat = until(lambda: next(program.root.glob("groups/*/group/beat"), None), "the detached loop beats")
    answer = person.send("/stop").answer("nothing left running", timeout=60)
    assert containers(program.home) == {}
    assert "Stopped" in answer.text
    work.answer("Cancelled")
    size = beat.stat().st_size
    assert "Nothing is running" in person.send("stop").answer().text
    assert beat.stat().st_size == size


def test_two_chats_work_at_once_and_neither_hears_of_the_other(up: Up) -> None:
    program, person = up
    other = person.new_chat("Second")
    first = person.send(f"$ touch /workspace/group/mine; {gate(program, 'go')}; ls /workspace/group")
    second = person.send(f"$ {gate(program, 'go')}; ls /workspace/group; echo second is done", other)
    until(lambda: len(containers(program.home, "worker")) == 2, "both workers run")
    until(lambda: "Working" in person.send("/status", other).answer().text, "the second chat's worker works")
    open_gate(program, "go")
    assert "mine" in first.answer("mine").text
    assert "mine" not in second.answer("second is done").text


def test_words_for_the_worker_reach_it_while_its_command_runs(up: Up) -> None:
    program, person = up
    work = person.send(f"$ {gate(program, 'go')}; echo finished")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    person.send("STEER use port 8080").answer()
    work.said("use port 8080")
    open_gate(program, "go")
    work.answer("finished")


def test_a_task_asked_for_during_work_is_queued_and_done_next(up: Up) -> None:
    program, person = up
    work = person.send(f"$ {gate(program, 'go')}; echo first")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker works")
    queued = person.send("$ echo second")
    queued.answer("ueued")
    assert "queued" in person.send("/tasks").answer().text
    open_gate(program, "go")
    work.answer("first")
    queued.answer("second")


def test_a_warm_worker_takes_the_next_turn_in_the_same_container(up: Up) -> None:
    program, person = up
    person.send("$ echo one").answer("one")
    (worker,) = containers(program.home, "worker").values()
    person.send("$ echo two").answer("two")
    assert list(containers(program.home, "worker").values()) == [worker]


def test_several_commands_of_one_turn_each_return_their_own_output(up: Up) -> None:
    _, person = up
    person.send("SAY hello").answer("hello")
    first, second = person.send("$ echo alpha"), person.send("$ echo beta")
    first.said("alpha")
    first.said("beta")
    assert second.chat == first.chat
