"""Any sequence of starts, crashes and stops, compared with a model after each step.

The model is written from OTP's documentation, not from the code: lists of names, and no actor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pykka
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.supervision import (
    Backoff,
    Child,
    GivingUp,
    Limit,
    Parent,
    Restart,
    StartChild,
    StopChild,
    Strategy,
)
from actors.supervision.testing import PATIENCE, flush
from tests.actors.supervision.support import Worker, World

LIMIT = Limit(3, 10)
BACKOFF = Backoff(first=2, cap=4)
NAMES = "abcd"


@dataclass
class Model:
    """What a supervisor should look like."""

    strategy: Strategy
    now: float = 0.0
    order: list[str] = field(default_factory=list)
    restart: dict[str, Restart] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)  # those who are down, and when they start
    broken: set[str] = field(default_factory=set)
    crashes: list[tuple[float, str]] = field(default_factory=list)
    gave_up: bool = False

    def start(self, name: str, restart: Restart) -> None:
        if name not in self.order:
            self.order.append(name)
            self.restart[name] = restart
            self.boot([name])

    def boot(self, names: list[str]) -> None:
        for name in names:
            # A failed start of one may have stopped the others, or put them off.
            if not self.gave_up and self.due.get(name, self.now) <= self.now and name in self.order:
                self.due.pop(name, None)
                if name in self.broken:
                    self.lost(name, crashed=True)

    def remove(self, name: str) -> None:
        self.order.remove(name)
        self.due.pop(name, None)

    def lost(self, name: str, *, crashed: bool) -> None:
        wanted = {Restart.PERMANENT: True, Restart.TRANSIENT: crashed, Restart.TEMPORARY: False}
        if not wanted[self.restart[name]]:
            self.remove(name)
            return
        self.crashes = [*(c for c in self.crashes if c[0] >= self.now - LIMIT.seconds), (self.now, name)]
        if len(self.crashes) > LIMIT.restarts:
            self.gave_up = True
            return
        first = {
            Strategy.ONE_FOR_ONE: self.order.index(name),
            Strategy.REST_FOR_ONE: self.order.index(name),
            Strategy.ONE_FOR_ALL: 0,
        }[self.strategy]
        group = [name] if self.strategy is Strategy.ONE_FOR_ONE else self.order[first:]
        before = sum(who == name for _, who in self.crashes) - 1
        for member in group:
            if self.restart[member] is Restart.TEMPORARY:
                self.remove(member)
            else:
                self.due[member] = self.now + min(BACKOFF.cap, BACKOFF.first * 2**before)

    def advance(self, seconds: float) -> None:
        goal = self.now + seconds
        while not self.gave_up and self.due and min(self.due.values()) <= goal:
            self.now = min(self.due.values())
            self.boot([name for name in self.order if self.due.get(name) == self.now])
        self.now = goal

    def picture(self) -> list[tuple[str, str]]:
        return [(name, "restarting" if name in self.due else "up") for name in self.order]


class SupervisorMachine(RuleBasedStateMachine):
    """Plays the same steps on a real tree."""

    @initialize(strategy=st.sampled_from(Strategy))
    def begin(self, strategy: Strategy) -> None:
        self.world, self.model = World(), Model(strategy)
        self.lives: dict[str, Parent] = {}
        self.tree = self.world.tree(strategy=strategy, limit=LIMIT, backoff=BACKOFF)
        self.tree.start()
        self.top = self.world.ref("top")

    def settle(self) -> None:
        """Until the supervisor has handled all, also what it told itself meanwhile."""
        flush(self.top)
        while self.top.is_alive() and not self.top.actor_inbox.empty():
            flush(self.top)

    def boot(self, name: str) -> None:
        if name in self.model.broken:
            raise ValueError("broken")

    def child(self, name: str, restart: Restart) -> Child:
        def start(parent: Parent) -> pykka.ActorRef[Worker]:
            self.lives[name] = parent
            return Worker.start(parent, self.world.probe, lambda: self.boot(name))

        return Child(name, start, restart)

    @precondition(lambda self: not self.model.gave_up)
    @rule(name=st.sampled_from(NAMES), restart=st.sampled_from(Restart))
    def start_child(self, name: str, restart: Restart) -> None:
        self.top.tell(StartChild(self.child(name, restart)))
        self.model.start(name, restart)
        self.settle()

    @precondition(lambda self: not self.model.gave_up)
    @rule(name=st.sampled_from(NAMES))
    def stop_child(self, name: str) -> None:
        self.top.tell(StopChild(name))
        if name in self.model.order:
            self.model.remove(name)
        self.settle()

    @precondition(lambda self: not self.model.gave_up)
    @rule(name=st.sampled_from(NAMES), crashed=st.booleans())
    def end(self, name: str, crashed: bool) -> None:
        if name not in self.model.order or name in self.model.due:
            return
        life = self.lives[name]
        assert life.ref is not None
        if crashed:
            life.ref.tell(SystemExit() if name == "a" else ValueError())
        else:
            life.ref.stop(block=False)
        assert life.ended.wait(PATIENCE)
        self.model.lost(name, crashed=crashed)
        self.settle()

    @rule(name=st.sampled_from(NAMES))
    def break_or_mend(self, name: str) -> None:
        self.model.broken ^= {name}

    @precondition(lambda self: not self.model.gave_up)
    @rule(seconds=st.sampled_from([1.0, 2.0, 3.0, 11.0]))
    def advance(self, seconds: float) -> None:
        # In steps as small as the shortest backoff: a timer armed while it moves has its time as well.
        for _ in range(int(seconds)):
            self.world.clock.advance(1.0)
            self.settle()
        self.model.advance(seconds)

    @invariant()
    def is_as_the_model_says(self) -> None:
        if self.model.gave_up:
            down = self.tree.wait(PATIENCE)
            assert down is not None
            assert isinstance(down.reason, GivingUp)
            assert self.world.registry.names == ()
            return
        assert list(self.world.states().items()) == self.model.picture()
        up = {f"top/{name}" for name, state in self.model.picture() if state == "up"}
        assert set(self.world.registry.names) == up | {"top"}

    def teardown(self) -> None:
        if hasattr(self, "tree"):
            self.tree.stop()
            self.world.last_resort.expect_nothing()
            assert self.world.clock.pending == 0
        assert pykka.ActorRegistry.get_all() == []


SupervisorMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnySequenceOfStartsCrashesAndStops = SupervisorMachine.TestCase
