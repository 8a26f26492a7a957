"""The whole program as a subprocess, and a person who uses it through the Bot API's web chat.

Everything here waits on the server's event stream, with a limit; nothing sleeps and hopes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
"""s; a limit for a broken program, far above what a working one takes on a slow machine."""
OWNER = 1


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Seen:
    """A message in the web chat, as the Bot API's `Message` and the moment it came."""

    chat: int
    id: int
    text: str
    by_bot: bool
    reply_to: int | None
    at: float


@dataclass
class Person:
    """Someone with the web chat open: sends, and sees all that comes, in order."""

    port: int
    cookie: str
    seen: list[Seen] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: threading.Event = field(default_factory=threading.Event)
    _connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Cookie": self.cookie, "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status < 300, f"{method} {path}: {answer.status} {data[:300]!r}"
            return json.loads(data)
        finally:
            connection.close()

    def new_chat(self, title: str) -> int:
        return int(self.call("POST", "/api/chats", {"title": title})["chat"]["id"])

    def send(self, text: str, chat: int = OWNER) -> Sent:
        before = len(self.seen)
        at = time.monotonic()
        message = self.call("POST", f"/api/chats/{chat}/messages", {"text": text})["message"]
        return Sent(self, chat, int(message["message_id"]), text, before, at)

    def wait(self, found: Callable[[list[Seen]], Any], timeout: float = PATIENCE, what: str = "") -> Any:
        """What `found(seen)` gives, as soon as that is something."""
        with self._changed:
            value = self._changed.wait_for(lambda: found(self.seen), timeout)
        if not value:
            shown = "\n".join(f"  {'bot' if s.by_bot else 'you'} {s.chat}#{s.id}→{s.reply_to}: {s.text[:200]!r}"
                              for s in self.seen[-15:])
            raise AssertionError(f"waited {timeout:.0f} s in vain for {what or found}; the last messages:\n{shown}")
        return value

    def listen(self) -> None:
        """Open the event stream; returns when it is open."""
        opened: queue.Queue[BaseException | None] = queue.Queue()
        threading.Thread(target=self._listen, args=(opened,), daemon=True).start()
        failure = opened.get(timeout=30)
        if failure is not None:
            raise failure
        # What came while nobody listened; after the stream is open, so that nothing falls between.
        for chat in self.call("GET", "/api/chats")["chats"]:
            for message in self.call("GET", f"/api/chats/{chat['id']}/messages?limit=100")["messages"]:
                self._note(message)

    def close(self) -> None:
        self._ended.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _listen(self, opened: queue.Queue[BaseException | None]) -> None:
        try:
            self._connection = connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            connection.request("GET", "/api/events", headers={"Cookie": self.cookie})
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
        except BaseException as failure:
            opened.put(failure)
            return
        opened.put(None)
        kind, data = "", ""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while not self._ended.is_set() and (line := answer.readline()):
                text = line.decode().rstrip("\n")
                if text.startswith("event:"):
                    kind = text[6:].strip()
                elif text.startswith("data:"):
                    data += text[5:].strip()
                elif not text:
                    self._event(kind, data)
                    kind, data = "", ""

    def _event(self, kind: str, data: str) -> None:
        if kind != "message":
            return
        self._note(json.loads(data)["message"])

    def _note(self, message: dict[str, Any]) -> None:
        reply = message.get("reply_to_message") or {}
        sender = message.get("from") or {}
        one = Seen(
            chat=int(message["chat"]["id"]),
            id=int(message["message_id"]),
            text=str(message.get("text", "")),
            by_bot=bool(sender.get("is_bot")),
            reply_to=reply.get("message_id"),
            at=time.monotonic(),
        )
        with self._changed:
            if all((old.chat, old.id) != (one.chat, one.id) for old in self.seen):
                self.seen.append(one)
            self._changed.notify_all()


@dataclass
class Sent:
    """A message that was sent, and what may be waited for because of it."""

    person: Person
    chat: int
    id: int
    text: str
    before: int
    at: float

    def replies(self) -> list[Seen]:
        return [s for s in self.person.seen if s.by_bot and s.chat == self.chat and s.reply_to == self.id]

    def answer(self, containing: str = "", timeout: float = PATIENCE) -> Seen:
        """The bot's reply to this very message that has `containing` in it."""

        def found(_seen: list[Seen]) -> Any:
            return next((s for s in self.replies() if containing in s.text), None)

        return self.person.wait(found, timeout, f"the answer to {self.text!r} with {containing!r}")  # type: ignore[no-any-return]

    def said(self, containing: str, timeout: float = PATIENCE) -> Seen:
        """Anything that the bot said in this chat after it."""

        def found(seen: list[Seen]) -> Any:
            later = seen[self.before :]
            return next((s for s in later if s.by_bot and s.chat == self.chat and containing in s.text), None)

        return self.person.wait(found, timeout, f"{containing!r} after {self.text!r}")  # type: ignore[no-any-return]


