from __future__ import annotations

from klad.runtime.progress import Progress


def test_lines_come_now_and_then_and_say_the_phase() -> None:
    said: list[str] = []
    now = 0.0
    progress = Progress(said.append, clock=lambda: now)

    progress.phase("base")
    for n in range(5):
        progress.debootstrap(f"I: Retrieving package{n} 1.0")
        now += 0.5
    progress.debootstrap("I: Unpacking package0...")
    progress.debootstrap("W: something else")
    now += 2
    progress.apt("pmstatus:git:41.7:Installing git (amd64)")
    progress.apt("Reading package lists...")

    assert said == ["base", "base: fetched 1 packages", "base: fetched 5 packages", "base: installing 42 %"]


def test_a_new_phase_speaks_at_once() -> None:
    said: list[str] = []
    progress = Progress(said.append, clock=lambda: 0.0)

    progress.phase("one")
    progress.now_and_then("first")
    progress.now_and_then("too soon")
    progress.phase("two")
    progress.now_and_then("again")

    assert said == ["one", "one: first", "two", "two: again"]
