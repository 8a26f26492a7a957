"""Steps in a run's life: begun before its container is, ended after it is gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from klad import slots
from klad.ledger import _read
from klad.ledger._thread import step
from klad.ledger.outbox import Outbox
from klad.words import Run, Slot, Turn


@dataclass(frozen=True, slots=True)
class Granted:
    """A place was free and the run is on record; start its container."""

    run: Run


@dataclass(frozen=True, slots=True)
class Occupied:
    """The slot has a run already."""

    run: Run


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Every place is taken; `evict` is a resting worker that could go."""

    evict: Run | None
    turn: int


@dataclass(frozen=True, slots=True)
class Nothing:
    """No turn is open here."""


Begun = Granted | Occupied | NoPlace | Nothing


@dataclass(frozen=True, slots=True)
class Ended:
    """What ending a run did: the turn that it held, and whether that waits to be tried again."""

    turn: Turn | None
    requeued: bool


class Runs(Outbox):
    @step
    def begin_run(
        self, chat: str, slot: Slot, run_id: str, token_hash: str, mounts: dict[str, tuple[int, int]], limit: int
    ) -> Begun:
        """Take one of `limit` places for the slot's open turn and put the run on record, if all that is so."""
        live = _read.live_runs(self.tables)
        mine = next((run for run in live if run.chat == chat and run.slot == slot), None)
        if mine is not None:
            return Occupied(mine)
        turn = self.tables.Turn
        open_here = (turn.chat == chat, turn.slot == slot, turn.state == "open")
        first = turn.select().where(*open_here).order_by(turn.id).first()
        if first is None:
            return Nothing()
        if not slots.place_for(slot, live, limit):
            taken = turn.select(turn.run).where(turn.state == "taken", turn.run.is_null(False))
            wanted = turn.select(turn.chat).where(turn.state == "open", turn.slot == "worker")
            held = {row.run_id for row in taken}
            waiting = {row.chat for row in wanted}
            busy = frozenset(held | {run.id for run in live if run.slot == "worker" and run.chat in waiting})
            return NoPlace(slots.evictable(live, busy), first.id)
        run = self.tables.Run.create(
            id=run_id, chat=chat, slot=slot, token_hash=token_hash, created=self.clock(), mounts=json.dumps(mounts)
        )
        return Granted(_read.run_of(run))

    @step
    def run_started(self, run_id: str, container: str) -> None:
        run = self.tables.Run
        run.update(container=container, started=self.clock()).where(run.id == run_id).execute()
        run.update(state="live").where(run.id == run_id, run.state == "starting").execute()

    @step
    def retire_if_idle(self, run_id: str) -> bool:
        """Tell a resting run to go; False when it works, when work waits for it, or when it is going."""
        run, turn = self.tables.Run, self.tables.Turn
        row = run.get_or_none(id=run_id)
        if row is None or row.state not in ("starting", "live"):
            return False
        wanted = turn.select().where(turn.chat == row.chat, turn.slot == row.slot, turn.state.in_(("open", "taken")))
        if wanted.exists():
            return False
        run.update(state="retiring").where(run.id == run_id).execute()
        return True

    @step
    def retire(self, run_id: str) -> None:
        """Tell a run to go, whatever it does."""
        run = self.tables.Run
        run.update(state="retiring").where(run.id == run_id, run.state != "ended").execute()

    @step
    def end_run(self, run_id: str, code: int | None, cause: str) -> Ended:
        """Put a run's end on record, and decide about the turn it held. A repeat does nothing."""
        return self._end_run(run_id, code, cause)

    @step
    def abandon_start(self, run_id: str, cause: str) -> None:
        """The container could not be started: its run ends, the turn stays open.

        Should the container have taken the turn all the same, before the engine lost it, this is its end.
        """
        self._end_run(run_id, None, cause)

    def _end_run(self, run_id: str, code: int | None, cause: str) -> Ended:
        row = self.tables.Run.get_or_none(id=run_id)
        if row is None or row.state == "ended":
            return Ended(None, False)
        row.state, row.ended, row.exit_code, row.cause = "ended", self.clock(), code, cause
        row.save()
        turn = self.tables.Turn
        held = turn.get_or_none((turn.run == run_id) & (turn.state == "taken"))
        if held is None:
            return Ended(None, False)
        fate = slots.after_exit(_read.turn_of(held), cause)
        if isinstance(fate, slots.Requeue):
            held.state, held.run, held.taken, held.progress = "open", None, None, None
            held.tool, held.tail = "", ""
            held.save()
            return Ended(_read.turn_of(held), True)
        self._end(held, "failed", fate.text)
        return Ended(_read.turn_of(turn.get_by_id(held.id)), False)

    @step
    def fail_open_turn(self, turn_id: int, text: str) -> bool:
        """End a turn that can't be started at all."""
        row = self.tables.Turn.get_or_none(id=turn_id)
        if row is None or row.state != "open":
            return False
        self._end(row, "failed", text)
        return True

    @step
    def overdue(self, run_id: str, turn_id: int, text: str) -> bool:
        """End a turn that its run still holds past its deadline; the run is to go. False: it had ended."""
        turn, run = self.tables.Turn, self.tables.Run
        row = turn.get_or_none(id=turn_id)
        if row is None or row.state != "taken" or row.run_id != run_id:
            return False
        self._end(row, "failed", text)
        run.update(state="retiring").where(run.id == run_id, run.state != "ended").execute()
        return True

    @step
    def say_waiting(self, chat: str, slot: Slot, text: str) -> bool:
        """Say aloud, once for each turn, that the slot's open turns wait."""
        turn = self.tables.Turn
        rows = list(turn.select().where(turn.chat == chat, turn.slot == slot, turn.state == "open", ~turn.waiting))
        if not rows:
            return False
        turn.update(waiting=True).where(turn.id.in_([row.id for row in rows])).execute()
        self._say(chat, text, turn=rows[0].id, reply_to=rows[0].reply_to)
        return True

    @step
    def live_run(self, chat: str, slot: Slot) -> Run | None:
        return _read.live_run(self.tables, chat, slot)

    @step
    def live_runs(self) -> list[Run]:
        return _read.live_runs(self.tables)

    @step
    def ended_or_unknown(self, run_ids: Sequence[str]) -> list[str]:
        """Of these, the runs whose containers nobody may need any more."""
        live = {run.id for run in _read.live_runs(self.tables)}
        return [run_id for run_id in run_ids if run_id not in live]

    @step
    def waiting_slots(self) -> list[tuple[str, Slot]]:
        """Slots with an open turn and no run, those for answering first, then by age."""
        turn = self.tables.Turn
        held = {(run.chat, run.slot) for run in _read.live_runs(self.tables)}
        rows = turn.select().where(turn.state == "open").order_by(turn.slot, turn.id)
        found: dict[tuple[str, Slot], None] = {}
        for row in rows:
            if (row.chat, row.slot) not in held:
                found[(row.chat, row.slot)] = None
        return list(found)

    @step
    def taken_turn(self, run_id: str) -> Turn | None:
        turn = self.tables.Turn
        row = turn.get_or_none((turn.run == run_id) & (turn.state == "taken"))
        return None if row is None else _read.turn_of(row)

    @step
    def open_turn(self, chat: str, slot: Slot) -> Turn | None:
        turn = self.tables.Turn
        open_here = (turn.chat == chat, turn.slot == slot, turn.state == "open")
        row = turn.select().where(*open_here).order_by(turn.id).first()
        return None if row is None else _read.turn_of(row)
