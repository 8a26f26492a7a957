"""An actor that has a name, and whose end is told exactly once, whatever ends it.

Of all hooks of Pykka 4.5 only the end of `_actor_loop` is passed by every exit: an on_start that raises
calls neither on_failure nor on_stop, and one that raises SystemExit leaves an actor that counts as alive
and has no thread. So the end is told from there. tests/actors/supervision/test_pykka_facts.py holds what
this module relies on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from types import TracebackType
from typing import Any, ClassVar

import pykka
from pykka.messages import _ActorStop

from actors.supervision._clock import Clock, Timer
from actors.supervision._parent import Parent, survivable
from actors.supervision._registry import Registry
from actors.supervision._spec import Down

log = logging.getLogger(__name__)


class SupervisedActor(pykka.ThreadingActor):
    """Base of every actor in a tree. Its name is bound before on_start runs, and free before Down is told.

    An exception in a told message ends it; one in an ask or a proxy call goes to the caller (Pykka's rule).
    """

    use_daemon_thread: ClassVar[bool] = True
    """The process's main thread decides when to leave, after an orderly stop; no actor holds it up."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(f"{__package__}."):
            return
        for name, value in vars(cls).items():
            # A `_stop` of one's own, say, would be called by Pykka in place of its own: no actor would stop.
            if name.startswith("_") and not name.startswith("__") and callable(value):
                for base in cls.__mro__[1:]:
                    if name in vars(base) and base.__module__.startswith(("pykka.", f"{__package__}.")):
                        raise TypeError(f"{cls.__qualname__}.{name} hides a private method of {base.__name__}")

    def __init__(self, parent: Parent) -> None:
        """Runs in the starter's thread. Keep it to storing arguments: on_start is where work may fail."""
        super().__init__()
        self._parent = parent

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """This actor's name in the registry."""
        return self._parent.name

    @property
    def registry(self) -> Registry:
        """Where neighbours are told things: `self.registry.tell(name, message)`."""
        return self._parent.registry

    @property
    def clock(self) -> Clock:
        """The tree's clock."""
        return self._parent.clock

    def sibling(self, name: str) -> str:
        """The path of another child of this actor's parent."""
        above, _, _ = self.path.rpartition("/")
        return f"{above}/{name}" if above else name

    def tell_self(self, message: Any) -> None:
        """Put `message` into this actor's own mailbox; nothing happens when it has ended. Any thread."""
        with contextlib.suppress(pykka.ActorDeadError):
            self.actor_ref.tell(message)

    def tell_later(self, seconds: float, message: Any) -> Timer:
        """`tell_self(message)` after that many seconds of the tree's clock."""
        return self.clock.call_later(seconds, lambda: self.tell_self(message))

    def _start_actor_loop(self) -> None:
        parent = self._parent
        try:
            if parent.ref is not None:
                raise RuntimeError(f"{self.path}: one incarnation was started already by this parent")
            parent.ref = self.actor_ref
            self.registry.bind(self.path, self.actor_ref)
            super()._start_actor_loop()
        except BaseException:  # no thread: Pykka 4.5 would leave it registered for ever
            self.registry.unbind(self.path, self.actor_ref)
            self._leave()
            if parent.ref is self.actor_ref:
                parent.ref = None
            raise

    def _actor_loop(self) -> None:
        threading.current_thread().name = self.path
        try:
            super()._actor_loop()
        except BaseException as exc:  # noqa: BLE001 (a SystemExit of on_start or on_failure; else a zombie)
            failure = survivable(exc, self.path)
            self._handle_failure(type(failure), failure, exc.__traceback__)
            self._actor_loop_teardown()
        finally:
            self._end()

    def _actor_loop_setup(self) -> None:
        super()._actor_loop_setup()
        if self._parent.reason is None:
            self._parent.started = True
            self._welcome()
            self._parent.settled.set()

    def _handle_receive(self, message: Any) -> Any:
        try:
            return super()._handle_receive(message)
        except BaseException as exc:
            failure = survivable(exc, self.path)
            if isinstance(message, _ActorStop):  # raised by on_stop; Pykka hands it to the stopper alone
                self._blame(failure)
            if failure is exc:
                raise
            raise failure from exc  # as it was, Pykka would stop every actor of the process

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exception_value, Exception):
            self._blame(exception_value)
        super()._handle_failure(exception_type, exception_value, traceback)

    def _blame(self, exc: Exception) -> None:
        # The first one: what fails while it is cleaning up is a consequence.
        if self._parent.reason is None:
            self._parent.reason = exc

    def _leave(self) -> None:
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    def _welcome(self) -> None:
        """Runs in the actor's thread when on_start has finished well, before the starter is told."""

    def _farewell(self) -> None:
        """Runs in the actor's thread at the very end of every incarnation, before Down is told."""

    def _end(self) -> None:
        parent = self._parent
        try:
            self._farewell()
        except BaseException as exc:  # nothing may pass by Down
            log.exception("%s failed in its farewell", self.path)
            self._blame(survivable(exc, self.path))
        try:
            self.registry.unbind(self.path, self.actor_ref)
            parent.deliver(Down(self.path, self.actor_urn, parent.reason))
        except BaseException:  # a thread has nobody to raise it to
            log.exception("the end of %s could not be told", self.path)
        finally:
            parent.ended.set()
            parent.settled.set()
