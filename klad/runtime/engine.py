"""How the engine is reached: where it is, one client a thread, and its errors as one line each.

docker-py's clients are `requests` sessions and not made for several threads, so whoever needs one
asks for one. The API version is negotiated once and pinned for every later client, which saves
each of them a round trip.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import kwargs_from_env, version_lt

from klad.errors import EngineError, ImageMissingError

OLDEST_API = "1.40"
"""Engine 19.03: the first with `BindOptions.NonRecursive`."""

FAULTS = (
    EngineError,
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
"""Whatever a call through `Engine.client` may raise; what isn't an `APIError` is the connection's fault.

Errors of urllib3 and `http.client` come through docker-py's streams unwrapped, and a reply cut off
in its middle is a `ValueError` of the JSON decoder.
"""

_DEFAULT_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    tls: Any = False


def address(base_url: str | None = None) -> Address:
    """The given one, else `DOCKER_HOST` (with `DOCKER_TLS_VERIFY`), else the current docker context's."""
    if base_url:
        return Address(base_url)
    settings = kwargs_from_env()
    if settings.get("base_url"):
        return Address(settings["base_url"], settings.get("tls", False))
    try:
        from docker.context import ContextAPI

        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
        if context is not None and context.Host:
            host = str(context.Host)
            return Address(host.replace("http+unix://", "unix://"), context.TLSConfig or False)
    except FAULTS:
        pass  # a broken context file: the default socket may still answer
    return Address(_DEFAULT_HOST)


def is_down(error: BaseException) -> bool:
    """Whether `error` says that no engine answered, rather than what one answered."""
    if isinstance(error, APIError):
        return status_of(error) == 503  # Docker Desktop while its VM starts
    return not isinstance(error, EngineError)


def status_of(error: BaseException) -> int:
    """The HTTP status of an engine's refusal; 0 for any other error."""
    return int(error.status_code or 0) if isinstance(error, APIError) else 0


class Engine:
    """One engine, for any number of threads."""

    def __init__(self, base_url: str | None = None) -> None:
        self.address = address(base_url)
        self._lock = threading.Lock()
        self._version: str | None = None

    @contextmanager
    def client(self, timeout_s: float = 30) -> Iterator[docker.APIClient]:
        """A client for this thread alone; no call on it waits longer than `timeout_s` for a reply.

        Raises what docker-py raises (`FAULTS`), and `EngineError` for an engine that is too old.
        """
        client = docker.APIClient(
            base_url=self.address.host, tls=self.address.tls, version=self._pinned(timeout_s), timeout=timeout_s
        )
        try:
            yield client
        finally:
            client.close()

    def forget_version(self) -> None:
        """Negotiate again: another engine may have taken the place of the one we knew."""
        with self._lock:
            self._version = None

    def check(self, timeout_s: float = 10) -> None:
        """Raise `EngineError` unless an engine that we can use answers within `timeout_s`."""
        self.forget_version()
        try:
            with self.client(timeout_s) as client:
                client.ping()
        except FAULTS as error:
            raise self.explain(error) from error

    def check_own(self, image: str, runtime: str) -> None:
        """Raise `EngineError` unless the engine has this image and lists this runtime (empty: not asked)."""
        try:
            with self.client(10) as client:
                if image:
                    try:
                        client.inspect_image(image)
                    except ImageNotFound:
                        raise ImageMissingError(f"IMAGE={image}: the engine has no such image") from None
                known = (client.info().get("Runtimes") or {}) if runtime else {}
        except FAULTS as error:
            raise self.explain(error) from error
        if runtime and runtime not in known:
            listed = ", ".join(sorted(known))
            raise EngineError(f"CONTAINER_RUNTIME={runtime}: the engine has no such runtime (it has {listed})")

    def _pinned(self, timeout_s: float) -> str:
        with self._lock:
            version = self._version
        if version is None:
            version = self._negotiate(min(timeout_s, 10))
            with self._lock:
                self._version = version
        return version

    def _negotiate(self, timeout_s: float) -> str:
        where = self.address.host
        # With a version that every engine has: docker-py's own "auto" hides the cause of a failure.
        probe = docker.APIClient(base_url=where, tls=self.address.tls, version=OLDEST_API, timeout=timeout_s)
        try:
            about = probe.version(api_version=False)
        finally:
            probe.close()
        version = about.get("ApiVersion") if isinstance(about, dict) else None
        if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+", version):
            raise EngineError(f"what answers at {where} is no container engine")
        if about.get("Os", "linux") != "linux":
            raise EngineError(f"the engine at {where} has no Linux containers, and Klåd needs them")
        if version_lt(version, OLDEST_API):
            raise EngineError(f"the engine at {where} is too old (API {version}): Klåd needs Docker 19.03 or later")
        return version

    def explain(self, error: BaseException) -> EngineError:
        """`error` as the one line that a person can act on."""
        if isinstance(error, EngineError):
            return error
        if isinstance(error, APIError):
            return EngineError(f"the engine refused: {_first_line(str(error.explanation or error))}")
        causes = list(_causes(error))
        if any(isinstance(cause, PermissionError) for cause in causes):
            return EngineError(
                "you may not use the engine's socket: sudo usermod -aG docker $USER, then log in again"
            )
        if any(isinstance(cause, (requests.Timeout, TimeoutError)) for cause in causes):
            return EngineError(f"the engine at {self.address.host} takes too long to answer")
        if any(isinstance(cause, json.JSONDecodeError) for cause in causes):
            return EngineError(f"what answers at {self.address.host} is no container engine, or was cut off")
        return EngineError(
            f"no container engine answers at {self.address.host}: "
            "start it with `make engine` (Debian) or start Docker"
        )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and all that it came from; requests and urllib3 wrap the operating system's in `args`."""
    seen: set[int] = set()
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [more for more in (one.__cause__, one.__context__, *one.args) if isinstance(more, BaseException)]
        reason = getattr(one, "reason", None)
        if isinstance(reason, BaseException):
            todo.append(reason)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:300]
