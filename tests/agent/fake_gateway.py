"""A gateway that speaks the contract over a unix socket, with a scripted model and faults to order.

It keeps its state across `stop` and `start`, as the host does; events are kept by number, repeats ignored.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.agent.fake_model import Answer, Json, calls, fails, message, says, use

__all__ = ["TOKEN", "Answer", "FakeGateway", "Json", "calls", "fails", "message", "says", "use"]

TOKEN = "the-token-of-this-run"
WAIT_S = 15.0


class FakeGateway:
    def __init__(self, path: str) -> None:
        self.path = path
        self.changed = threading.Condition()
        self.over = False
        self.mismatch = False
        self.events: dict[int, Json] = {}
        self.posts = 0
        self.hellos: list[Json] = []
        self.asked: list[int] = []
        """`after` of each GET /agent/turn."""
        self.script: deque[Answer | Callable[[Json], Answer]] = deque()
        self.requests: list[Json] = []
        """Bodies that the model got."""
        self.tool_calls: list[tuple[str, Json]] = []
        self.faults: dict[str, deque[int | bytes]] = defaultdict(deque)
        """Path → statuses, or raw bytes in place of an answer, for the next requests to it."""
        self.polled = 0
        """Requests for signals that came."""
        self.signals_read = 0
        """Up to which signal the agent has asked further."""
        self.model_holds = threading.Event()
        """While it is clear, the model does not answer."""
        self.model_holds.set()
        self._turns: list[Json] = []
        self._signals: list[Json] = []
        self._withheld: set[str] = set()
        self._server: _Server | None = None

    # What a test does

    def start(self) -> None:
        self._server = _Server(self.path, self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """As a killed host: the socket is gone, every connection broken."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.break_all()
            os.unlink(self.path)
            with self.changed:
                self.changed.notify_all()

    def turn(self, *texts: str, slot: str = "worker", **more: Any) -> int:
        """Put a turn; its id."""
        with self.changed:
            number = len(self._turns) + 17
            messages = [{"id": i, "from": "David", "text": text, "at": "x"} for i, text in enumerate(texts)]
            brief = {"protocol": 1, "turn": number, "chat": "1", "slot": slot, "assistant": "Klåd",
                     "model": "klad-scripted", "max_tokens": 100, "messages": messages, "history": [],
                     "memory": "", "worker": {"state": "idle"}}
            self._turns.append(brief | more)
            self.changed.notify_all()
            return number

    def signal(self, kind: str, text: str = "", **more: Any) -> int:
        with self.changed:
            self._signals.append({"id": len(self._signals) + 1, "kind": kind, "text": text, **more})
            self.changed.notify_all()
            return len(self._signals)

    def cancel(self, turn: int) -> None:
        """End the turn, as the host does before it tells the agent."""
        with self.changed:
            next(brief for brief in self._turns if brief["turn"] == turn)["ended"] = True
        self.signal("cancel")

    def withhold(self, kind: str) -> None:
        """Acknowledge no event of that kind until `release`."""
        with self.changed:
            self._withheld.add(kind)

    def release(self, kind: str) -> None:
        with self.changed:
            self._withheld.discard(kind)
            self.changed.notify_all()

    def end_run(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def of(self, kind: str) -> list[Json]:
        """Data of the events of a kind, in order."""
        with self.changed:
            return [event["data"] for _, event in sorted(self.events.items()) if event["kind"] == kind]

    def wait(self, predicate: Callable[[], object], timeout: float = WAIT_S) -> None:
        with self.changed:
            assert self.changed.wait_for(predicate, timeout), f"waited in vain; events: {self.kinds()}"

    def event(self, kind: str, count: int = 1) -> Json:
        """Wait for the count-th event of a kind; its data."""
        self.wait(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def listened(self) -> None:
        """Wait until the agent has asked the model, and listens for signals meanwhile."""
        self.wait(lambda: self.polled and self.requests)

    def appears(self, file: Path, within: float, content: str = "") -> bool:
        """Whether a file comes into being (with that content), looked at often."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            if file.exists() and content in file.read_text() and file.stat().st_size:
                return True
            time.sleep(0.01)
        return False

    def wait_file(self, file: Path, content: str = "") -> None:
        """Wait until a command has written a file."""
        assert self.appears(file, WAIT_S, content), f"{file.name} was never written; events: {self.kinds()}"

    def kinds(self) -> list[str]:
        with self.changed:
            return [event["kind"] for _, event in sorted(self.events.items())]

    # What the server asks

    @property
    def running(self) -> bool:
        return self._server is not None

    def next_turn(self, after: int) -> Json | None:
        with self.changed:
            self.asked.append(after)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.over or not self.running or self._open(after), 25)
            return self._open(after)

    def _open(self, after: int) -> Json | None:
        ended = {event["turn"] for event in self.events.values() if event["kind"] in ("done", "failed")}
        for brief in self._turns:
            if brief["turn"] not in ended and not brief.get("ended"):
                return brief
        return None

    def record(self, events: list[Json]) -> int:
        with self.changed:
            self.posts += 1
            for event in events:
                self.events.setdefault(event["seq"], event)
            self.changed.notify_all()
            self.changed.wait_for(
                lambda: not self.running or not self._withheld & {event["kind"] for event in events}
            )
            return max(self.events)

    def signals_after(self, after: int) -> list[Json]:
        with self.changed:
            self.polled += 1
            self.signals_read = after
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.over or not self.running or len(self._signals) > after, 25)
            return self._signals[after:]

    def answer(self, request: Json) -> Answer:
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        self.model_holds.wait(WAIT_S)
        with self.changed:
            step = self.script.popleft() if self.script else says("well done")
        return step(request) if callable(step) else step


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 20

    def __init__(self, path: str, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.sockets: set[socket.socket] = set()
        super().__init__(path, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.sockets.add(request)
        super().process_request(request, client_address)

    def break_all(self) -> None:
        for sock in list(self.sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "agent"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(json.loads(raw))

    def _serve(self, body: Any) -> None:
        gateway = self.server.gateway
        url = urlsplit(self.path)
        after = int(parse_qs(url.query).get("after", ["0"])[0])
        if gateway.faults[url.path]:
            fault = gateway.faults[url.path].popleft()
            if isinstance(fault, bytes):
                self.wfile.write(fault)
                self.close_connection = True
            else:
                self._json(fault, {"error": {"type": "fault", "message": "to order"}}, {"Retry-After": "0.05"})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}" or self.headers["Klad-Protocol"] != "1":
            self._json(401, {"error": {"type": "auth", "message": "who?"}})
        elif gateway.over:
            self._json(410, {"error": {"type": "gone", "message": "over"}})
        elif url.path == "/agent/hello":
            gateway.hellos.append(body)
            refusal = {"error": {"type": "mismatch", "message": "/workspace/group is another directory"}}
            self._json(409, refusal) if gateway.mismatch else self._json(200, {"run": "r", "slot": "worker"})
        elif url.path == "/agent/turn":
            brief = gateway.next_turn(after)
            self._polled(brief)
        elif url.path == "/agent/signals":
            self._polled({"signals": gateway.signals_after(after)})
        elif url.path == "/agent/events":
            self._polled({"acked": gateway.record(body["events"])})
        elif url.path.startswith("/agent/tools/"):
            gateway.tool_calls.append((url.path.rpartition("/")[2], body))
            self._json(200, {"text": f"the host did {url.path.rpartition('/')[2]}", "error": False})
        elif url.path == "/v1/messages":
            self._model(gateway.answer(body))
        else:
            self._json(404, {"error": {"type": "not_found", "message": url.path}})

    def _polled(self, body: Json | None) -> None:
        if not self.server.gateway.running:
            self.close_connection = True
        elif self.server.gateway.over:
            self._json(410, {"error": {"type": "gone", "message": "over"}})
        elif body is None:
            self.send_response(204)
            self.end_headers()
        else:
            self._json(200, body)

    def _json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _model(self, answer: Answer) -> None:
        if answer.body is not None:
            self._json(answer.status, answer.body, dict(answer.headers))
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self._events(answer):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        if answer.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _events(self, answer: Answer) -> Iterator[bytes]:
        for event in answer.events:
            if isinstance(event, str):
                yield event.encode()
            else:
                yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
