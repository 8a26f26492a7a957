"""The few things asked of the engine, each over a client of the caller's own thread.

All raise what docker-py raises (`engine.FAULTS`), and none waits longer for the engine than the
client's own limit, unless it says so.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import docker
import requests

from klad.runtime.engine import FAULTS, status_of

Condition = Literal["not-running", "next-exit", "removed"]

KILLED = 137
"""128 + SIGKILL: what the engine reports for a process that the kernel's OOM killer ended, too."""

_LATE_S = 0.1
"""How much later than its `die` the `oom` event of the same container may come (seen: 2 ms)."""


@dataclass(frozen=True, slots=True)
class State:
    """`State` of `GET /containers/{id}/json`."""

    status: str
    code: int | None
    out_of_memory: bool

    @property
    def alive(self) -> bool:
        return self.status in ("running", "paused", "restarting")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended; `code` None where nobody knows any more."""

    code: int | None
    out_of_memory: bool = False


class Stream:
    """A reply that comes when the engine has something to say; its headers are here already."""

    def __init__(self, client: docker.APIClient, response: requests.Response) -> None:
        client._raise_for_status(response)
        raw = client._get_raw_response_socket(response)
        self.response = response
        self.socket: socket.socket = getattr(raw, "_sock", raw)

    def cut(self) -> None:
        """Let whoever reads it see its end. From any thread."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Wait(Stream):
    """An armed `POST /containers/{id}/wait`."""

    def result(self, patience_s: float) -> int:
        """The exit code. Raises `TimeoutError` after `patience_s`, `ConnectionError` where it stays unknown."""
        self.socket.settimeout(patience_s)
        try:
            answer = self.response.json()
        except FAULTS as error:
            if "timed out" in str(error):
                raise TimeoutError(f"still running after {patience_s} s") from error
            raise
        if answer.get("Error") or answer["StatusCode"] < 0:
            raise ConnectionError(f"the engine stopped waiting: {answer}")
        return int(answer["StatusCode"])


def create(client: docker.APIClient, name: str, body: Mapping[str, Any]) -> str:
    """The new container's id."""
    return str(client.create_container_from_config(dict(body), name)["Id"])


def start(client: docker.APIClient, name: str) -> None:
    client.start(name)


def arm(client: docker.APIClient, name: str, condition: Condition) -> Wait:
    """Begin to wait; from here on the container's end can't be missed.

    docker-py's own `wait` returns only with the exit code, so nobody could tell when it is armed;
    the engine sends the headers at that moment.
    """
    url = client._url("/containers/{0}/wait", name)
    return Wait(client, client._post(url, params={"condition": condition}, stream=True))


def heartbeat(client: docker.APIClient) -> Stream:
    """A stream of events that are hardly ever sent; it ends when the engine does."""
    params = {"filters": json.dumps({"type": ["daemon"]})}
    return Stream(client, client._get(client._url("/events"), params=params, stream=True))


def state(client: docker.APIClient, name: str) -> State | None:
    """None: the engine has no such container."""
    try:
        found = client.inspect_container(name)["State"]
    except FAULTS as error:
        if status_of(error) == 404:
            return None
        raise
    status = str(found.get("Status", ""))
    code = int(found["ExitCode"]) if status in ("exited", "dead", "removing") else None
    return State(status, code, bool(found.get("OOMKilled")))


def recall(client: docker.APIClient, name: str) -> Ended:
    """How a container that is gone ended, from the events that the engine still remembers (256).

    It forgets them when it restarts.
    """
    now = time.time()
    params = {
        "since": "1",
        "until": f"{now + _LATE_S:.9f}",
        "filters": json.dumps({"type": ["container"], "container": [name], "event": ["die", "oom"]}),
    }
    code: int | None = None
    out_of_memory = False
    response = client._get(client._url("/events"), params=params, stream=True)
    client._raise_for_status(response)
    for event in client._stream_helper(response, decode=True):
        if event.get("Action") == "oom":
            out_of_memory = True
        elif event.get("Action") == "die":
            text = str(event.get("Actor", {}).get("Attributes", {}).get("exitCode", ""))
            code = int(text) if text.isdigit() else None
    return Ended(code, out_of_memory and code == KILLED)


def remove(client: docker.APIClient, name: str) -> None:
    """Kill and remove; no error if it is gone, or just going."""
    try:
        client.remove_container(name, v=True, force=True)
    except FAULTS as error:
        if status_of(error) not in (404, 409):
            raise


def end(client: docker.APIClient, name: str, grace_s: float, limit_s: float) -> bool:
    """SIGTERM, after `grace_s` SIGKILL, remove. True: the engine says that there is no such container.

    In whatever state it is: the engine thaws a paused container to hand it a signal. Waits at most
    `limit_s` for the removal to be complete.
    """
    if grace_s > 0:
        _ask_to_end(client, name, grace_s)
    remove(client, name)
    try:
        arm(client, name, "removed").result(limit_s)
    except (TimeoutError, ConnectionError):
        pass  # the look below decides
    except FAULTS as error:
        if status_of(error) != 404:
            raise
    return state(client, name) is None


def _ask_to_end(client: docker.APIClient, name: str, grace_s: float) -> None:
    try:
        waiting = arm(client, name, "not-running")
        client.kill(name, "SIGTERM")
        waiting.result(grace_s)
    except TimeoutError:
        pass
    except FAULTS as error:
        if status_of(error) not in (404, 409):
            raise
