"""Rows into the glossary's frozen values, and the reading of a chat's state. Runs inside steps."""

from __future__ import annotations

import json
from typing import Any

from klad import texts
from klad.estimate import kind_of
from klad.words import ChatState, Message, Outgoing, Progress, Run, Turn


def turn_of(row: Any) -> Turn:
    return Turn(
        id=row.id,
        chat=row.chat,
        slot=row.slot,
        state=row.state,
        created=row.created,
        run=row.run_id,
        taken=row.taken,
        ended=row.ended,
        request=row.request,
        title=row.title,
        attempts=row.attempts,
        tools=row.tools,
        progress=Progress(**json.loads(row.progress)) if row.progress else None,
        tail=row.tail,
        waiting=bool(row.waiting),
        result=row.result,
        reply_to=row.reply_to,
    )


def run_of(row: Any) -> Run:
    return Run(
        id=row.id,
        chat=row.chat,
        slot=row.slot,
        state=row.state,
        created=row.created,
        ended=row.ended,
        mounts={path: (pair[0], pair[1]) for path, pair in json.loads(row.mounts).items()},
        last_turn=row.last_turn,
        crash=row.crash,
    )


def message_of(row: Any) -> Message:
    return Message(
        id=row.id,
        chat=row.chat,
        sender=row.sender,
        text=row.text,
        at=row.at,
        telegram_id=row.telegram_id,
        reply_to=row.reply_to,
    )


def outgoing_of(row: Any) -> Outgoing:
    return Outgoing(
        id=row.id,
        chat=row.chat,
        text=row.text,
        turn=row.turn_id,
        reply_to=row.reply_to,
        final=bool(row.final),
        sent_parts=row.sent_parts,
        attempts=row.attempts,
    )


def live_runs(tables: Any) -> list[Run]:
    run = tables.Run
    return [run_of(row) for row in run.select().where(run.state != "ended").order_by(run.created)]


def live_run(tables: Any, chat: str, slot: str) -> Run | None:
    run = tables.Run
    row = run.select().where(run.chat == chat, run.slot == slot, run.state != "ended").first()
    return None if row is None else run_of(row)


def chat_state(tables: Any, chat: str) -> ChatState:
    """The chat as it is in this transaction."""
    turn = tables.Turn
    active = list(
        turn.select()
        .where(turn.chat == chat, turn.state.in_(("open", "taken")), turn.slot.in_(("chat", "worker")))
        .order_by(turn.state.desc(), turn.id)  # "taken" before "open"
    )
    workers = [row for row in active if row.slot == "worker"]
    talks = [row for row in active if row.slot == "chat"]
    recent = (
        turn.select()
        .where(turn.chat == chat, turn.slot == "worker", turn.state.in_(("done", "failed", "cancelled")))
        .order_by(turn.ended.desc())
        .limit(5)
    )
    durations: tuple[float, ...] = ()
    if workers and workers[0].kind:
        like = (
            turn.select(turn.taken, turn.ended)
            .where(
                turn.chat == chat,
                turn.slot == "worker",  # a question in the same words took the chat slot a second
                turn.kind == workers[0].kind,
                turn.state == "done",
                turn.taken.is_null(False),
            )
            .order_by(turn.ended.desc())
            .limit(10)
        )
        durations = tuple(row.ended - row.taken for row in like)
    return ChatState(
        chat=chat,
        worker=turn_of(workers[0]) if workers else None,
        talk=turn_of(talks[0]) if talks else None,
        queue=tuple(turn_of(row) for row in workers[1:]),
        worker_run=live_run(tables, chat, "worker"),
        chat_run=live_run(tables, chat, "chat"),
        recent=tuple(turn_of(row) for row in recent),
        lines=workers[0].tail if workers else "",
        tool=workers[0].tool if workers else "",
        durations=durations,
    )


def title_and_kind(text: str) -> tuple[str, str]:
    """What a task is called, and what makes it like another."""
    return texts.title(text), kind_of(text)
