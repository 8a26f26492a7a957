"""Any order of steps, and a ledger closed and opened between any two: every message is answered once, by one turn."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from klad import routing, texts
from klad.ledger import Gone, Granted, Ledger, TurnTaken
from klad.words import Event, Inbound, Slot
from tests.klad.ledger.support import Clock, do, inbound

CHATS = ("7", "8", "9")
LIMIT = 3
CRASHING_STOP = "/stop and a crash before it is answered"
WORDS = ("build it", "test it", "status?", "what did step 2 print?", "/stop", CRASHING_STOP, "/new")
MACHINERY = (
    *("begin", "begin", "begin", "take", "take", "end", "abandon", "retire", "rest", "be_late", "lose_patience"),
    *("report_done", "report_done", "report_failed", "report_tool", "queue", "queue", "steer", "cancel", "reopen"),
)

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
        self.arrived: set[int] = set()
        self.routed: set[int] = set()
        self.last: dict[str, int] = {}
        """Run → its last finished turn, as its agent remembers it."""
        self.posted: dict[str, list[Event]] = {}

    @initialize()
    def begin(self) -> None:
        shutil.copy(self.empty, self.path)
        self.ledger = Ledger.open(self.path, clock=self.clock)

    def teardown(self) -> None:
        try:
            if hasattr(self, "ledger"):
                self._let_all_end()
        finally:
            if hasattr(self, "ledger"):
                self.ledger.close()
            shutil.rmtree(self.directory)

    def _rows(self, text: str) -> list[tuple[Any, ...]]:
        return list(self.ledger.database.execute_sql(text).fetchall())

    def _sql(self, text: str) -> list[tuple[Any, ...]]:
        return do(self.ledger.submit(lambda: self._rows(text)))

    def _next(self) -> int:
        self.clock.now += 1.5
        self.count += 1
        return self.count

    def _pick_run(self, which: int) -> str:
        """One of the live runs, the latest that has ended, or one that nobody knows."""
        live = [run.id for run in do(self.ledger.live_runs())]
        known = live + [run for run in self.last if run not in live][-1:]
        return known[which % len(known)] if known else "klad-nobody"

    # What people do

    @rule(chat=st.sampled_from(CHATS), text=st.sampled_from(WORDS), route=st.sampled_from([True, True, True, False]))
    def people(self, chat: str, text: str, route: bool) -> None:
        number = self._next()
        assert do(self.ledger.commit_update(number, chat, text))
        assert not do(self.ledger.commit_update(number, chat, "the same again"))
        self.arrived.add(number)
        if route:
            self._route_what_waits(chat)

    def _route_what_waits(self, chat: str) -> None:
        for update in do(self.ledger.pending_updates(chat)):
            said = inbound(update.raw, chat, telegram_id=update.update_id)
            assert self._route(update.update_id, said)
            assert not self._route(update.update_id, said)
            self.routed.add(update.update_id)

    def _route(self, number: int, said: Inbound) -> bool:
        if said.text == "/new":
            return do(self.ledger.start_afresh(number, said, texts.fresh))
        if not said.text.startswith("/stop"):
            decide = functools.partial(routing.choose_slot, said.text)
            return do(self.ledger.route(number, said, decide)) is not None
        begun = do(self.ledger.begin_stop(number, said))
        if begun is None:
            return False
        state = do(self.ledger.state(said.chat))
        assert (state.worker, state.talk, state.queue) == (None, None, ())
        if said.text != CRASHING_STOP:
            assert do(self.ledger.finish_turn(begun.turn, "Stopped."))
        return True

    # What slots, agents and accidents do. One rule, as Hypothesis switches off rules at random for a
    # whole example, and without some of these nothing at all happens in it.

    @rule(what=st.sampled_from(MACHINERY), which=st.integers(0, 5))
    def machinery(self, what: str, which: int) -> None:
        act: Callable[[int], None] = getattr(self, f"_{what}")
        act(which)

    def _reopen(self, _: int) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.path, clock=self.clock)
        for chat in CHATS:
            for begun in do(self.ledger.unfinished_stops(chat)):
                assert do(self.ledger.finish_turn(begun.turn, "Stopped."))

    def _begin_run(self, chat: str, slot: Slot) -> str | None:
        run = f"klad-{self._next():012x}"
        begun = do(self.ledger.begin_run(chat, slot, run, f"hash of {run}", {}, LIMIT))
        if not isinstance(begun, Granted):
            return None
        self.last[run], self.posted[run] = 0, []
        return run

    def _begin(self, which: int) -> None:
        for chat, slot in do(self.ledger.waiting_slots()):
            run = self._begin_run(chat, slot)
            if run is not None and which:
                assert isinstance(do(self.ledger.take_turn(run, 0)), TurnTaken)

    def _end(self, which: int) -> None:
        run = self._pick_run(which)
        held = do(self.ledger.taken_turn(run))
        ended = do(self.ledger.end_run(run, 137, "it was killed"))
        assert (ended.turn is not None) == (held is not None)
        if held is not None:
            assert not (ended.requeued and held.tools), "a side effect is never repeated by itself"

    def _abandon(self, which: int) -> None:
        do(self.ledger.abandon_start(self._pick_run(which), "no engine"))

    def _retire(self, which: int) -> None:
        do(self.ledger.retire(self._pick_run(which)))

    def _rest(self, which: int) -> None:
        run = self._pick_run(which)
        works = do(self.ledger.taken_turn(run)) is not None
        assert not (do(self.ledger.retire_if_idle(run)) and works)

    def _be_late(self, which: int) -> None:
        run = self._pick_run(which)
        turn = do(self.ledger.taken_turn(run))
        assert turn is None or do(self.ledger.overdue(run, turn.id, "too late"))

    def _lose_patience(self, which: int) -> None:
        for chat, slot in do(self.ledger.waiting_slots())[: which + 1]:
            turn = do(self.ledger.open_turn(chat, slot))
            assert turn is not None
            if slot == "chat":
                do(self.ledger.answer_if_open(turn.id, texts.status))
            else:
                do(self.ledger.say_waiting(chat, slot, "it waits"))
                assert not do(self.ledger.say_waiting(chat, slot, "it waits"))

    def _take(self, which: int) -> None:
        run = self._pick_run(which)
        taken = do(self.ledger.take_turn(run, self.last.get(run, 0)))
        if isinstance(taken, TurnTaken):
            assert taken.turn.run == run
            again = do(self.ledger.take_turn(run, self.last[run]))
            assert isinstance(again, TurnTaken)
            assert (again.turn, again.first) == (taken.turn, False)

    def _post(self, run: str, kind: str, turn: int) -> None:
        event = Event(len(self.posted[run]) + 1, kind, turn, {"text": f"{kind} of {turn}", "name": "bash"})
        self.posted[run].append(event)
        assert do(self.ledger.record(run, [event])).acked == event.seq

    def _report(self, which: int, kind: str) -> None:
        run = self._pick_run(which)
        # The agent may not know yet that its turn has ended, and goes on about it.
        served = self._sql(f"SELECT MAX(id) FROM turn WHERE run = '{run}'")[0][0]
        if served is None:
            return
        self._post(run, kind, served)
        assert do(self.ledger.record(run, self.posted[run])).nudges == (), "it may post all of it again"
        if kind != "tool":
            self.last[run] = served
            assert do(self.ledger.taken_turn(run)) is None

    def _report_done(self, which: int) -> None:
        self._report(which, "done")

    def _report_failed(self, which: int) -> None:
        self._report(which, "failed")

    def _report_tool(self, which: int) -> None:
        self._report(which, "tool")

    def _call(self, run: str, name: str) -> None:
        if run in self.last:
            call = f"c{self._next()}"
            first = do(self.ledger.call_tool(run, call, name, {"text": "test it"}))
            again = do(self.ledger.call_tool(run, call, name, {"text": "test it"}))
            assert (again.text, again.error, again.nudges) == (first.text, first.error, ())

    def _queue(self, which: int) -> None:
        self._call(self._pick_run(which), "queue_task")

    def _steer(self, which: int) -> None:
        self._call(self._pick_run(which), "steer_worker")

    def _cancel(self, which: int) -> None:
        self._call(self._pick_run(which), "cancel_worker")

    # What always holds

    @invariant()
    def what_always_holds(self) -> None:
        # All in one step: a step for each would take most of the test's time.
        seen = do(self.ledger.submit(lambda: {name: self._rows(text) for name, text in ALWAYS.items()}))
        assert [number for (number,) in seen["messages in a turn"]] == sorted(self.routed)
        assert [number for (number,) in seen["updates that wait"]] == sorted(self.arrived - self.routed)
        live = [slot for (slot,) in seen["live runs"]]
        assert len(live) <= LIMIT
        assert live.count("worker") <= LIMIT - 1
        assert {name: rows for name, rows in seen.items() if name.startswith("wrong") and rows} == {}

    def _let_all_end(self) -> None:
        """From any state, slots and agents that do their work bring every message to its one answer."""
        for chat in CHATS:
            self._route_what_waits(chat)
        self._reopen(0)
        for _ in range(200):
            for run in do(self.ledger.live_runs()):
                do(self.ledger.end_run(run.id, 137, "it was killed"))
            waiting = do(self.ledger.waiting_slots())
            if not waiting:
                break
            chat, slot = waiting[0]
            run_id = self._begin_run(chat, slot)
            assert run_id is not None
            taken = do(self.ledger.take_turn(run_id, 0))
            assert isinstance(taken, TurnTaken)
            self._post(run_id, "done", taken.turn.id)
            if slot == "chat":
                assert do(self.ledger.take_turn(run_id, taken.turn.id)) == Gone()
        assert self._sql("SELECT id FROM turn WHERE state IN ('open', 'taken')") == []
        self.what_always_holds()


@pytest.mark.timeout(400)  # seconds when it passes; when it fails, Hypothesis looks for the shortest way there
def test_every_message_is_answered_once_whatever_the_order_of_steps(empty: Path, without_fsync: None) -> None:
    LedgerMachine.empty = empty
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
