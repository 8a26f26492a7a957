"""One container's Launch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from klad import launch
from klad.runtime import Launch, Mount
from klad.words import Slot

MIB = 1024 * 1024


def compose(slot: Slot, **more: Any) -> Launch:
    given = {
        "run": "klad-0123456789ab",
        "token": "the run's own",
        "tenant": "david",
        "install": "f00d",
        "chat": "-100:7",
        "image": "klad/worker:abc",
        "mounts": (Mount("/a", "/workspace/group", True),),
        "user": "10001:10001",
        "timezone": "Europe/Stockholm",
        "runtime": "runsc",
        **more,
    }
    return launch.compose(slot=slot, **given)


@pytest.mark.parametrize(
    ("slot", "memory", "cpus", "pids"), [("chat", 512 * MIB, 1.0, 256), ("worker", 4096 * MIB, 2.0, 512)]
)
def test_each_slot_has_its_size(slot: Slot, memory: int, cpus: float, pids: int) -> None:
    made = compose(slot)
    assert (made.memory_bytes, made.cpus, made.pids) == (memory, cpus, pids)


@pytest.mark.parametrize("slot", ["chat", "worker"])
def test_the_environment_holds_what_the_agent_reads_and_nothing_else(slot: Slot) -> None:
    assert dict(compose(slot).env) == {
        "KLAD_RUN": "klad-0123456789ab",
        "KLAD_TOKEN": "the run's own",
        "KLAD_SLOT": slot,
        "KLAD_GATEWAY": "/run/klad/gateway.sock",
        "HOME": "/workspace/home",
        "LANG": "C.UTF-8",
        "TZ": "Europe/Stockholm",
    }


def test_everything_else_is_passed_on() -> None:
    made = asdict(compose("worker"))
    for key, value in {"run": "klad-0123456789ab", "tenant": "david", "install": "f00d", "chat": "-100:7"}.items():
        assert made[key] == value
    assert (made["image"], made["user"], made["runtime"]) == ("klad/worker:abc", "10001:10001", "runsc")
    assert compose("chat").mounts == (Mount("/a", "/workspace/group", True),)
