"""What the scripted model says, as Markdown. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from klad.estimate import Estimate, duration, spoken
from klad.markdown import code, fenced

WHAT_I_AM = (
    "I am the small scripted model that comes with Klåd, not a real one: I can run commands "
    "(`$ COMMAND`) and say what I am told to (`SAY TEXT`). Real models are for a coming version: ANTHROPIC_API_KEY "
    "(or ANTHROPIC_BASE_URL, or OPENAI_BASE_URL) in the tenant's .env will then be what configures one."
)
STRAYED = "My calls come back changed, so I stop here."

LONGEST_OUTPUT = 3000
LONGEST_QUOTE = 300
LAST_LINES = 12

_EXIT = re.compile(r"(?:\A|\n)(\[exit -?\w+\])\s*\Z")
_NAMED = re.compile(
    r"\b(step|stage|phase|round|iteration|test|part|item|file|task|line|number|nr\.?|no\.?)\s*#?(\d+)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.,:])#?(\d+)(?![.,:]?\w)")
_COUNTED = ("line", "number", "nr", "no")
"""Before a number these only say that it is one."""


def taken_up(steering: str) -> str:
    return f"Taken up: {steering}" if steering else ""


def queued(line: str, result: str, error: bool) -> str:
    if error:
        return f"{code(line)} was not queued.\n\n{quote(result)}"
    return f"{code(line)} is queued for the worker. {result}"


def told(result: str, error: bool) -> str:
    """What a host tool answered, for the user."""
    return f"That did not work: {result}" if error else result


def output(text: str) -> str:
    """A command's output: fenced, long ones without their middle, a failure's exit code after it."""
    text = text.strip("\n").rstrip()
    failure = _EXIT.search(text)
    if failure:
        text = text[: failure.start()].rstrip()
    ending = f"\n{failure[1]}" if failure else ""
    if text in ("", "(no output)"):
        return f"(no output){ending}"
    return fenced(shortened(text, LONGEST_OUTPUT)) + ending


def shortened(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    half = (size - 60) // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in shortened(text.strip(), LONGEST_QUOTE).splitlines())


def brief_of(system: str) -> Mapping[str, Any]:
    """The brief that stands in `system` between <brief> and </brief>; empty when there is none."""
    _, found, rest = system.partition("<brief>")
    if not found:
        return {}
    try:
        # Only the beginning is looked for: what a worker prints may well contain the end.
        value, _ = json.JSONDecoder().raw_decode(rest.lstrip())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def from_status(question: str, brief: Mapping[str, Any], *, whole: bool) -> str:
    """An answer to any question from what is known of the worker. `whole` False: the same status follows
    with the next answer, so only what the question itself asks for is said."""
    status = brief.get("worker")
    if not isinstance(status, Mapping):
        status = {}
    parts = [quote(question), asked_for(question, _text(status, "last_lines"))]
    if whole:
        parts.append(_status(status, brief))
    return "\n\n".join(part for part in parts if part)


def asked_for(question: str, last_lines: str) -> str:
    """The last lines that a number in the question names, as a code block; "step 2" may be missed aloud,
    while a bare number (of minutes, perhaps) is not."""
    lines = last_lines.splitlines()
    if match := _NAMED.search(question):
        name, number = match[1].lower().rstrip("."), match[2]
        named = rf"(?<!\d){number}(?!\d)" if name in _COUNTED else rf"\b{name}\s*[#:]?\s*{number}(?!\d)"
        found = [line for line in lines if re.search(named, line, re.IGNORECASE)]
        if not found and status_lines(lines):
            return f"{code(f'{name} {number}')} hasn't appeared in the last lines yet."
        return fenced("\n".join(found[-3:])) if found else ""
    if match := _NUMBER.search(question):
        found = [line for line in lines if re.search(rf"(?<!\d){match[1]}(?!\d)", line)]
        return fenced("\n".join(found[-3:])) if found else ""
    return ""


def status_lines(lines: list[str]) -> bool:
    return any(line.strip() for line in lines)


def _status(status: Mapping[str, Any], brief: Mapping[str, Any]) -> str:
    state = _text(status, "state")
    if state == "waiting":
        task = _text(status, "task")
        return "\n".join([f"The worker has not begun yet; waiting to start: {code(task)}", *_queue(status)])
    if state != "busy":
        return _idle(status, brief)
    since = _number(status.get("elapsed_s"))
    working = f"for {duration(since)} " if since is not None else ""
    lines = [f"The worker has been working {working}on: {code(_text(status, 'task'))}"]
    progress = status.get("progress")
    if isinstance(progress, Mapping) and (declared := _progress(progress)):
        lines.append(f"Progress: {declared}")
    lines.append(f"Time: {_estimate(status.get('estimate'))}")
    if tool := _text(status, "tool"):
        lines.append(f"Now: {code(tool)}")
    lines += _queue(status)
    tail = _text(status, "last_lines").strip("\n").rstrip().splitlines()[-LAST_LINES:]
    lines.append(f"Last lines:\n{fenced(chr(10).join(tail))}" if tail else "It has printed nothing yet.")
    return "\n".join(lines)


def _idle(status: Mapping[str, Any], brief: Mapping[str, Any]) -> str:
    lines = ["The worker is idle."]
    last = status.get("last")
    if isinstance(last, Mapping) and last.get("task"):
        lines.append(f"Its last task, {code(_text(last, 'task'))}, ended {_text(last, 'state') or 'done'}:")
        lines.append(quote(_text(last, "result") or "(no words)"))
        return "\n".join(lines)
    history = brief.get("history")
    said = [item for item in history if isinstance(item, Mapping)] if isinstance(history, list) else []
    words = next((_text(item, "text") for item in reversed(said) if item.get("who") == "worker"), "")
    if words:
        lines.append(f"Its last words:\n{quote(words)}")
    return "\n".join(lines)


def _queue(status: Mapping[str, Any]) -> list[str]:
    queue = status.get("queue")
    if not isinstance(queue, list) or not queue:
        return []
    return ["Queued: " + ", ".join(code(str(title)) for title in queue[:5])]


def _progress(progress: Mapping[str, Any]) -> str:
    done, total = _number(progress.get("done")), _number(progress.get("total"))
    share = f"{done:g} of {total:g}" if done is not None and total else f"{done:g}" if done is not None else ""
    return " – ".join(part for part in (share, _text(progress, "step")) if part)


def _estimate(found: Any) -> str:
    low = _number(found.get("low_s")) if isinstance(found, Mapping) else None
    high = _number(found.get("high_s")) if isinstance(found, Mapping) else None
    if low is None or high is None:
        return spoken(None)
    return spoken(Estimate(low, high, _text(found, "source")))


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
