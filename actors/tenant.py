"""THE TREE: every actor of a tenant, its children and its restart rule. `tree()` prints the same at run time.

tenant                one_for_one; past its limit the process exits 70 and is started anew from outside
├─ gateway            HTTP for containers: a unix socket a slot, GATEWAY_PORT
├─ web                the embedded Bot API when there is no token, /healthz (PORT)
├─ telegram           polls, and sends the outbox
├─ scheduler          who gets a place that became free
├─ chats              one_for_one, dynamic: a chat wakes on its first message
│  └─ CHAT            one_for_one; past its limit it is parked, and comes back by itself
│     ├─ slot:chat
│     ├─ slot:worker
│     └─ router       who may speak, commands, which slot
└─ engine             the container engine's health; the sweep, after every slot has looked
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from actors import names
from actors.engine import Engine
from actors.member import Member
from actors.messages import Mail, Outbox, Wake
from actors.router import Router
from actors.scheduler import Scheduler
from actors.servers import GatewayActor, WebActor
from actors.slot import SlotActor
from actors.supervision import Backoff, Child, Clock, Down, Limit, Parent, Supervisor, Tree
from actors.telegram import TelegramActor
from actors.world import STEP_S, World
from klad import texts

PARK = Backoff(first=60, cap=900, jitter=0)
"""1, 2, 4 … minutes."""


class Tenant(Supervisor):
    limit = Limit(restarts=10, seconds=60)
    backoff = Backoff(first=0.1, cap=5)


class Chat(Supervisor):
    limit = Limit(restarts=5, seconds=30)
    backoff = Backoff(first=0.05, cap=2)


class Chats(Supervisor):
    limit = Limit(restarts=10, seconds=60)
    backoff = Backoff(first=0.1, cap=5)

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent)
        self.world = world

    def on_start(self) -> None:
        super().on_start()
        # The name is bound already, so a Mail that comes during this waits in the mailbox.
        for chat in self.world.ledger.chats_to_wake().result(STEP_S):
            self.start_child(chat_child(self.world, chat))

    def on_receive(self, message: Any) -> Any:
        match message:
            case Mail():
                self.start_child(chat_child(self.world, message.chat))
                self.registry.tell(names.router(message.chat), message)
            case Wake():
                self.start_child(chat_child(self.world, message.chat))
            case _:
                return super().on_receive(message)
        return None

    def on_parked(self, name: str, seconds: float, reason: Exception | None) -> None:
        self.world.ledger.say(name, texts.parked(seconds)).result(STEP_S)
        self.registry.tell(names.TELEGRAM, Outbox(name))

    def on_gone(self, name: str) -> None:
        self.tell_self(Wake(name))


def member(name: str, actor: type[Member], world: World, *args: Any, boot: float = 30) -> Child:
    return Child(name, lambda parent: actor.start(parent, world, *args), boot=boot, shutdown=10)


def chat_child(world: World, chat: str) -> Child:
    children = (
        member("slot:chat", SlotActor, world, chat, "chat"),
        member("slot:worker", SlotActor, world, chat, "worker"),
        member("router", Router, world, chat),
    )
    return Child(chat, lambda parent: Chat.start(parent, children), boot=math.inf, shutdown=math.inf, park=PARK)


def tenant_child(world: World) -> Child:
    children = (
        member("gateway", GatewayActor, world),
        member("web", WebActor, world),
        member("telegram", TelegramActor, world),
        member("scheduler", Scheduler, world),
        Child("chats", lambda parent: Chats.start(parent, world), boot=math.inf, shutdown=math.inf),
        member("engine", Engine, world),
    )
    return Child(names.TENANT, lambda parent: Tenant.start(parent, children), boot=math.inf, shutdown=math.inf)


def tree(world: World, *, clock: Clock | None = None, on_down: Callable[[Down], None] | None = None) -> Tree:
    """The whole tree of one tenant, not started yet."""
    return Tree(tenant_child(world), clock=clock, on_down=on_down)
