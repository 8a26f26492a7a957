"""`make bench`: what answering costs while the worker is busy, as a table. Figures, never a test.

The time is taken from the moment a person's message is posted to the Bot API until the final answer
to it arrives there, with the scripted model and a cold container for each question; beside it, in the
same run, `docker run --rm` of the same image that does nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from klad.runtime.image import image_tags
from tests.e2e.program import OWNER, Person, Program, containers, running, until

HASHING = "for i in $(seq $(nproc)); do sha256sum /dev/zero & done; wait"
"""One process that never ends on each core."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=20, help="questions in each case (20)")
    options = parser.parse_args()
    rows: list[tuple[str, list[float]]] = []
    with tempfile.TemporaryDirectory(prefix="klad-bench-") as home, running(Path(home)) as (program, person):
        idle = rss_mib(program)
        for name, command in (("worker asleep", "sleep 3600"), ("worker hashing on every core", HASHING)):
            rows += measure(program, person, name, command, options.questions)
        after = rss_mib(program)
    where = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"\n{where}, {time.strftime('%F')}")
    print(f"{options.questions} questions in each case, one after the other, a new container for each\n")
    print(f"{'':66}{'p50':>9}{'p95':>9}{'most':>9}")
    for name, times in rows:
        p50, p95 = statistics.median(times), quantile(times, 0.95)
        print(f"{name:<66}{p50 * 1000:>6.0f} ms{p95 * 1000:>6.0f} ms{max(times) * 1000:>6.0f} ms")
    print(f"\nThe tenant's process: {idle:.0f} MiB idle after its start, {after:.0f} MiB at the end (resident)")
    return 0


def measure(
    program: Program, person: Person, name: str, command: str, questions: int
) -> list[tuple[str, list[float]]]:
    work = person.send(f"$ {command}")
    until(lambda: containers(program.home, "worker"), "the worker runs")
    until(lambda: "Working" in person.send("/status").answer().text, "the worker has its turn")
    answers, floor = [], []
    for number in range(questions):
        until(lambda: not containers(program.home, "chat"), "the last chat container is gone")
        question = person.send(f"question {number}: what does it print?")
        answer = question.answer(f"question {number}")
        answers.append(answer.at - question.at)
        floor.append(docker_run())
        sys.stderr.write(f"\r{name}: {number + 1}/{questions} ")
    sys.stderr.write("\n")
    assert work.chat == OWNER
    person.send("/stop").answer("nothing left running")
    return [
        (f"answer, {name}", answers),
        (f"  docker run --rm of the same image, {name}", floor),
    ]


def docker_run() -> float:
    """s for the engine to run the chat slot's image with nothing to do in it."""
    begun = time.monotonic()
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "/bin/true", image_tags().chat]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return time.monotonic() - begun


def rss_mib(program: Program) -> float:
    """Resident memory of the tenant's process (proc(5), VmRSS)."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def quantile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


if __name__ == "__main__":
    sys.exit(main())
