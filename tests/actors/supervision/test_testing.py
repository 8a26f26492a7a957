from __future__ import annotations

import pytest

from actors.supervision.testing import PATIENCE, Probe, flush, solo
from tests.actors.supervision.support import Worker


def test_a_probe_says_what_it_got_instead() -> None:
    probe = Probe()
    probe("one")
    with pytest.raises(AssertionError, match="expected 'two', got 'one'"):
        probe.expect("two")
    probe(1)
    with pytest.raises(AssertionError, match="expected a str, got 1"):
        probe.expect_type(str)
    with pytest.raises(AssertionError, match="no message"):
        probe.receive(timeout=0)
    probe(2)
    with pytest.raises(AssertionError, match="expected nothing, got 2"):
        probe.expect_nothing()
    probe.expect_nothing()


def test_a_probe_takes_a_neighbours_place() -> None:
    probe, parent = Probe(), solo("shop/till")
    parent.registry.bind("shop/bank", probe)
    till = Worker(parent, Probe())
    till.registry.tell(till.sibling("bank"), "deposit")
    probe.expect("deposit")


def test_flush_returns_when_all_before_is_handled_and_also_when_the_actor_is_dead() -> None:
    probe, parent = Probe(), solo()
    ref = Worker.start(parent, probe)
    ref.tell("one")
    flush(ref)
    probe.expect(("start", "actor"), ("actor", "one"))
    ref.stop(timeout=PATIENCE)
    flush(ref)
    assert parent.ended.wait(PATIENCE)
