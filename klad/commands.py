"""Slash commands and the bare "stop": what a message asks of the router itself, if anything.

Pure. A command is answered from the ledger, without engine or model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MENU: tuple[tuple[str, str], ...] = (
    ("status", "What runs now, and how long it still needs"),
    ("stop", "Stop everything in this chat"),
    ("tasks", "Running, queued and recent tasks"),
    ("new", "Start afresh; forget this conversation"),
    ("help", "What I can do"),
)
"""For the Bot API's setMyCommands."""

NAMES = frozenset({"start", "help", "status", "stop", "tasks", "new"})
_STOPS = ("stop", "stop it", "stop that", "stop now", "stop everything", "cancel", "cancel it", "abort", "halt")
_POLITELY = (("", ""), ("please ", ""), ("", " please"))
STOP_WORDS = frozenset(f"{before}{word}{after}" for word in _STOPS for before, after in _POLITELY)
"""A whole message that is one of these means /stop."""
_COMMAND = re.compile(r"^/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{3,64}))?(?:\s+(.*))?$", re.DOTALL)
_STATUS = re.compile(
    r"^\W*(status|progress|eta|how long|how('| i)?s it going|how far|are you (done|ready)|done yet|"
    r"still (running|working|there)|you there|ping|time left|when (will|are) .{0,40}(done|ready|finished))\b.{0,60}$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    rest: str = ""


def parse(text: str, bot_username: str) -> Command | None:
    """The command that `text` is; None for everything else.

    `/name@other_bot` is somebody else's command, and `/run …` is a task, not a command of ours.
    """
    stripped = text.strip()
    if stripped.lower().rstrip(" .!") in STOP_WORDS:
        return Command("stop")
    match = _COMMAND.match(stripped)
    if match is None:
        return None
    name, at, rest = match.group(1).lower(), match.group(2), match.group(3) or ""
    if at is not None and at.lower() != bot_username.lower():
        return Command("foreign")
    if name in NAMES:
        return Command(name, rest.strip())
    if name == "run":
        return None
    return Command("unknown", name)


def asks_for_status(text: str) -> bool:
    """Whether `text` is a question that the router can answer from state, should nobody else."""
    return len(text) <= 100 and _STATUS.match(text.strip()) is not None
