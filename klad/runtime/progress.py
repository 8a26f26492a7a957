"""Long builds told as lines: the phase, and how far it is, now and then."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

_EVERY_S = 2.0

_APT = re.compile(r"^(dlstatus|pmstatus):[^:]*:([0-9.]+):")


class Progress:
    """Writes lines through `say`, at most one each 2 s within a phase, unless something new begins."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._phase = ""
        self._next = 0.0
        self._counts: dict[str, int] = {}

    def phase(self, name: str) -> None:
        self._phase = name
        self._next = 0.0
        self._counts = {}
        self.line("")

    def line(self, text: str) -> None:
        self._say(f"{self._phase}: {text}" if self._phase and text else self._phase or text)

    def now_and_then(self, text: str) -> None:
        now = self._clock()
        if now >= self._next:
            self._next = now + _EVERY_S
            self.line(text)

    def debootstrap(self, line: str) -> None:
        """One line of debootstrap's: `I: Retrieving libc6 …`. It fetches all, then unpacks, then configures."""
        words = line.split()
        if len(words) < 2 or words[0] != "I:" or words[1] not in _STEPS:
            return
        step = words[1]
        self._counts[step] = self._counts.get(step, 0) + 1
        total = self._counts.get("Retrieving", 0)
        of = "" if step == "Retrieving" else f" of about {total}"
        self.now_and_then(f"{_STEPS[step]} {self._counts[step]}{of} packages")

    def apt(self, line: str) -> None:
        """One line of apt-get's with `APT::Status-Fd`."""
        found = _APT.match(line)
        if found:
            step = "downloading" if found[1] == "dlstatus" else "installing"
            self.now_and_then(f"{step} {float(found[2]):.0f} %")


_STEPS = {"Retrieving": "fetched", "Unpacking": "unpacked", "Configuring": "configured"}
