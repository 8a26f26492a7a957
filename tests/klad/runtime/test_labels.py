from __future__ import annotations

import pytest

from klad.runtime import Found
from klad.runtime.labels import filters, found, labels
from tests.klad.runtime.test_specification import WORKER


def summary(**more: object) -> dict[str, object]:
    return {"Labels": labels(WORKER), "State": "running"} | more


def test_what_was_labelled_is_found_again() -> None:
    assert found(summary(), "f00d", "david") == Found("klad-0123456789ab", "-100123:7", "worker", running=True)


@pytest.mark.parametrize(
    ("state", "running"),
    [("running", True), ("paused", True), ("created", False), ("exited", False), ("removing", False)],
)
def test_a_container_runs_while_it_has_processes(state: str, running: bool) -> None:
    one = found(summary(State=state), "f00d", "david")

    assert one is not None
    assert one.running is running


@pytest.mark.parametrize(("install", "tenant"), [("f00d", "davi"), ("f00", "david"), ("", ""), ("other", "david")])
def test_another_tenants_container_is_not_found(install: str, tenant: str) -> None:
    assert found(summary(), install, tenant) is None


def test_a_container_without_our_labels_is_not_found() -> None:
    assert found({"Labels": None, "State": "running"}, "f00d", "david") is None


def test_the_engine_is_asked_for_exact_labels() -> None:
    assert filters("f00d", "david") == {"label": ["klad.install=f00d", "klad.tenant=david"]}
