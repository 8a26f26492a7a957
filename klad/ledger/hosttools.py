"""The host's tools, as steps: what an agent may ask of its tenant. Idempotent by (run, call)."""

from __future__ import annotations

from typing import Any

from klad import texts
from klad.ledger import _read
from klad.ledger._thread import step
from klad.ledger.journal import Journal
from klad.ledger.rows import CancelWorker, Outbox, Signalled, ToolResult, Wanted


class HostTools(Journal):
    @step
    def call_tool(self, run_id: str, call_id: str, name: str, args: dict[str, Any]) -> ToolResult:
        """A host tool, once for each (run, call): a repeat gets the first result and no nudges."""
        tool_call = self.tables.ToolCall
        known = tool_call.get_or_none((tool_call.run == run_id) & (tool_call.call == call_id))
        if known is not None:
            return ToolResult(known.text, bool(known.error))
        result = self._tool(self.tables.Run.get_by_id(run_id), name, args)
        tool_call.create(run=run_id, call=call_id, text=result.text, error=result.error)
        return result

    def _tool(self, run_row: Any, name: str, args: dict[str, Any]) -> ToolResult:
        chat = run_row.chat
        turn = self.tables.Turn
        holder = turn.get_or_none((turn.run == run_row.id) & (turn.state == "taken"))
        if holder is None:
            # Cancelled or overdue: after a stop, an agent on its last breath must not begin anything.
            return ToolResult("This turn is over; nothing was done.", error=True)
        state = _read.chat_state(self.tables, chat)
        text = str(args.get("text") or args.get("query") or args.get("reason") or "").strip()
        worker = state.worker if state.worker is not None and state.worker.state == "taken" else None
        if name == "worker_status":
            return ToolResult(texts.status(state, self.clock()))
        if not text and name != "cancel_worker":
            return ToolResult(f"{name} needs some text.", error=True)
        match name:
            case "steer_worker":
                if worker is None or worker.run is None:
                    return ToolResult("No worker is running, so there is nobody to steer.", error=True)
                words = {"turn": worker.id, "kind": "steer", "text": text[:8000], "at": self.clock()}
                self.tables.Signal.create(run=worker.run, **words)
                passed_on = "Passed on to the worker; it reads this at its next step."
                return ToolResult(passed_on, nudges=(Signalled(worker.run),))
            case "queue_task":
                return self._queue_task(holder, text[:32_000], state.worker is None)
            case "cancel_worker":
                if worker is None or worker.run is None:
                    return ToolResult("No worker is running.", error=True)
                self._end(self.tables.Turn.get_by_id(worker.id), "cancelled", "■ Cancelled.")
                run = self.tables.Run
                run.update(state="retiring").where(run.id == worker.run, run.state != "ended").execute()
                return ToolResult(
                    f"Cancelled: {worker.title}",
                    nudges=(Outbox(chat), CancelWorker(chat, worker.run, text or "asked in the chat")),
                )
            case "search_history":
                return ToolResult(self._search(chat, text) or "Nothing found.")
            case "remember":
                self.tables.Memory.create(chat=chat, text=text[:2000], at=self.clock())
                return ToolResult("Remembered.")
        return ToolResult(f"There is no tool {name!r}.", error=True)

    def _queue_task(self, holder: Any, text: str, free: bool) -> ToolResult:
        turn = self.tables.Turn
        title, kind = _read.title_and_kind(text)
        turn.create(
            chat=holder.chat,
            slot="worker",
            created=self.clock(),
            request=text,
            title=title,
            kind=kind,
            reply_to=self._asked_in(holder, text),
        )
        open_turns = turn.select().where(
            turn.chat == holder.chat, turn.slot == "worker", turn.state == "open", turn.request.is_null(False)
        )
        place = open_turns.count()
        queued = "It is the worker's next task." if place == 1 else f"It is number {place} in the worker's queue."
        words = "The worker is free and takes it now." if free else queued
        return ToolResult(words, nudges=(Wanted(holder.chat, "worker"),))

    def _asked_in(self, holder: Any, text: str) -> int | None:
        """The message that a task comes from, for its answer to reply to; else the turn's first one."""
        message = self.tables.Message
        for row in message.select().where(message.turn == holder.id).order_by(message.id):
            if text in row.text or row.text.strip() in text:
                return int(row.telegram_id)
        return None if holder.reply_to is None else int(holder.reply_to)

    def _search(self, chat: str, query: str) -> str:
        message, outbox = self.tables.Message, self.tables.Outbox
        found = [
            (row.at, "user", row.text)
            for row in message.select()
            .where(message.chat == chat, message.text.contains(query))
            .order_by(message.id.desc())
            .limit(10)
        ][::-1]
        found += [
            (row.at, "klad", row.text)
            for row in outbox.select()
            .where(outbox.chat == chat, outbox.text.contains(query))
            .order_by(outbox.id.desc())
            .limit(10)
        ][::-1]
        found.sort(key=lambda item: item[0])
        return "\n".join(f"{who}: {texts.excerpt(text, query)}" for _, who, text in found)
