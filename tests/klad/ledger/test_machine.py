"""Any order of steps, and a process killed between any two: every message is answered once, by one turn."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from klad import routing, texts
from klad.ledger import Gone, Granted, Ledger, TurnTaken
from klad.words import Event, Slot
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
    runs = Bundle("runs")
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

    # What people do

    @rule(chat=CHATS, text=TEXTS)
    def arrive(self, chat: str, text: str) -> None:
        number = self._next()
        assert do(self.ledger.commit_update(number, chat, text))
        assert not do(self.ledger.commit_update(number, chat, "the same again"))
        self.arrived[number] = chat, text

    @rule(chat=CHATS)
    def route_what_waits(self, chat: str) -> None:
        for update in do(self.ledger.pending_updates(chat)):
            text = update.raw
            said = inbound(text, chat, telegram_id=update.update_id)
            routed = do(
                self.ledger.route(update.update_id, said, lambda state, t=text: routing.choose_slot(t, state))
            )
            assert routed is not None
            assert update.update_id not in self.routed
            self.routed.add(update.update_id)

    @rule(data=st.data())
    def route_again(self, data: Any) -> None:
        if self.routed:
            number = data.draw(st.sampled_from(sorted(self.routed)))
            chat, text = self.arrived[number]
            again = self.ledger.route(number, inbound(text, chat), lambda _: routing.ToSlot("worker"))
            assert do(again) is None

    @rule(chat=CHATS, finish=st.booleans())
    def stop(self, chat: str, finish: bool) -> None:
        number = self._next()
        do(self.ledger.commit_update(number, chat, "/stop"))
        self.arrived[number] = chat, "/stop"
        begun = do(self.ledger.begin_stop(number, inbound("/stop", chat)))
        assert begun is not None
        self.routed.add(number)
        state = do(self.ledger.state(chat))
        assert (state.worker, state.talk, state.queue) == (None, None, ())
        if finish:
            assert do(self.ledger.finish_turn(begun.turn, "Stopped."))

    @rule(chat=CHATS)
    def start_afresh(self, chat: str) -> None:
        number = self._next()
        do(self.ledger.commit_update(number, chat, "/new"))
        self.arrived[number] = chat, "/new"
        assert do(self.ledger.start_afresh(number, inbound("/new", chat), texts.fresh))
        self.routed.add(number)

    # What slots do

    @rule(target=runs, chat=CHATS, slot=SLOTS)
    def begin_run(self, chat: str, slot: Slot) -> Any:
        run = f"klad-{self._next():012x}"
        begun = do(self.ledger.begin_run(chat, slot, run, f"hash of {run}", {}, LIMIT))
        if not isinstance(begun, Granted):
            return multiple()
        self.last[run], self.posted[run] = 0, []
        return run

    @rule(run=runs, tool=st.booleans())
    def end_run(self, run: str, tool: bool) -> None:
        (before,) = self.sql(f"SELECT COUNT(*) FROM turn WHERE run = '{run}' AND state = 'taken'")[0]
        ended = do(self.ledger.end_run(run, 137, "it was killed"))
        assert (ended.turn is not None) == bool(before)

    @rule(run=runs)
    def abandon(self, run: str) -> None:
        do(self.ledger.abandon_start(run, "no engine"))

    @rule(run=runs)
    def rest(self, run: str) -> None:
        do(self.ledger.retire_if_idle(run))

    @rule(run=runs)
    def be_late(self, run: str) -> None:
        turn = do(self.ledger.taken_turn(run))
        if turn is not None:
            assert do(self.ledger.overdue(run, turn.id, "too late"))

    @rule(chat=CHATS, slot=SLOTS)
    def wait_aloud(self, chat: str, slot: Slot) -> None:
        do(self.ledger.say_waiting(chat, slot, "it waits"))

    @rule(chat=CHATS)
    def answer_from_state(self, chat: str) -> None:
        turn = do(self.ledger.open_turn(chat, "chat"))
        if turn is not None:
            assert do(self.ledger.answer_if_open(turn.id, texts.status))

    # What agents do

    @rule(run=runs)
    def take(self, run: str) -> None:
        taken = do(self.ledger.take_turn(run, self.last[run]))
        if isinstance(taken, TurnTaken):
            assert taken.turn.run == run
            again = do(self.ledger.take_turn(run, self.last[run]))
            assert isinstance(again, TurnTaken)
            assert (again.turn, again.first) == (taken.turn, False)

    def _post(self, run: str, kind: str, turn: int, **data: Any) -> None:
        event = Event(len(self.posted[run]) + 1, kind, turn, data)
        self.posted[run].append(event)
        assert do(self.ledger.record(run, [event])).acked == event.seq

    @rule(run=runs, kind=st.sampled_from(["done", "failed", "say", "tool", "output"]))
    def report(self, run: str, kind: str) -> None:
        turn = do(self.ledger.taken_turn(run))
        if turn is not None:
            self._post(run, kind, turn.id, text=f"{kind} of {turn.id}", tail="a line", name="bash")
            if kind in ("done", "failed"):
                self.last[run] = turn.id

    @rule(run=runs)
    def post_it_all_again(self, run: str) -> None:
        said = self.sql("SELECT COUNT(*) FROM outbox")
        assert do(self.ledger.record(run, self.posted[run])).nudges == ()
        assert self.sql("SELECT COUNT(*) FROM outbox") == said

    @rule(run=runs, name=st.sampled_from(["queue_task", "cancel_worker", "steer_worker"]))
    def call_a_tool(self, run: str, name: str) -> None:
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
            self.route_what_waits(chat)
            for begun in do(self.ledger.unfinished_stops(chat)):
                do(self.ledger.finish_turn(begun.turn, "Stopped."))
        for _ in range(100):
            for run in do(self.ledger.live_runs()):
                do(self.ledger.end_run(run.id, 137, "it was killed"))
            waiting = do(self.ledger.waiting_slots())
            if not waiting:
                break
            chat, slot = waiting[0]
            run_id = self.begin_run(chat, slot)
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
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
