"""What Klåd itself says in a chat: answers from state, refusals, waits. Pure, Markdown."""

from __future__ import annotations

from dataclasses import replace

from klad.estimate import duration, estimate, spoken
from klad.markdown import code, fenced, one_line
from klad.words import ChatState, Turn

HELP = """Tell me what to do and I do it in a container of its own. While that runs, just go on writing: \
a second container answers you, can pass words on to the work, or stop it.

/status – what runs now, and how long it still needs
/stop – stop everything in this chat (a bare "stop" does it too)
/tasks – running, queued and recent tasks
/new – start afresh
/help – this text

No model is needed for these: they work also when the engine or the model is down."""


def start(name: str) -> str:
    return f"I am {name}. {HELP}"


def denied(sender_id: int) -> str:
    return (
        f"This is a private assistant. Your Telegram user id is `{sender_id}`: its owner can let you in by "
        "adding it to ALLOWED_USERS."
    )


def left_running(processes: int) -> str:
    goes = "1 process goes" if processes == 1 else f"{processes} processes go"
    return f"{goes} on in the background, until /stop, or until this container goes after its rest (IDLE_TIMEOUT)."


def unknown_command(name: str) -> str:
    return f"I don't know /{name}. /help lists what I know."


def not_text(what: str) -> str:
    return f"I can only read text so far, not a {what}. Send it as words, please."


def fresh(busy: bool) -> str:
    tail = " The running task goes on with what it knows." if busy else ""
    return f"A fresh start: I no longer look at what was said before.{tail}"


def nothing_to_stop(dropped: int) -> str:
    if dropped:
        return f"Stopped before it began: {counted(dropped, 'request')} dropped; nothing was running."
    return "Nothing is running here."


def stopped(seconds: float, errors: tuple[str, ...], dropped: int, what: str) -> str:
    """The words after a stop. `errors`: what could not be verified."""
    more = f" {counted(dropped, 'queued task')} dropped." if dropped else ""
    if errors:
        return f"I told it to stop, but could not verify that it did: {'; '.join(errors)}.{more}"
    ended = f" {code(what)}" if what else ""
    return f"Stopped{ended} in {seconds:.1f} s; nothing left running.{more}"


def waiting_for_place(limit: int) -> str:
    return (
        f"All places for containers are taken ({limit}, one of them kept for answering); this starts as soon as "
        "one is free (MAX_CONCURRENT_CONTAINERS)."
    )


def engine_trouble(reason: str) -> str:
    return f"I can't start a container now: {reason} This waits, and starts by itself when the engine is back."


def too_late(seconds: float, state: ChatState, now: float) -> str:
    known = status(replace(state, talk=None), now)  # the answer that was on its way is the one that is late
    return f"No answer within {seconds:.0f} s, so here is what I know myself.\n\n{known}"


def parked(seconds: float) -> str:
    return f"Something keeps failing in this chat. I pause it for {duration(seconds)}; your messages are kept."


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def title(text: str) -> str:
    """A request in at most 60 characters."""
    return one_line(text, 60)


def excerpt(text: str, words: str, room: int = 200) -> str:
    """What stands around `words` in `text`, in about `room` characters of one line."""
    at = max(0, text.lower().find(words.lower()) - room // 2)
    line = " ".join(text[at : at + room + len(words)].split())
    return f"{'…' if at else ''}{line}{'…' if at + room + len(words) < len(text) else ''}"


def _task(turn: Turn, state: ChatState, now: float) -> list[str]:
    if turn.state == "open":
        return [f"Waiting to start: {code(turn.title)}"]
    elapsed = now - (turn.taken or now)
    lines = [f"Working for {duration(elapsed)} on: {code(turn.title)}"]
    if turn.progress is not None:
        done = turn.progress
        share = f"{done.done:g} of {done.total:g}" if done.done is not None and done.total else ""
        lines.append("Progress: " + (" – ".join(part for part in (share, done.step) if part) or "none declared"))
    lines.append("Time: " + spoken(estimate(elapsed, turn.progress, state.durations)))
    if state.tool:
        lines.append(f"Now: {code(state.tool)}")
    if state.lines.strip():
        tail = "\n".join(state.lines.strip().splitlines()[-5:])
        lines.append(f"Last lines:\n{fenced(tail)}")
    return lines


def status(state: ChatState, now: float) -> str:
    if state.worker is None:
        lines = ["Nothing is running."]
        if state.recent:
            lines.append(f"Last: {ended(state.recent[0], now)}")
    else:
        lines = _task(state.worker, state, now)
    if state.talk is not None:
        lines.append("An answer is on its way.")
    if state.queue:
        lines.append(f"Queued: {counted(len(state.queue), 'task')}.")
    return "\n".join(lines)


def ended(turn: Turn, now: float) -> str:
    mark = {"done": "✓", "failed": "✗", "cancelled": "■"}.get(turn.state, "·")
    took = f" in {duration(turn.ended - turn.taken)}" if turn.ended and turn.taken else ""
    ago = f", {duration(now - turn.ended)} ago" if turn.ended else ""
    return f"{mark} {code(turn.title)} – {turn.state}{took}{ago}"


def tasks(state: ChatState, now: float) -> str:
    lines = []
    if state.worker is not None and state.worker.state == "taken":
        elapsed = duration(now - (state.worker.taken or now))
        lines.append(f"▶ {code(state.worker.title)} – running for {elapsed}")
    elif state.worker is not None:
        lines.append(f"… {code(state.worker.title)} – waiting to start")
    lines += [f"{number}. {code(turn.title)} – queued" for number, turn in enumerate(state.queue, 1)]
    lines += [ended(turn, now) for turn in state.recent]
    return "\n".join(lines) or "No tasks yet."
