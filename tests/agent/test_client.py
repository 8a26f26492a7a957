"""Requests across restarts, with the clock in the test's hands."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.client import Gateway, encode, error_of
from agent.errors import Cancelled, Gone, Lost, Refused, Stopped
from tests.agent.fake_gateway import TOKEN, FakeGateway


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def client(path: str, clock: Clock, lost_s: float = 600.0) -> Gateway:
    return Gateway(path, TOKEN, lost_s=lost_s, now=clock.now, sleep=clock.sleep)


def test_a_gateway_that_never_answers_is_lost_after_the_limit_and_not_before() -> None:
    clock = Clock()
    with pytest.raises(Lost, match="600 s"):
        client("/nonexistent/gateway.sock", clock).call("GET", "/agent/turn?after=0")
    assert 600 <= clock.time < 603
    assert max(clock.slept) <= 2


def test_a_flooded_gateway_is_obeyed_and_never_counts_as_lost(gateway: FakeGateway) -> None:
    clock = Clock()
    gateway.faults["/agent/hello"] += [503, *[429] * 30, 503]
    status, _ = client(gateway.path, clock, lost_s=1.0).call("POST", "/agent/hello", {})
    assert status == 200
    assert clock.time > 20


def test_an_ill_gateway_is_lost_after_the_limit(gateway: FakeGateway) -> None:
    gateway.faults["/agent/hello"] += [503] * 1000
    with pytest.raises(Lost, match="HTTP 503"):
        client(gateway.path, Clock(), lost_s=10.0).call("POST", "/agent/hello", {})


def test_410_is_gone_and_another_4xx_is_refused_with_its_message(gateway: FakeGateway) -> None:
    link = client(gateway.path, Clock())
    with pytest.raises(Refused, match="/agent/nowhere"):
        link.call("POST", "/agent/nowhere", {})
    gateway.end_run()
    with pytest.raises(Gone):
        link.call("GET", "/agent/turn?after=0")


def test_an_idle_connection_that_the_host_closed_is_replaced_without_waiting(gateway: FakeGateway) -> None:
    clock = Clock()
    link = client(gateway.path, clock)
    link.call("POST", "/agent/hello", {})
    gateway.stop()
    gateway.start()
    link.call("POST", "/agent/hello", {})
    assert clock.slept == []


def test_a_check_calls_a_request_off_between_tries() -> None:
    def check() -> None:
        if clock.time > 5:
            raise Cancelled

    clock = Clock()
    with pytest.raises(Cancelled):
        client("/nonexistent/gateway.sock", clock).call("GET", "/", check=check)


def test_stop_wakes_a_request_that_waits(gateway: FakeGateway) -> None:
    link = Gateway(gateway.path, TOKEN)
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            link.call("GET", "/agent/turn?after=0")
        except Stopped as error:
            ended.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    gateway.wait(lambda: gateway.asked)
    link.stop()
    thread.join(5)
    assert ended == [Stopped]


def test_a_socket_whose_path_is_too_long_for_the_kernel_is_reached(gateway: FakeGateway, tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    os.symlink(gateway.path, directory / "gateway.sock")
    status, _ = client(str(directory / "gateway.sock"), Clock()).call("POST", "/agent/hello", {})
    assert status == 200


def test_lone_surrogates_do_not_break_a_request() -> None:
    assert encode({"a": "\ud800å"}) == '{"a":"?å"}'.encode()


def test_an_error_body_that_is_no_json_is_its_own_message() -> None:
    assert error_of(b'{"error":{"type":"t","message":"m"}}', 400) == ("t", "m")
    assert error_of(b"Bad Gateway\n", 502) == ("error", "Bad Gateway")
    assert error_of(b"", 502) == ("error", "HTTP 502")
