"""A unix socket in front of the engine's, to take the engine away without touching it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

ENGINE = "/var/run/docker.sock"


class EngineProxy:
    """Forwards bytes between `url` and the engine.

    `cut` is the engine dying: every connection ends, and nobody listens. `freeze` is the engine
    hanging: connections stay and are accepted, and no answer comes. `restore` ends both.
    """

    def __init__(self, directory: Path, engine: str = ENGINE) -> None:
        self.path = directory / "engine.sock"
        self.url = f"unix://{self.path}"
        self._engine = engine
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._thawed = threading.Event()
        self._thawed.set()

    def __enter__(self) -> EngineProxy:
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._thawed.set()
        for thread in self._threads:
            thread.join(5)

    def restore(self) -> None:
        self._thawed.set()
        if self._listener is None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.path))
            self._listener.listen(64)
            self._thread(self._accept, self._listener)

    def cut(self) -> None:
        if self._listener is not None:
            self.path.unlink()
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """End the connections there are; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _shut(*pair)

    def freeze(self) -> None:
        self._thawed.clear()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    caller, _ = listener.accept()
                    engine = socket.socket(socket.AF_UNIX)
                    engine.connect(self._engine)
                except OSError:
                    return
                with self._lock:
                    self._pairs.append((caller, engine))
                self._thread(self._copy, caller, engine)
                self._thread(self._copy, engine, caller)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._thawed.wait(60)
                target.sendall(data)
        except OSError:
            pass
        _shut(source, target)

    def _thread(self, work: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
