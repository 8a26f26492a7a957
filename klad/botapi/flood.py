"""A limit of messages per chat, to try a client's manners on; without a limit by default."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable


class Flood:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.limit: tuple[int, float] | None = None
        """(messages, seconds): so many in any such span, each chat by itself. None: no limit."""
        self._clock = clock
        self._sent: dict[int, deque[float]] = {}

    def retry_after(self, chat: int) -> int:
        """0, and the message counts; or the whole seconds to wait."""
        if self.limit is None:
            return 0
        messages, seconds = self.limit
        now = self._clock()
        sent = self._sent.setdefault(chat, deque())
        while sent and sent[0] <= now - seconds:
            sent.popleft()
        if len(sent) < messages:
            sent.append(now)
            return 0
        return max(1, math.ceil(sent[0] + seconds - now)) if sent else max(1, math.ceil(seconds))
