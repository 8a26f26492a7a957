"""Steps from an outbox row to Telegram's receipt. In order per chat; see klad.telegram.sender."""

from __future__ import annotations

from typing import Any

from klad.ledger import _read
from klad.ledger._thread import step
from klad.ledger.inbox import Inbox
from klad.words import Outgoing

UNSENT = ("pending", "sending")


class Outbox(Inbox):
    @step
    def outbox_chats(self) -> list[str]:
        """Chats with rows to send, including those that a crash left in mid-send."""
        outbox = self.tables.Outbox
        return [row.chat for row in outbox.select(outbox.chat).where(outbox.state.in_(UNSENT)).distinct()]

    @step
    def outbox_take(self, chat: str) -> Outgoing | None:
        """The chat's oldest unsent row, on record as begun before it is handed out."""
        outbox = self.tables.Outbox
        row = outbox.select().where(outbox.state.in_(UNSENT), outbox.chat == chat).order_by(outbox.id).first()
        if row is None:
            return None
        row.state, row.attempts = "sending", row.attempts + 1
        row.save(only=[outbox.state, outbox.attempts])
        return _read.outgoing_of(row)

    @step
    def outbox_release(self, row_id: int) -> None:
        """Nothing of a row is under way after all (a refusal, a pause): when it is taken again, it is no repeat."""
        outbox = self.tables.Outbox
        again = {"state": "pending", "attempts": outbox.attempts - 1}
        outbox.update(**again).where(outbox.id == row_id, outbox.state == "sending").execute()

    @step
    def outbox_part(self, row_id: int, telegram_id: int) -> None:
        """One more part of a long text was delivered as message `telegram_id`."""
        outbox = self.tables.Outbox
        outbox.update(sent_parts=outbox.sent_parts + 1, telegram_id=telegram_id).where(outbox.id == row_id).execute()

    @step
    def outbox_sent(self, row_id: int, telegram_id: int) -> None:
        outbox = self.tables.Outbox
        sent = {"state": "sent", "telegram_id": telegram_id, "sent_at": self.clock()}
        outbox.update(**sent).where(outbox.id == row_id).execute()

    @step
    def outbox_failed(self, row_id: int, reason: str) -> None:
        """Telegram refuses it for good; `reason` in one line."""
        outbox = self.tables.Outbox
        outbox.update(state="failed", error=reason[:500]).where(outbox.id == row_id).execute()

    @step
    def say(self, chat: str, text: str) -> None:
        """Words of Klåd's own that answer no message (a parked chat, trouble with the engine)."""
        self._say(chat, text)

    @step
    def get_setting(self, key: str) -> str | None:
        row: Any = self.tables.Setting.get_or_none(key=key)
        return None if row is None else str(row.value)

    @step
    def set_setting(self, key: str, value: str) -> None:
        self.tables.Setting.replace(key=key, value=value).execute()
