"""How long a task still needs: from what it declared, or from its like before. Never made up.

Pure functions over plain values; every time is in seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from klad.words import Progress


@dataclass(frozen=True, slots=True)
class Estimate:
    """The remaining time as a range, and where it comes from."""

    low_s: float
    high_s: float
    source: str


def kind_of(request: str) -> str:
    """What makes two tasks alike: the request's first line without numbers, case and spacing."""
    lines = request.strip().splitlines()
    first = lines[0].lower() if lines else ""
    return re.sub(r"[\W\d_]+", " ", first).strip()[:80]


def estimate(elapsed: float, progress: Progress | None, durations: tuple[float, ...]) -> Estimate | None:
    """The remaining time of a task that has run for `elapsed`; None when nothing is known.

    Declared progress counts once a twentieth is done: before that, a share says more about its
    rounding than about the task. Earlier durations count from the first one on, and stop counting
    when the task has outlasted them all.
    """
    if progress is not None and progress.done and progress.total and progress.total > 0:
        share = min(1.0, progress.done / progress.total)
        if share >= 0.05 and elapsed > 0:
            left = elapsed * (1 - share) / share
            spread = 0.15 + 0.35 * (1 - share)
            done, total = f"{progress.done:g}", f"{progress.total:g}"
            return Estimate(left * (1 - spread), left * (1 + spread), f"{done} of {total} done")
    if durations:
        low, high = max(0.0, min(durations)), max(0.0, max(durations))  # a clock may have been set back
        if len(durations) == 1:
            low, high = low * 0.7, high * 1.5
        if elapsed < high:
            times = "once" if len(durations) == 1 else f"{len(durations)} times"
            return Estimate(max(0.0, low - elapsed), high - elapsed, f"a task like it ran {times} before")
    return None


def duration(seconds: float) -> str:
    """A duration in a person's words: `8 s`, `4 min`, `1 h 20 min`."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def spoken(found: Estimate | None) -> str:
    """An estimate as one line; says so when there is none."""
    if found is None:
        return "no estimate: nothing declared, and no task like it before"
    low, high = duration(found.low_s), duration(found.high_s)
    span = f"~{high}" if low == high else f"{low} to {high}"
    return f"{span} left ({found.source})"
