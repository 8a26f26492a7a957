"""The router of one chat: who may speak, which commands it answers itself, which slot gets the rest.

It reads what `Mail` announces from the ledger, and each message is routed in one transaction.
Commands need neither engine nor model.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from actors import names
from actors.member import Member
from actors.messages import Cancel, Look, Mail, Outbox, SlotClear, StatusDue, StopDue
from actors.supervision import Parent
from actors.world import World
from klad import commands, routing, texts
from klad.ledger import StopBegun, Update
from klad.telegram.intake import MEDIA, Incoming, read
from klad.words import SLOTS, ChatState, Inbound

log = logging.getLogger(__name__)

STATUS_PATIENCE_S = 5.0
"""How long a status question may wait for a container before the router answers it itself."""
ANSWERED = frozenset(MEDIA) | {"oversize", "unknown"}
"""What is answered though it has no words; a mere notice (somebody joined) is not."""
DENIED_EVERY_S = 24 * 3600.0
STOP_AGAIN_S = 3.0
STOP_LIMIT_S = 45.0


@dataclass
class _Stop:
    begun: StopBegun
    since: float
    """By the tree's clock."""
    missing: set[str]
    """Runs that no slot has confirmed yet."""
    errors: list[str] = field(default_factory=list)


class Router(Member):
    kind = "router"

    def __init__(self, parent: Parent, world: World, chat: str) -> None:
        super().__init__(parent, world)
        self.chat = chat
        self._house: routing.House | None = None
        self._bot_id = 0
        self._stops: dict[int, _Stop] = {}
        self._unsure = True

    def on_start(self) -> None:
        talk = self.step(self.ledger.state(self.chat)).talk
        if talk is not None and talk.state == "open":
            self.tell_later(STATUS_PATIENCE_S, StatusDue(talk.id))
        self.tell_self(Mail(self.chat))

    def on_retry(self) -> None:
        self._unsure = True

    def handle(self, message: Any) -> None:
        match message:
            case Mail():
                self._read_mail()
            case StatusDue():
                if self.step(self.ledger.answer_if_open(message.turn, texts.status)):
                    self._outbox()
            case SlotClear():
                self._slot_clear(message)
            case StopDue():
                self._stop_due(message.stop)
            case _:
                super().handle(message)

    def _read_mail(self) -> None:
        self._read_updates()
        if self._unsure:
            # An earlier incarnation, or a step that took too long, may have committed something and told
            # nobody. Everyone whom it could concern looks for themselves.
            for begun in self.step(self.ledger.unfinished_stops(self.chat)):
                self._follow_stop(begun)
            for slot in SLOTS:
                self.tell(names.slot(self.chat, slot), Look())
            self._outbox()
            self._unsure = False

    def _read_updates(self) -> None:
        while updates := self.step(self.ledger.pending_updates(self.chat)):
            for update in updates:
                self._route(update)

    def _who_i_am(self) -> routing.House:
        if self._house is None:
            known = json.loads(self.step(self.ledger.get_setting("bot")) or "{}")
            house = routing.House(self.world.owners, str(known.get("username", "")))
            if not known:
                return house  # not told yet by Telegram: don't keep it
            self._house, self._bot_id = house, int(known.get("id", 0))
        return self._house

    def _route(self, update: Update) -> None:
        house = self._who_i_am()
        try:
            incoming = read(json.loads(update.raw), self._bot_id, house.bot_username)
        except (ValueError, TypeError, KeyError) as error:
            incoming = None
            log.warning("update %s of chat %s can't be read: %s", update.update_id, self.chat, error)
        if incoming is None:
            self.step(self.ledger.ignore_update(update.update_id, "it can't be read"))
            return
        inbound = _inbound(incoming, house.bot_username)
        decision = routing.admit(
            house,
            inbound,
            what=incoming.what if incoming.what in ANSWERED else "",
            addressed=incoming.mentions_bot or incoming.replies_to_bot,
            edited=incoming.kind == "edited",
        )
        match decision:
            case None:
                self._to_slot(update, inbound)
            case routing.Ask():
                self._command(update, inbound, decision.command)
            case routing.Deny():
                text = texts.denied(inbound.sender_id)
                self.step(self.ledger.deny(update.update_id, inbound, text, DENIED_EVERY_S))
                self._outbox()
            case routing.NotText():
                self._answer(update, inbound, texts.not_text(decision.what))
            case routing.Ignore():
                self.step(self.ledger.ignore_update(update.update_id, decision.why))

    def _to_slot(self, update: Update, inbound: Inbound) -> None:
        if commands.asks_for_status(inbound.text):
            state = self.step(self.ledger.state(self.chat))
            if state.worker is None and state.talk is None:
                # No container need start to say that nothing runs.
                self._answer_from_state(update, inbound, texts.status)
                return
        routed = self.step(
            self.ledger.route(update.update_id, inbound, lambda state: routing.choose_slot(inbound.text, state))
        )
        if routed is None:
            return
        decision, turn = routed
        self.tell(names.slot(self.chat, decision.slot), Look())
        if decision.watch:
            self.tell_later(STATUS_PATIENCE_S, StatusDue(turn.id))

    def _command(self, update: Update, inbound: Inbound, command: commands.Command) -> None:
        match command.name:
            case "stop":
                begun = self.step(self.ledger.begin_stop(update.update_id, inbound))
                if begun is not None:
                    self._outbox()
                    self._follow_stop(begun)
            case "new":
                self.step(self.ledger.start_afresh(update.update_id, inbound, texts.fresh))
                self.tell(names.slot(self.chat, "worker"), Look())
                self._outbox()
            case "status":
                self._answer_from_state(update, inbound, texts.status)
            case "tasks":
                self._answer_from_state(update, inbound, texts.tasks)
            case "start":
                self._answer(update, inbound, texts.start(self.world.settings.assistant_name))
            case "help":
                self._answer(update, inbound, texts.HELP)
            case _:
                self._answer(update, inbound, texts.unknown_command(command.rest))

    def _answer(self, update: Update, inbound: Inbound, text: str) -> None:
        self._answer_from_state(update, inbound, lambda _state, _now: text)

    def _answer_from_state(self, update: Update, inbound: Inbound, reply: Any) -> None:
        def with_health(state: ChatState, now: float) -> str:
            engine = self.world.health.get()["engine"]
            note = f"\n\n⚠ {engine}" if reply is texts.status and engine not in ("ok", "starting") else ""
            return str(reply(state, now)) + note

        self.step(self.ledger.answer(update.update_id, inbound, with_health))
        self._outbox()

    def _outbox(self) -> None:
        self.tell(names.TELEGRAM, Outbox(self.chat))

    # A stop: told to the slot of each run, and answered when the engine has confirmed each.

    def _follow_stop(self, begun: StopBegun) -> None:
        if begun.turn not in self._stops:
            self._stops[begun.turn] = _Stop(begun, self.clock.now(), {run for _, run in begun.runs})
            # Also when there is nothing to end: should its answer not be written now, it is later.
            self.tell_later(STOP_AGAIN_S, StopDue(begun.turn))
        stop = self._stops[begun.turn]
        if stop.missing:
            self._tell_cancel(stop)
        else:
            self._finish_stop(stop)

    def _tell_cancel(self, stop: _Stop) -> None:
        for slot, run in stop.begun.runs:
            if run in stop.missing:
                self.tell(names.slot(self.chat, slot), Cancel(stop.begun.turn, run, "the user said stop"))

    def _slot_clear(self, clear: SlotClear) -> None:
        stop = self._stops.get(clear.stop)
        if stop is None:
            return
        if clear.run in stop.missing:
            stop.missing.discard(clear.run)
            if clear.error:
                stop.errors.append(clear.error)
        if not stop.missing:
            self._finish_stop(stop)

    def _stop_due(self, turn: int) -> None:
        stop = self._stops.get(turn)
        if stop is None:
            return
        self.tell_later(STOP_AGAIN_S, StopDue(turn))
        if stop.missing and self.clock.now() - stop.since < STOP_LIMIT_S:
            self._tell_cancel(stop)  # a slot may have been restarted in between
            return
        late = "the engine did not confirm it in time"
        if stop.missing and late not in stop.errors:
            stop.errors.append(late)
        self._finish_stop(stop)

    def _finish_stop(self, stop: _Stop) -> None:
        begun = stop.begun
        if begun.runs:
            seconds = self.ledger.clock() - begun.since
            text = texts.stopped(seconds, tuple(stop.errors), begun.dropped, begun.what)
        else:
            text = texts.nothing_to_stop(begun.dropped)
        self.step(self.ledger.finish_turn(begun.turn, text))
        self._stops.pop(begun.turn, None)
        self._outbox()


def _inbound(incoming: Incoming, bot_username: str) -> Inbound:
    inbound = Inbound(
        chat=incoming.chat,
        chat_kind=incoming.chat_kind,
        title=incoming.title,
        sender_id=incoming.sender_id,
        sender=incoming.sender_name,
        text=incoming.text,
        telegram_id=incoming.telegram_id,
        at=incoming.at,
        reply_to=incoming.reply_to,
        reply_text=incoming.reply_text or "",
    )
    mention = f"@{bot_username}".lower()
    if bot_username and inbound.text.lower().startswith(mention):
        return replace(inbound, text=inbound.text[len(mention) :].strip())
    return inbound
