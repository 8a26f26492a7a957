"""An asyncio loop on a thread of its own, for those who live among threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Start it, run coroutines on it from other threads, stop it."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """The coroutine's result, waited for at most `timeout` s. Raises `TimeoutError`, or what it raises.

        `RuntimeError` once the loop is closed.

        Never from the loop's own thread: it would wait for itself.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def call(self, action: Callable[..., Any], *args: Any) -> None:
        """Run `action` on the loop soon; nothing happens once the loop is closed."""
        try:
            self.loop.call_soon_threadsafe(action, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def stop(self) -> None:
        """Cancel what still runs, close the loop, join the thread."""
        if self.loop.is_closed():
            return
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)
        if not self._thread.is_alive() and not self.loop.is_closed():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=5))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
