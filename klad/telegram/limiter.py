"""When the next message to a chat may go. It never waits itself: it is asked, and says how long.

Telegram's limits (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this): about
one a second in a chat with short bursts forgiven, 20 a minute in a group, 30 a second in all. Each is
kept by the generic cell rate algorithm (ITU-T I.371): `burst` at once, then one per `interval`; the
group's and the total's are chosen so that burst + sustained stays within the limit in *any* window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FORGET_OVER = 1024
"""Chats remembered before those that owe nothing are forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    interval: float
    """Seconds between messages in the long run."""
    burst: int
    """Messages at once after a silence."""


PRIVATE = Rate(1.0, 3)
GROUP = Rate(4.0, 5)
TOTAL = Rate(1 / 20, 10)


class Limiter:
    """One bot's sends. `now` gives seconds; used from one thread."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        private: Rate = PRIVATE,
        group: Rate = GROUP,
        total: Rate = TOTAL,
    ) -> None:
        self._now = now
        self._private, self._group, self._total = private, group, total
        self._due: dict[str, float] = {}
        self._total_due = 0.0
        self._held: dict[str, float] = {}

    def wait(self, chat: str) -> float:
        """Seconds until a message to this chat could go; takes nothing."""
        now, key = self._now(), _base(chat)
        rate = self._rate(key)
        wait = max(
            self._held.get(key, now) - now,
            self._due.get(key, now) - now - rate.interval * (rate.burst - 1),
            self._total_due - now - self._total.interval * (self._total.burst - 1),
        )
        # What rounding leaves over may be too little to move a clock on.
        return wait if wait > 1e-6 else 0.0

    def take(self, chat: str) -> float:
        """0.0: a message to this chat may go now, and was counted. Otherwise ask again after so many seconds."""
        wait = self.wait(chat)
        if wait > 0:
            return wait
        now, key = self._now(), _base(chat)
        self._due[key] = max(now, self._due.get(key, now)) + self._rate(key).interval
        self._total_due = max(now, self._total_due) + self._total.interval
        if len(self._due) > FORGET_OVER:
            self._due = {chat: due for chat, due in self._due.items() if due > now}
        return 0.0

    def hold(self, chat: str, seconds: float) -> None:
        """Telegram's `retry_after`: nothing to this chat (all of its topics) for so long. No other chat waits."""
        now = self._now()
        self._held = {chat: until for chat, until in self._held.items() if until > now}
        key = _base(chat)
        self._held[key] = max(self._held.get(key, now), now + seconds)

    def _rate(self, key: str) -> Rate:
        return self._group if key.startswith("-") else self._private


def _base(chat: str) -> str:
    """Telegram counts a forum's topics together."""
    return chat.partition(":")[0]
