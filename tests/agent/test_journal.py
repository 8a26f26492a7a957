"""Numbers, order, and what gives way when the host is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import journal as module
from agent.client import Gateway
from agent.errors import EndOfRun, Stopped
from agent.journal import Journal
from agent.spool import Spool
from tests.agent.fake_gateway import TOKEN, FakeGateway

Make = Callable[..., Journal]


@pytest.fixture
def make(gateway: FakeGateway, tmp_path: Path) -> Iterator[Make]:
    links: list[Gateway] = []

    def journal(end: Callable[[EndOfRun], None] = lambda end: None) -> Journal:
        links.append(Gateway(gateway.path, TOKEN))
        return Journal(Spool(str(tmp_path / "events")), links[-1], end)

    yield journal
    for link in links:
        link.stop()


def test_events_posted_while_the_host_is_away_arrive_in_order_when_it_is_back(
    gateway: FakeGateway, make: Make, tmp_path: Path
) -> None:
    journal = make()
    gateway.stop()
    for number in range(500):
        journal.post("say", {"text": str(number)}, 1)
    assert not journal.flush(0.05)
    assert (tmp_path / "events").stat().st_size > 10_000
    gateway.start()
    assert journal.flush(10)
    assert [data["text"] for data in gateway.of("say")] == [str(number) for number in range(500)]
    assert sorted(gateway.events) == list(range(1, 501))
    assert gateway.posts < 20
    assert (tmp_path / "events").stat().st_size == 0


def test_only_the_newest_output_waits_for_the_host(gateway: FakeGateway, make: Make) -> None:
    journal = make()
    gateway.stop()
    for number in range(1000):
        journal.output(str(number), 1)
    journal.post("say", {"text": "x"}, 1)
    gateway.start()
    assert journal.flush(10)
    assert len(gateway.of("output")) <= 2
    assert gateway.of("output")[-1] == {"tail": "999"}
    assert gateway.kinds()[-1] == "say"


def test_output_is_left_out_behind_a_long_queue_and_after_its_commands_end(
    gateway: FakeGateway, make: Make
) -> None:
    journal = make()
    gateway.stop()
    for _ in range(module.CROWD):
        journal.post("say", {"text": "x"}, 1)
    journal.output("crowded out", 1)
    journal.post("say", {"text": "x"}, 1)
    journal.output("stale", 1)
    journal.post("tool_end", {"call": "c", "ok": True, "tail": "all"}, 1)
    gateway.start()
    assert journal.flush(10)
    assert gateway.of("output") == []


@pytest.mark.parametrize(
    ("refusals", "kinds"),
    [(1, ["say", "say", "say"]), (2, ["output", "say", "say"]), (3, ["say", "say"])],
)
def test_an_event_that_the_host_refuses_does_not_hold_up_the_rest(
    gateway: FakeGateway, make: Make, refusals: int, kinds: list[str]
) -> None:
    journal = make()
    gateway.stop()
    for text in ("a", "b", "c"):
        journal.post("say", {"text": text}, 1)
    gateway.faults["/agent/events"] += [413, *[400] * refusals]
    gateway.start()
    assert journal.flush(10)
    assert gateway.kinds() == kinds
    assert [data["text"] for data in gateway.of("say")][-2:] == ["b", "c"]


def test_a_text_that_is_too_long_is_cut_in_its_middle(gateway: FakeGateway, make: Make) -> None:
    journal = make()
    journal.post("say", {"text": "a" * 2_000_000 + "z"}, 1, wait=True)
    text = gateway.of("say")[0]["text"]
    assert len(text) < module.TEXT + 10
    assert text.endswith("z")


def test_whoever_waits_for_a_run_that_is_over_is_stopped(gateway: FakeGateway, make: Make) -> None:
    ends: list[EndOfRun] = []
    journal = make(ends.append)
    gateway.end_run()
    with pytest.raises(Stopped):
        journal.post("tool", {}, 1, wait=True)
    assert journal.flush(5) is False


def test_a_full_disk_costs_memory_and_no_event(gateway: FakeGateway) -> None:
    link = Gateway(gateway.path, TOKEN)
    journal = Journal(Spool("/dev/full"), link, lambda end: None)
    journal.post("say", {"text": "x"}, 1, wait=True)
    journal.post("say", {"text": "y"}, 1, wait=True)
    link.stop()
    assert [data["text"] for data in gateway.of("say")] == ["x", "y"]
