"""A world for actors under test: a real ledger in a directory, a runtime that only notes what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from actors import names
from actors.supervision import Registry
from actors.supervision.testing import ManualClock, Probe, solo
from actors.world import Ending, World
from klad.ledger import Ledger
from klad.redact import Redactor
from klad.runtime import EngineDown, EngineUp, Found, Launch, Report
from klad.runtime.image import Images
from klad.settings import Settings
from klad.tenants import Tenant
from klad.workspace import identity

CHAT = "5"


@dataclass
class NotingRuntime:
    """A `Runtime` without an engine: the test plays the engine by calling the reports."""

    started: list[Launch] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    report: Callable[[Report], None] | None = None
    asked: Probe = field(default_factory=Probe)

    def check(self) -> None: ...

    def start(self, launch: Launch, report: Callable[[Report], None]) -> None:
        self.started.append(launch)
        self.report = report
        self.asked(("start", launch.run))

    def adopt(self, run: str, report: Callable[[Report], None]) -> None:
        self.adopted.append(run)
        self.report = report
        self.asked(("adopt", run))

    def stop(self, run: str, grace_s: float, report: Callable[[Report], None]) -> None:
        self.stopped.append(run)
        self.report = report
        self.asked(("stop", run))

    def find(self, install: str, tenant: str) -> list[Found]:
        return self.found

    def remove(self, run: str) -> None:
        self.removed.append(run)
        self.asked(("remove", run))

    def watch(self, report: Callable[[EngineUp | EngineDown], None]) -> None: ...

    def close(self) -> None: ...


class House:
    """World, registry and clock of one test, with probes in the neighbours' places."""

    def __init__(self, root: Path, **settings: Any) -> None:
        tenant = Tenant("demo", root)
        for directory in (tenant.groups, tenant.sockets):
            directory.mkdir(parents=True, exist_ok=True)
        self.time = 1000.0
        self.ledger = Ledger.open(tenant.ledger, clock=lambda: self.time)
        self.ledger.set_setting("bot", json.dumps({"id": 77, "username": "klad_bot"})).result(10)
        self.runtime = NotingRuntime()
        self.registry = Registry()
        self.clock = ManualClock()
        self.update = 0
        self.world = World(
            tenant=tenant,
            settings=Settings(**settings),
            install="cafe",
            ledger=self.ledger,
            runtime=self.runtime,
            images=Images(chat="chat:1", worker="worker:1"),
            ensure_images=lambda: None,
            loop=cast(Any, None),
            redact=Redactor(),
            identity=identity(),
            source=root,
            extra=tuple,
            botapi=None,
            token="",
            api_url="",
            owners=frozenset({1}),
            ending=Ending(),
        )
        for name in ("klad", "actors", "agent"):
            (root / name).mkdir(exist_ok=True)
        self.telegram = self.probe(names.TELEGRAM)
        self.gateway = self.probe(names.GATEWAY)
        self.scheduler = self.probe(names.SCHEDULER)

    def probe(self, name: str) -> Probe:
        probe = Probe()
        self.registry.bind(name, probe)
        return probe

    def start(self, actor: Any, name: str, *args: Any) -> Any:
        return actor.start(solo(name, registry=self.registry, clock=self.clock), self.world, *args)

    def mail(self, text: str, sender: int = 1, in_chat: str = CHAT, **message: Any) -> int:
        """An update in the ledger, as Telegram would have sent it."""
        self.update += 1
        raw = {
            "update_id": self.update,
            "message": {
                "message_id": 100 + self.update,
                "date": 1000,
                **({"text": text} if text else {}),
                "chat": {"id": int(in_chat), "type": "private", "first_name": "D"},
                "from": {"id": sender, "is_bot": False, "first_name": "D"},
                **message,
            },
        }
        self.ledger.commit_update(self.update, in_chat, json.dumps(raw)).result(10)
        return self.update

    def outbox(self, chat: str = CHAT) -> list[str]:
        """What waits to be sent, in order; marked as sent by this look."""
        found = []
        while row := self.ledger.outbox_take(chat).result(10):
            found.append(row.text)
            self.ledger.outbox_sent(row.id, 1).result(10)
        return found