class Program:
    """`python run.py --tenant NAME` with a KLAD_HOME of its own."""

    def __init__(self, home: Path, tenant: str = "demo", **settings: object) -> None:
        self.home, self.tenant = home, tenant
        self.root = home / "tenants" / tenant
        self.faults = home / "faults"
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []
        self.person: Person | None = None
        self.environment: dict[str, str] = {}
        """More of it, for the program's process."""
        if not self.root.exists():
            port, gateway = free_ports(2)
            self.root.mkdir(parents=True, mode=0o700)
            values = {"PORT": port, "GATEWAY_PORT": gateway, **settings}
            text = "".join(f"{key}={value}\n" for key, value in values.items())
            (self.root / ".env").write_text(text)
        self.port = int(re.search(r"^PORT=(\d+)", (self.root / ".env").read_text(), re.M)[1])  # type: ignore[index]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, timeout: float = 600) -> Person:
        """Start it, follow the printed link, open the event stream. An image may have to be built first."""
        link = self.launch(r"http://127\.0\.0\.1:\d+/login\?code=\S+", timeout)
        old = self.person
        self.person = Person(self.port, log_in(self.port, link), seen=old.seen if old else [])
        self.person.listen()
        return self.person

    def launch(self, sign: str, timeout: float = 600) -> str:
        """Start it, and wait until it prints something that `sign` matches: that."""
        environment = {**os.environ, "KLAD_HOME": str(self.home), "KLAD_FAULTS": f"@{self.faults}"} | self.environment
        self.process = subprocess.Popen(
            [sys.executable, "run.py", "--tenant", self.tenant],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(self.process, lines), daemon=True).start()
        deadline = time.monotonic() + timeout
        while True:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "it ended at its start:\n" + "\n".join(self.output)
            found = re.search(sign, line)
            if found is not None:
                return found[0]

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        return self._end(signal.SIGTERM)

    def fault(self, point: str, kind: str = "raise", count: int = 1) -> None:
        """Arm a point while the program runs."""
        self.faults.write_text(f"{point}:{kind}:{count}\n")

    def fault_happened(self) -> bool:
        return not self.faults.read_text().strip()

    def health(self) -> dict[str, Any]:
        assert self.person is not None
        return self.person.call("GET", "/healthz")  # type: ignore[no-any-return]

    def log(self) -> str:
        return (self.root / "logs" / "klad.log").read_text(errors="replace")

    def _end(self, number: int) -> int:
        assert self.process is not None
        if self.person is not None:
            self.person.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _read(self, process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in process.stdout:
                self.output.append(line.rstrip())
                lines.put(line)
        lines.put(None)


def log_in(port: int, link: str) -> str:
    """Follow a one-time link; the cookie that it gives."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", link[link.index("/login") :])
        answer = connection.getresponse()
        answer.read()
        cookie = answer.getheader("Set-Cookie")
        assert cookie is not None, f"{answer.status}: the link gave no cookie"
        return cookie.split(";")[0]
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    home: Path, environment: dict[str, str] | None = None, **settings: object
) -> Iterator[tuple[Program, Person]]:
    """A program that is up, and a person at its web chat; at the end its containers are gone too."""
    program = Program(home, **settings)
    program.environment = environment or {}
    try:
        person = program.start()
        yield program, person
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop()
        remove_containers(home)


def install(home: Path) -> str:
    path = home / "install"
    return path.read_text().strip() if path.exists() else ""


def containers(home: Path, slot: str = "") -> dict[str, str]:
    """Name → id of this home's running containers, by the engine's own word."""
    mark = install(home)
    if not mark:
        return {}
    filters = ["--filter", f"label=klad.install={mark}"] + (["--filter", f"label=klad.slot={slot}"] if slot else [])
    listed = subprocess.run(
        ["docker", "ps", "--no-trunc", *filters, "--format", "{{.Names}} {{.ID}}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(line.split() for line in listed.stdout.splitlines())


def remove_containers(home: Path) -> None:
    mark = install(home)
    if not mark:
        return
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=klad.install={mark}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if found.stdout.split():
        remove = ["docker", "rm", "--force", *found.stdout.split()]
        subprocess.run(remove, capture_output=True, check=False, timeout=60)


def until(holds: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Ask the engine or a file again and again, as neither can call back; the value that held."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s in vain until {what}"
        pause.wait(0.05)
