"""Any order of steps, and a process killed between any two: every message is answered once, by one turn."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from klad import routing, texts
from klad.ledger import Gone, Granted, Ledger, TurnTaken
from klad.words import ChatState, Event, Slot
from tests.klad.ledger.support import Clock, do, inbound

CHATS = st.sampled_from(["7", "8"])
SLOTS = st.sampled_from(["chat", "worker"])
TEXTS = st.sampled_from(["build it", "status?", "what did step 2 print?"])
LIMIT = 3

ALWAYS = {
    "messages in a turn": "SELECT m.update_id FROM message m JOIN turn t ON t.id = m.turn ORDER BY m.update_id",
    "updates that wait": """SELECT update_id FROM "update" WHERE state = 'new' ORDER BY update_id""",
    "live runs": "SELECT slot FROM run WHERE state <> 'ended'",
    "wrong: an ended turn without its one final row, or another with one": """
        SELECT t.id, t.state, COUNT(o.id) n FROM turn t LEFT JOIN outbox o ON o.turn = t.id AND o.final
        GROUP BY t.id HAVING n <> (t.state IN ('done', 'failed', 'cancelled'))""",
    "wrong: a turn without messages that is no queued task": """
        SELECT id FROM turn WHERE request IS NULL AND id NOT IN (SELECT turn FROM message)""",
    "wrong: two runs in a slot": """
        SELECT chat, slot FROM run WHERE state <> 'ended' GROUP BY chat, slot HAVING COUNT(*) > 1""",
    "wrong: two taken turns in a slot": """
        SELECT chat, slot FROM turn WHERE state = 'taken' AND slot <> 'router'
        GROUP BY chat, slot HAVING COUNT(*) > 1""",
    "wrong: a taken turn that no run of its slot holds, and that would never end": """
        SELECT t.id FROM turn t
        LEFT JOIN run r ON r.id = t.run AND r.chat = t.chat AND r.slot = t.slot AND r.state <> 'ended'
        WHERE t.state = 'taken' AND t.slot <> 'router' AND r.id IS NULL""",
    "wrong: a chat run that served two turns": """
        SELECT r.id FROM run r JOIN turn t ON t.run = r.id WHERE r.slot = 'chat'
        GROUP BY r.id HAVING COUNT(*) > 1""",
}


class LedgerMachine(RuleBasedStateMachine):
    empty: Path
    """A ledger to copy; set by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="ledger"))
        self.path = self.directory / "ledger.db"
        self.clock = Clock()
        self.count = 0
        self.arrived: dict[int, tuple[str, str]] = {}
        self.routed: set[int] = set()
        self.last: dict[str, int] = {}
        """Run → its last finished turn, as its agent remembers it."""
        self.posted: dict[str, list[Event]] = {}

    @initialize()
    def begin(self) -> None:
        shutil.copy(self.empty, self.path)
        self._open()

    def _open(self) -> None:
        self.ledger = Ledger.open(self.path, clock=self.clock)

    def _rows(self, text: str) -> list[tuple[Any, ...]]:
        return list(self.ledger.database.execute_sql(text).fetchall())

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return do(self.ledger.submit(lambda: self._rows(text)))

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self._let_all_end()
            self.ledger.close()
        shutil.rmtree(self.directory)

    def _next(self) -> int:
        self.clock.now += 1.5
        self.count += 1
        return self.count

    def _pick_run(self, which: int) -> str | None:
        """One of the live runs, or the latest that has ended."""
        live = [run.id for run in do(self.ledger.live_runs())]
        known = live + [run for run in self.last if run not in live][-1:]
        return known[which % len(known)] if known else None

    # What people do

    @rule(chat=CHATS, text=TEXTS, route=st.sampled_from([True, True, True, False]))
    def say(self, chat: str, text: str, route: bool) -> None:
        number = self._next()
        assert do(self.ledger.commit_update(number, chat, text))
        assert not do(self.ledger.commit_update(number, chat, "the same again"))
        self.arrived[number] = chat, text
        if route:
            self._route_what_waits(chat)

    def _route_what_waits(self, chat: str) -> None:
        for update in do(self.ledger.pending_updates(chat)):
            text = update.raw
            said = inbound(text, chat, telegram_id=update.update_id)

            def decide(state: ChatState, text: str = text) -> routing.ToSlot:
                return routing.choose_slot(text, state)

            assert do(self.ledger.route(update.update_id, said, decide)) is not None
            assert do(self.ledger.route(update.update_id, said, decide)) is None
            self.routed.add(update.update_id)

    @rule(chat=CHATS, text=st.sampled_from(["/stop", "/stop and a crash before it is answered", "/new"]))
    def command(self, chat: str, text: str) -> None:
        number = self._next()
        do(self.ledger.commit_update(number, chat, text))
        self.arrived[number] = chat, text
        self.routed.add(number)
        if text == "/new":
            assert do(self.ledger.start_afresh(number, inbound(text, chat), texts.fresh))
            return
        begun = do(self.ledger.begin_stop(number, inbound(text, chat)))
        assert begun is not None
        state = do(self.ledger.state(chat))
        assert (state.worker, state.talk, state.queue) == (None, None, ())
        if text == "/stop":
            assert do(self.ledger.finish_turn(begun.turn, "Stopped."))

    # What slots do

    def _begin(self, chat: str, slot: Slot) -> str | None:
        run = f"klad-{self._next():012x}"
        begun = do(self.ledger.begin_run(chat, slot, run, f"hash of {run}", {}, LIMIT))
        if not isinstance(begun, Granted):
            return None
        self.last[run], self.posted[run] = 0, []
        return run

    @rule(take=st.sampled_from([True, True, False]))
    def begin_where_work_waits(self, take: bool) -> None:
        for chat, slot in do(self.ledger.waiting_slots()):
            run = self._begin(chat, slot)
            if run is not None and take:
                assert isinstance(do(self.ledger.take_turn(run, 0)), TurnTaken)

    @rule(which=st.integers(0, 5), started=st.booleans())
    def end_run(self, which: int, started: bool) -> None:
        run = self._pick_run(which)
        if run is None:
            return
        held = do(self.ledger.taken_turn(run))
        if not started:
            do(self.ledger.abandon_start(run, "no engine"))
            return
        ended = do(self.ledger.end_run(run, 137, "it was killed"))
        assert (ended.turn is not None) == (held is not None)
        if held is not None:
            assert not (ended.requeued and held.tools)

    @rule(which=st.integers(0, 5), how=st.sampled_from(["if it rests", "whatever it does", "as it is late"]))
    def send_away(self, which: int, how: str) -> None:
        run = self._pick_run(which)
        if run is None:
            return
        turn = do(self.ledger.taken_turn(run))
        if how == "whatever it does":
            do(self.ledger.retire(run))
        elif how == "if it rests":
            assert not (do(self.ledger.retire_if_idle(run)) and turn is not None)
        elif turn is not None:
            assert do(self.ledger.overdue(run, turn.id, "too late"))

    @rule(chat=CHATS, slot=SLOTS)
    def lose_patience(self, chat: str, slot: Slot) -> None:
        turn = do(self.ledger.open_turn(chat, slot))
        assert do(self.ledger.say_waiting(chat, slot, "it waits")) == (turn is not None and not turn.waiting)
        if turn is not None and slot == "chat":
            assert do(self.ledger.answer_if_open(turn.id, texts.status))

    # What agents do

    @rule(which=st.integers(0, 5))
    def take(self, which: int) -> None:
        run = self._pick_run(which)
        taken = do(self.ledger.take_turn(run, self.last[run])) if run is not None else None
        if run is not None and isinstance(taken, TurnTaken):
            assert taken.turn.run == run
            again = do(self.ledger.take_turn(run, self.last[run]))
            assert isinstance(again, TurnTaken)
            assert (again.turn, again.first) == (taken.turn, False)

    def _post(self, run: str, kind: str, turn: int, **data: Any) -> None:
        event = Event(len(self.posted[run]) + 1, kind, turn, data)
        self.posted[run].append(event)
        assert do(self.ledger.record(run, [event])).acked == event.seq

    @rule(which=st.integers(0, 5), kind=st.sampled_from(["done", "done", "failed", "say", "tool"]))
    def report(self, which: int, kind: str) -> None:
        run = self._pick_run(which)
        # The agent may not know yet that its turn has ended, and goes on about it.
        served = self.sql(f"SELECT MAX(id) FROM turn WHERE run = '{run}'")[0][0]
        if run is None or served is None:
            return
        self._post(run, kind, served, text=f"{kind} of {served}", name="bash")
        assert do(self.ledger.record(run, self.posted[run])).nudges == (), "it may post all of it again"
        if kind in ("done", "failed"):
            self.last[run] = served
            assert do(self.ledger.taken_turn(run)) is None

    @rule(which=st.integers(0, 5), name=st.sampled_from(["queue_task", "queue_task", "cancel_worker"]))
    def call_a_tool(self, which: int, name: str) -> None:
        run = self._pick_run(which)
        if run is not None:
            call = f"c{self._next()}"
            first = do(self.ledger.call_tool(run, call, name, {"text": "test it"}))
            again = do(self.ledger.call_tool(run, call, name, {"text": "test it"}))
            assert (again.text, again.error, again.nudges) == (first.text, first.error, ())

    # What befalls the process

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self._open()
        for chat in ("7", "8"):
            for begun in do(self.ledger.unfinished_stops(chat)):
                assert do(self.ledger.finish_turn(begun.turn, "Stopped."))

    @invariant()
    def what_always_holds(self) -> None:
        # All in one step: a step for each would take most of the test's time.
        seen = do(self.ledger.submit(lambda: {name: self._rows(text) for name, text in ALWAYS.items()}))
        assert [number for (number,) in seen["messages in a turn"]] == sorted(self.routed)
        assert [number for (number,) in seen["updates that wait"]] == sorted(set(self.arrived) - self.routed)
        live = [slot for (slot,) in seen["live runs"]]
        assert len(live) <= LIMIT
        assert live.count("worker") <= LIMIT - 1
        assert {name: rows for name, rows in seen.items() if name.startswith("wrong") and rows} == {}

    def _let_all_end(self) -> None:
        """From any state, slots and agents that do their work bring every message to its one answer."""
        for chat in ("7", "8"):
            self._route_what_waits(chat)
            for begun in do(self.ledger.unfinished_stops(chat)):
                do(self.ledger.finish_turn(begun.turn, "Stopped."))
        for _ in range(100):
            for run in do(self.ledger.live_runs()):
                do(self.ledger.end_run(run.id, 137, "it was killed"))
            waiting = do(self.ledger.waiting_slots())
            if not waiting:
                break
            chat, slot = waiting[0]
            run_id = self._begin(chat, slot)
            assert run_id is not None
            taken = do(self.ledger.take_turn(run_id, 0))
            assert isinstance(taken, TurnTaken)
            self._post(run_id, "done", taken.turn.id, text="at last")
            if slot == "chat":
                assert do(self.ledger.take_turn(run_id, taken.turn.id)) == Gone()
        assert self.sql("SELECT id FROM turn WHERE state IN ('open', 'taken')") == []
        self.what_always_holds()


def test_every_message_is_answered_once_whatever_the_order_of_steps(empty: Path, without_fsync: None) -> None:
    LedgerMachine.empty = empty
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
