"""Steps that agents cause through the gateway: taking turns and posting events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peewee import JOIN

from klad import brief, texts
from klad.ledger import _read
from klad.ledger._thread import step
from klad.ledger.rows import (
    Gone,
    Nudge,
    Outbox,
    Recorded,
    TurnEnded,
    TurnTaken,
    Wanted,
)
from klad.ledger.runs import Runs
from klad.markdown import code
from klad.words import Event, Run, Signal

TAIL_CHARS = 2000
RESULT_CHARS = 200_000
LARGEST = 10**15
"""What an agent says of itself is no number beyond this."""


class Journal(Runs):
    about: brief.About = brief.About()

    @step
    def run_by_token(self, token_hash: str) -> Run | None:
        """The run that holds this token, unless it has ended (the token died with it)."""
        row = self.tables.Run.get_or_none(token_hash=token_hash)
        return None if row is None or row.state == "ended" else _read.run_of(row)

    @step
    def take_turn(self, run_id: str, after: int) -> TurnTaken | Gone | None:
        """Close the slot's oldest open turn to joiners and bind it to the run, or return it again.

        A chat run is given one turn, a worker's run as many as come until it is told to go.
        """
        run_row = self.tables.Run.get_or_none(id=run_id)
        if run_row is None or run_row.state == "ended":
            return Gone()
        turn = self.tables.Turn
        held = turn.get_or_none((turn.run == run_id) & (turn.state == "taken"))
        if held is not None:
            if held.id > after:
                return self._taken(held, first=False)
            self._end(held, "failed", "The agent went on without an answer to this.")
        if run_row.state == "retiring" or (run_row.slot == "chat" and run_row.last_turn is not None):
            return Gone()
        row = (
            turn.select()
            .where(turn.chat == run_row.chat, turn.slot == run_row.slot, turn.state == "open")
            .order_by(turn.id)
            .first()
        )
        if row is None:
            return None
        row.state, row.run, row.taken = "taken", run_id, self.clock()
        row.attempts, row.waiting = row.attempts + 1, False
        row.save()
        signal = self.tables.Signal
        # Words for a turn that is tried again: the run that they were told to is gone.
        unread = (signal.turn == row.id, signal.kind == "steer", signal.taken_at_step.is_null())
        signal.update(run=run_id).where(*unread).execute()
        run_row.last_turn = row.id
        if run_row.state == "starting":
            run_row.state = "live"  # it asks for a turn, so it lives, whatever the engine has told so far
        run_row.save(only=[self.tables.Run.last_turn, self.tables.Run.state])
        return self._taken(row, first=True)

    @step
    def record(self, run_id: str, events: Sequence[Event]) -> Recorded:
        """Append to the run's journal, with all consequences; what is there already is passed over."""
        nudges: list[Nudge] = []
        event = self.tables.Event
        run_row = self.tables.Run.get_by_id(run_id)
        for item in events:
            kept = {} if item.kind == "output" else item.data
            added = (
                event.insert(
                    run=run_id,
                    seq=item.seq,
                    turn=item.turn,
                    kind=item.kind,
                    data=json.dumps(kept, ensure_ascii=False),
                    at=self.clock(),
                )
                .on_conflict_ignore()
                .as_rowcount()
                .execute()
            )
            if added:
                nudges += self._follow(run_row, item)
        return Recorded(self._contiguous(run_id), tuple(dict.fromkeys(nudges)))

    @step
    def signals(self, run_id: str, after: int) -> list[Signal]:
        signal = self.tables.Signal
        rows = signal.select().where(signal.run == run_id, signal.id > after).order_by(signal.id)
        return [Signal(row.id, row.kind, row.text, row.turn) for row in rows]

    @step
    def signal_cancel(self, run_id: str, reason: str) -> None:
        """Tell a run to end the turn that it has, or had last."""
        run = self.tables.Run.get_or_none(id=run_id)
        if run is not None:
            self.tables.Signal.create(run=run_id, turn=run.last_turn, kind="cancel", text=reason, at=self.clock())

    def _taken(self, row: Any, *, first: bool) -> TurnTaken:
        message = self.tables.Message
        rows = list(message.select().where(message.turn == row.id).order_by(message.id))
        asked = [brief.Asked(m.id, m.sender, m.text, m.at, m.reply_text) for m in rows]
        if row.request is not None:
            asked.insert(0, brief.Asked(0, "queue", row.request, row.created))
        turn = _read.turn_of(row)
        memory = self.tables.Memory
        composed = brief.compose(
            turn,
            asked,
            self._history(row.chat, {m.id for m in rows}),
            [m.text for m in memory.select().where(memory.chat == row.chat).order_by(memory.id)],
            _read.chat_state(self.tables, row.chat),
            self.about,
            self.clock(),
        )
        return TurnTaken(turn, composed, first)

    def _history(self, chat: str, but: set[int]) -> list[brief.Said]:
        message, outbox, turn = self.tables.Message, self.tables.Outbox, self.tables.Turn
        known = self.tables.Chat.get_or_none(id=chat)
        fresh_in, fresh_out = (known.fresh_from, known.fresh_outbox) if known else (0, 0)
        said = [
            brief.Said("user", row.text, row.at)
            for row in message.select()
            .where(message.chat == chat, message.id > fresh_in)
            .order_by(message.id.desc())
            .limit(brief.HISTORY_ITEMS)
            if row.id not in but
        ][::-1]
        answers = (
            outbox.select(outbox.text, outbox.at, turn.slot.alias("slot"))
            .join(turn, JOIN.LEFT_OUTER, on=(outbox.turn == turn.id))
            .where(outbox.chat == chat, outbox.id > fresh_out)
            .order_by(outbox.id.desc())
            .limit(brief.HISTORY_ITEMS)
            .dicts()
        )
        said += [brief.Said("worker" if a["slot"] == "worker" else "klad", a["text"], a["at"]) for a in answers][::-1]
        # The sort is stable: Telegram's dates are whole seconds, and what shares one stays in its order.
        return sorted(said, key=lambda item: item.at)

    def _contiguous(self, run_id: str) -> int:
        event = self.tables.Event
        rows = self.database.execute_sql(
            "SELECT MAX(seq), COUNT(*) FROM event WHERE run = ? AND seq >= 1", (run_id,)
        ).fetchone()
        top, count = rows[0] or 0, rows[1]
        if top == count:
            return int(top)
        seqs = [
            row.seq for row in event.select(event.seq).where(event.run == run_id, event.seq >= 1).order_by(event.seq)
        ]
        reached = 0
        for seq in seqs:
            if seq != reached + 1:
                break
            reached = seq
        return reached

    def _follow(self, run_row: Any, item: Event) -> list[Nudge]:
        data = item.data
        if item.kind == "crash":
            self.tables.Run.update(crash=str(data.get("stderr", ""))[-8192:]).where(
                self.tables.Run.id == run_row.id
            ).execute()
            return []
        if item.kind == "steered":
            signal = self.tables.Signal
            signal.update(taken_at_step=_whole(data.get("at_step"))).where(
                signal.id == _whole(data.get("signal")), signal.run == run_row.id
            ).execute()
            return []
        turn = self.tables.Turn
        row = turn.get_or_none(id=item.turn) if item.turn is not None else None
        if row is None or row.run_id != run_row.id or row.state != "taken":
            return []  # the turn has ended (cancelled, overdue): kept in the journal, without consequence
        match item.kind:
            case "say":
                text = str(data.get("text", ""))[:RESULT_CHARS]
                if not text.strip():
                    return []
                self._say(row.chat, text, turn=row.id)
                return [Outbox(row.chat)]
            case "done" | "failed":
                text = str(data.get("text", ""))[:RESULT_CHARS].strip()
                failed = item.kind == "failed"
                left = data.get("left")
                if isinstance(left, int) and 0 < left < 1_000_000:
                    text = f"{text}\n\n{texts.left_running(left)}"
                self._end(row, item.kind, text or ("It failed without a word." if failed else "Done."))
                return [
                    Outbox(row.chat),
                    TurnEnded(row.chat, run_row.slot, run_row.id, row.id),
                    *self._keep_late_words(row),
                ]
            case "tool":
                name, shown = str(data.get("name", "")), str(data.get("input", ""))
                turn.update(tools=turn.tools + 1, tool=f"{name}: {shown}"[:300]).where(turn.id == row.id).execute()
            case "tool_end":
                tail = str(data.get("tail", ""))[-TAIL_CHARS:]
                turn.update(tool="", tail=tail or row.tail).where(turn.id == row.id).execute()
            case "output":
                turn.update(tail=str(data.get("tail", ""))[-TAIL_CHARS:]).where(turn.id == row.id).execute()
            case "progress":
                share = {"done": _number(data.get("done")), "total": _number(data.get("total"))}
                progress = json.dumps({**share, "step": str(data.get("step") or "")[:300]})
                turn.update(progress=progress).where(turn.id == row.id).execute()
        return []

    def _keep_late_words(self, row: Any) -> list[Nudge]:
        """Steering that the turn ended without: it was promised to be read, so it is the worker's next task."""
        signal, turn = self.tables.Signal, self.tables.Turn
        late = list(
            signal.select().where(signal.turn == row.id, signal.kind == "steer", signal.taken_at_step.is_null())
        )
        for words in late:
            title, kind = _read.title_and_kind(words.text)
            turn.create(
                chat=row.chat,
                slot="worker",
                created=self.clock(),
                request=words.text,
                title=title,
                kind=kind,
                reply_to=row.reply_to,
            )
            self._say(row.chat, f"This came too late for that task, so it is the next one: {code(title)}")
        return [Wanted(row.chat, "worker")] if late else []


def _number(value: object) -> float | None:
    """What an agent calls a number, if it is one that anybody can reckon with."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
        return None
    return float(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST else None
