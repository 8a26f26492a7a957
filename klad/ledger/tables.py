"""The tables, as peewee models bound to one database.

A function rather than module-level classes: peewee keeps the database on the class, and two
ledgers in one process (tests, a backup beside the live one) must not share it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from peewee import (
    SQL,
    AutoField,
    BooleanField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)


class Words(TextField):  # type: ignore[misc]
    """Text without lone surrogates: JSON may carry them, and SQLite refuses the whole step for one."""

    def db_value(self, value: Any) -> Any:
        value = super().db_value(value)
        if not isinstance(value, str) or value.isascii():
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def tables(database: SqliteDatabase) -> Any:
    """The models as attributes of one namespace, `all` holding them in order of creation."""

    class Base(Model):  # type: ignore[misc]
        class Meta:
            database = None

    Base._meta.database = database

    class Setting(Base):
        key = Words(primary_key=True)
        value = Words()

    class Update(Base):
        update_id = IntegerField(primary_key=True)
        chat = Words(null=True)
        json = Words(column_name="raw")
        at = FloatField()
        state = Words(default="new")  # new | done | ignored
        why = Words(default="")

    class Chat(Base):
        id = Words(primary_key=True)
        kind = Words()
        title = Words(default="")
        created = FloatField()
        fresh_from = IntegerField(default=0)  # messages and outbox rows before this moment are archive
        fresh_outbox = IntegerField(default=0)
        told_denied = FloatField(null=True)

    class Run(Base):
        id = Words(primary_key=True)
        chat = Words()
        slot = Words()
        state = Words(default="starting")
        token_hash = Words(unique=True)
        created = FloatField()
        started = FloatField(null=True)
        ended = FloatField(null=True)
        container = Words(default="")
        mounts = Words(default="{}")
        last_turn = IntegerField(null=True)
        exit_code = IntegerField(null=True)
        cause = Words(default="")
        crash = Words(default="")

    class Turn(Base):
        id = AutoField()
        chat = Words()
        slot = Words()
        state = Words(default="open")
        created = FloatField()
        run = ForeignKeyField(Run, null=True, column_name="run", object_id_name="run_id")
        taken = FloatField(null=True)
        ended = FloatField(null=True)
        request = Words(null=True)
        title = Words(default="")
        kind = Words(default="")
        attempts = IntegerField(default=0)
        tools = IntegerField(default=0)
        progress = Words(null=True)
        tail = Words(default="")
        tool = Words(default="")
        waiting = BooleanField(default=False)
        result = Words(default="")
        reply_to = IntegerField(null=True)

        class Meta:
            indexes = ((("chat", "slot", "state"), False), (("state",), False))

    class Message(Base):
        id = AutoField()
        chat = Words()
        update_id = IntegerField(unique=True, null=True)
        turn = ForeignKeyField(Turn, column_name="turn", object_id_name="turn_id", backref="messages")
        sender_id = IntegerField()
        sender = Words()
        text = Words()
        at = FloatField()
        telegram_id = IntegerField()
        reply_to = IntegerField(null=True)
        reply_text = Words(default="")

        class Meta:
            indexes = ((("chat", "id"), False),)

    class Event(Base):
        run = ForeignKeyField(Run, column_name="run", object_id_name="run_id")
        seq = IntegerField()
        turn = IntegerField(null=True)
        kind = Words()
        data = Words()
        at = FloatField()

        class Meta:
            primary_key = CompositeKey("run", "seq")

    class Outbox(Base):
        id = AutoField()
        chat = Words()
        turn = ForeignKeyField(Turn, null=True, column_name="turn", object_id_name="turn_id")
        text = Words()
        reply_to = IntegerField(null=True)
        final = BooleanField(default=False)
        state = Words(default="pending")  # pending | sending | sent | failed | folded (said in another row)
        sent_parts = IntegerField(default=0)
        attempts = IntegerField(default=0)
        telegram_id = IntegerField(null=True)
        error = Words(default="")
        at = FloatField()
        sent_at = FloatField(null=True)

        class Meta:
            indexes = ((("state", "chat", "id"), False),)

    class Signal(Base):
        id = AutoField()
        run = ForeignKeyField(Run, column_name="run", object_id_name="run_id")
        turn = IntegerField(null=True)
        kind = Words()
        text = Words()
        at = FloatField()
        taken_at_step = IntegerField(null=True)

    class ToolCall(Base):
        run = ForeignKeyField(Run, column_name="run", object_id_name="run_id")
        call = Words()
        text = Words()
        error = BooleanField(default=False)

        class Meta:
            primary_key = CompositeKey("run", "call")
            table_name = "tool_call"

    class Memory(Base):
        id = AutoField()
        chat = Words()
        text = Words()
        at = FloatField()

    Turn.add_index(
        # One taken turn a slot at most: the database itself refuses a second one.
        Turn.index(Turn.chat, Turn.slot, unique=True, where=SQL("state = 'taken' AND slot <> 'router'"))
    )
    Run.add_index(
        # One run a slot at most, until pre-started containers need more.
        Run.index(Run.chat, Run.slot, unique=True, where=SQL("state <> 'ended'"))
    )
    models = [Setting, Update, Chat, Run, Turn, Message, Event, Outbox, Signal, ToolCall, Memory]
    return SimpleNamespace(all=models, **{model.__name__: model for model in models})
