"""The update queue in which an update is safe before Telegram forgets it.

python-telegram-bot acknowledges a batch (by the next getUpdates' offset) as soon as every update of it was
put here. So `put` returns only once the ledger has committed; whatever is killed before that is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from telegram import Update

from klad.errors import LedgerError
from klad.telegram.bot import RawUpdate
from klad.telegram.clock import Clock
from klad.telegram.faces import UpdateLedger, written
from klad.telegram.intake import chat_of
from klad.telegram.oversize import written_down

log = logging.getLogger(__name__)

LONGEST_WAIT = 30.0


class CommittingQueue(asyncio.Queue[object]):
    """For `ApplicationBuilder.update_queue`. Updates go to the ledger and not further: it is the real queue.

    Anything that is no update (the Application's own stop signal) passes through as in any queue.
    """

    def __init__(
        self, ledger: UpdateLedger, on_committed: Callable[[str], None], *, clock: Clock | None = None
    ) -> None:
        """`on_committed(chat)` is called on the loop after each commit, a repeat's too; it is only a nudge."""
        super().__init__()
        self._ledger = ledger
        self._on_committed = on_committed
        self._clock = clock or Clock()
        self.ill = ""
        """Why the ledger can't commit just now; empty when it can."""

    async def put(self, item: object) -> None:
        """Returns once `item` is committed, however long the ledger is ill. Raises CancelledError alone:
        python-telegram-bot's polling task would end silently of anything else."""
        if not isinstance(item, Update):
            await super().put(item)
            return
        raw: dict[str, Any] = item.raw if isinstance(item, RawUpdate) else item.to_dict()
        chat = chat_of(raw)
        text = written_down(raw, item.update_id)
        await self._commit(item.update_id, chat, text)
        if chat is None:
            return
        try:
            self._on_committed(chat)
        except Exception:
            # It is committed, and the ledger is replayed at the next start.
            log.exception("telling of an update in chat %s failed", chat)

    async def _commit(self, update_id: int, chat: str | None, raw: str) -> None:
        delay = 0.5
        while True:
            try:
                await written(lambda: self._ledger.commit_update(update_id, chat, raw))
            except LedgerError as error:
                if not self.ill:
                    log.warning("updates wait, as the ledger is ill: %s", error)
                self.ill = str(error) or "ill"
                await self._clock.sleep(delay)
                delay = min(LONGEST_WAIT, delay * 2)
                continue
            if self.ill:
                log.info("the ledger takes updates again")
                self.ill = ""
            return
