"""What this package needs from its neighbours, and no more of them than that."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from klad.errors import LedgerError
from klad.words import Outgoing

T = TypeVar("T")
Future = concurrent.futures.Future


class UpdateLedger(Protocol):
    """Where updates are written before Telegram may forget them."""

    def commit_update(self, update_id: int, chat: str | None, raw: str) -> Future[bool]: ...


class OutboxLedger(Protocol):
    """Where what is to be sent waits in order."""

    def outbox_chats(self) -> Future[list[str]]: ...
    def outbox_take(self, chat: str) -> Future[Outgoing | None]: ...
    def outbox_release(self, row_id: int) -> Future[Any]: ...
    def outbox_part(self, row_id: int, telegram_id: int) -> Future[Any]: ...
    def outbox_sent(self, row_id: int, telegram_id: int) -> Future[Any]: ...
    def outbox_failed(self, row_id: int, reason: str) -> Future[Any]: ...


async def written(step: Callable[[], Future[T]]) -> T:
    """Carry out one ledger step.

    Raises LedgerError for anything that went wrong in it. A step that the ledger itself cancelled
    (it is closing) is one of those: seen as a CancelledError it would look as if *this* task was
    to end, and a polling task that believes so ends silently.
    """
    try:
        return await asyncio.wrap_future(step())
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LedgerError("the ledger dropped a step") from None
    except LedgerError:
        raise
    except Exception as error:
        raise LedgerError(f"{type(error).__name__}: {error}") from error
