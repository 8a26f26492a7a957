"""Steps from an update's arrival to its place in a turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from klad import commands
from klad.ledger import _read
from klad.ledger._thread import LedgerThread, step
from klad.routing import ToSlot
from klad.words import ChatState, Inbound, Slot, Turn

CHAT_TITLE = 200


@dataclass(frozen=True, slots=True)
class Update:
    update_id: int
    raw: str


@dataclass(frozen=True, slots=True)
class StopBegun:
    """A stop is on record; the runs are to be ended, then `finish_turn` says so."""

    turn: int
    runs: tuple[tuple[Slot, str], ...]
    """(slot, run) of each container to end."""
    dropped: int
    """Open turns that ended with it."""
    what: str
    """Title of the task that was running."""
    since: float


class Inbox(LedgerThread):
    tables: Any
    clock: Callable[[], float]
    redact: Callable[[str], str]

    @step
    def commit_update(self, update_id: int, chat: str | None, raw: str) -> bool:
        """Keep an update (Bot API `Update`, as JSON). False: it was there already."""
        added = (
            self.tables.Update.insert(update_id=update_id, chat=chat, json=raw, at=self.clock())
            .on_conflict_ignore()
            .as_rowcount()
            .execute()
        )
        if added and chat is None:
            self._mark(update_id, "ignored", "it concerns no chat")
        return bool(added)

    @step
    def pending_updates(self, chat: str) -> list[Update]:
        """What came in this chat and was not routed yet, oldest first."""
        update = self.tables.Update
        rows = update.select().where(update.state == "new", update.chat == chat).order_by(update.update_id).limit(200)
        return [Update(row.update_id, row.json) for row in rows]

    @step
    def chats_to_wake(self) -> list[str]:
        """Chats with something unfinished: updates, turns, runs."""
        update, turn, run = self.tables.Update, self.tables.Turn, self.tables.Run
        found = {row.chat for row in update.select(update.chat).where(update.state == "new") if row.chat}
        found |= {row.chat for row in turn.select(turn.chat).where(turn.state.in_(("open", "taken")))}
        found |= {row.chat for row in run.select(run.chat).where(run.state != "ended")}
        return sorted(found)

    @step
    def ignore_update(self, update_id: int, why: str) -> None:
        self._mark(update_id, "ignored", why)

    @step
    def route(
        self, update_id: int, inbound: Inbound, decide: Callable[[ChatState], ToSlot]
    ) -> tuple[ToSlot, Turn] | None:
        """Put a message where `decide` says, in the transaction whose state it is shown.

        It joins the slot's open turn made of messages, or opens one. None: routed before.
        """
        if not self._mark(update_id, "done"):
            return None
        self._note_chat(inbound)
        state = _read.chat_state(self.tables, inbound.chat)
        decision = decide(state)
        turn = self.tables.Turn
        row = (
            turn.select()
            .where(
                turn.chat == inbound.chat,
                turn.slot == decision.slot,
                turn.state == "open",
                turn.request.is_null(),
            )
            .order_by(turn.id.desc())
            .first()
        )
        if row is None:
            title, kind = _read.title_and_kind(inbound.text)
            row = turn.create(
                chat=inbound.chat,
                slot=decision.slot,
                created=self.clock(),
                title=title,
                kind=kind,
                reply_to=inbound.telegram_id,
            )
        self._add_message(update_id, inbound, row.id)
        return decision, _read.turn_of(turn.get_by_id(row.id))

    @step
    def answer(self, update_id: int, inbound: Inbound, reply: Callable[[ChatState, float], str]) -> bool:
        """Answer a message from state: a turn of the router's, ended with its last words at once."""
        if not self._mark(update_id, "done"):
            return False
        text = reply(_read.chat_state(self.tables, inbound.chat), self.clock())
        self._answered_turn(update_id, inbound, text)
        return True

    @step
    def deny(self, update_id: int, inbound: Inbound, text: str, every_s: float) -> bool:
        """Tell a stranger that they may not speak here, once in `every_s`; True when told now."""
        if not self._mark(update_id, "ignored", f"sender {inbound.sender_id} is not allowed"):
            return False
        self._note_chat(inbound)
        chat = self.tables.Chat.get_by_id(inbound.chat)
        if chat.told_denied is not None and self.clock() - chat.told_denied < every_s:
            return False
        chat.told_denied = self.clock()
        chat.save()
        self._say(inbound.chat, text, reply_to=inbound.telegram_id)
        return True

    @step
    def start_afresh(self, update_id: int, inbound: Inbound, reply: Callable[[bool], str]) -> bool:
        """`/new`: what was said before becomes archive, and a resting worker is told to go."""
        if not self._mark(update_id, "done"):
            return False
        state = _read.chat_state(self.tables, inbound.chat)
        self._answered_turn(update_id, inbound, reply(state.worker is not None))
        message, outbox, chat = self.tables.Message, self.tables.Outbox, self.tables.Chat
        last_in = message.select(message.id).where(message.chat == inbound.chat).order_by(message.id.desc()).first()
        last_out = outbox.select(outbox.id).where(outbox.chat == inbound.chat).order_by(outbox.id.desc()).first()
        chat.update(fresh_from=last_in.id if last_in else 0, fresh_outbox=last_out.id if last_out else 0).where(
            chat.id == inbound.chat
        ).execute()
        run = self.tables.Run
        run.update(state="retiring").where(
            run.chat == inbound.chat, run.slot == "worker", run.state == "live"
        ).execute()
        return True

    @step
    def begin_stop(self, update_id: int, inbound: Inbound) -> StopBegun | None:
        """Put a stop on record: every turn of the chat is `cancelled`, its runs take no more turns.

        The stop is a turn of the router's that ends when the runs are verified to be gone.
        """
        if not self._mark(update_id, "done"):
            return None
        self._note_chat(inbound)
        state = _read.chat_state(self.tables, inbound.chat)
        stop = self._router_turn(inbound.chat, "stop", inbound.telegram_id)
        self._add_message(update_id, inbound, stop.id)
        turn, run = self.tables.Turn, self.tables.Run
        rows = list(
            turn.select().where(
                turn.chat == inbound.chat, turn.state.in_(("open", "taken")), turn.slot.in_(("chat", "worker"))
            )
        )
        for row in rows:
            self._end(row, "cancelled", "■ Cancelled.")
            if row.state == "open":
                # One message for all that never began: the stop's own answer counts them.
                outbox = self.tables.Outbox
                outbox.update(state="folded").where(outbox.turn == row.id, outbox.final).execute()
        run.update(state="retiring").where(run.chat == inbound.chat, run.state != "ended").execute()
        main = state.worker or state.talk
        runs = self._retiring(inbound.chat)
        # A turn that a container was just starting for is what is stopped, and nothing that was dropped.
        starting = bool(runs) and main is not None and main.state == "open"
        begun = StopBegun(
            turn=stop.id,
            runs=runs,
            dropped=sum(row.state == "open" for row in rows) - starting,
            what=main.title if main is not None and (starting or main.state == "taken") else "",
            since=stop.taken,
        )
        # With the turn, so that whoever takes over after a crash asks the engine for the same runs.
        stop.request = json.dumps([begun.runs, begun.dropped, begun.what])
        stop.save()
        return begun

    @step
    def unfinished_stops(self, chat: str) -> list[StopBegun]:
        """Stops that were begun and not answered, as they were begun."""
        turn = self.tables.Turn
        rows = turn.select().where(
            turn.chat == chat, turn.slot == "router", turn.state == "taken", turn.request.is_null(False)
        )
        found = []
        for row in rows.order_by(turn.id):
            runs, dropped, what = json.loads(row.request)
            found.append(StopBegun(row.id, tuple((slot, run) for slot, run in runs), dropped, what, row.taken))
        return found

    @step
    def finish_turn(self, turn_id: int, text: str) -> bool:
        """End a turn of the router's with its last words; False: it had ended."""
        turn = self.tables.Turn.get_or_none(id=turn_id)
        if turn is None or turn.state not in ("open", "taken"):
            return False
        self._end(turn, "done", text)
        return True

    @step
    def answer_if_open(self, turn_id: int, reply: Callable[[ChatState, float], str]) -> bool:
        """Answer the status questions of a turn that no run has taken, from state; False: taken or ended meanwhile.

        Other words that joined the turn are no such question: they stay open for a run.
        """
        row = self.tables.Turn.get_or_none(id=turn_id)
        if row is None or row.state != "open":
            return False
        message = self.tables.Message
        rows = list(message.select().where(message.turn == turn_id).order_by(message.id))
        asking = [m for m in rows if commands.asks_for_status(m.text)]
        stay = [m for m in rows if m not in asking]
        if not asking:
            return False
        if stay:
            answered = self._router_turn(row.chat, asking[0].text, asking[0].telegram_id)
            message.update(turn=answered.id).where(message.id.in_([m.id for m in asking])).execute()
            row.title, row.kind = _read.title_and_kind(stay[0].text)
            row.reply_to = stay[0].telegram_id
        else:
            answered = row
            row.state = "done"  # before the state is read: it isn't on its way any more
        row.save()
        self._end(answered, "done", reply(_read.chat_state(self.tables, row.chat), self.clock()))
        return True

    @step
    def state(self, chat: str) -> ChatState:
        return _read.chat_state(self.tables, chat)

    def _retiring(self, chat: str) -> tuple[tuple[Slot, str], ...]:
        run = self.tables.Run
        rows = run.select().where(run.chat == chat, run.state == "retiring").order_by(run.slot)
        return tuple((row.slot, row.id) for row in rows)

    def _mark(self, update_id: int, state: str, why: str = "") -> bool:
        update = self.tables.Update
        changed = (
            update.update(state=state, why=why).where(update.update_id == update_id, update.state == "new").execute()
        )
        return bool(changed)

    def _note_chat(self, inbound: Inbound) -> None:
        chat = self.tables.Chat
        chat.insert(
            id=inbound.chat, kind=inbound.chat_kind, title=inbound.title[:CHAT_TITLE], created=self.clock()
        ).on_conflict(conflict_target=[chat.id], update={chat.title: inbound.title[:CHAT_TITLE]}).execute()

    def _add_message(self, update_id: int, inbound: Inbound, turn: int) -> None:
        self.tables.Message.create(
            chat=inbound.chat,
            update_id=update_id,
            turn=turn,
            sender_id=inbound.sender_id,
            sender=inbound.sender,
            text=inbound.text,
            at=inbound.at,
            telegram_id=inbound.telegram_id,
            reply_to=inbound.reply_to,
            reply_text=inbound.reply_text,
        )

    def _answered_turn(self, update_id: int, inbound: Inbound, text: str) -> None:
        self._note_chat(inbound)
        row = self._router_turn(inbound.chat, inbound.text, inbound.telegram_id)
        self._add_message(update_id, inbound, row.id)
        self._end(row, "done", text)

    def _router_turn(self, chat: str, text: str, reply_to: int) -> Any:
        """A turn that needs no run; `_end` it."""
        now, title = self.clock(), _read.title_and_kind(text)[0]
        return self.tables.Turn.create(
            chat=chat, slot="router", state="taken", created=now, taken=now, title=title, reply_to=reply_to
        )

    def _end(self, row: Any, state: str, text: str) -> None:
        """End a turn; its last words, when there are any, are its one final row of the outbox."""
        turn = self.tables.Turn
        # The result is shown to later agents, and so leaves as well.
        result = self.redact(text)
        turn.update(state=state, ended=self.clock(), result=result, tool="").where(turn.id == row.id).execute()
        if text.strip():
            self._say(row.chat, text, turn=row.id, reply_to=row.reply_to, final=True)

    def _say(
        self, chat: str, text: str, *, turn: int | None = None, reply_to: int | None = None, final: bool = False
    ) -> None:
        """The one way into the outbox, and so the one place where secrets are taken out of what leaves."""
        self.tables.Outbox.create(
            chat=chat, turn=turn, text=self.redact(text), reply_to=reply_to, final=final, at=self.clock()
        )
