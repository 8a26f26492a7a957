"""The tables of the embedded server's own database, and the steps from one version of them to the next."""

from __future__ import annotations

from typing import Any

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    FloatField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

VERSION = 1
"""Kept in `PRAGMA user_version`."""


class Tables:
    """Model classes of one database.

    Made anew for each, because a peewee model belongs to one database, and one process may hold two servers.
    """

    def __init__(self, database: SqliteDatabase) -> None:
        class Row(Model):  # type: ignore[misc]
            class Meta:
                pass

        Row._meta.database = database

        class Counter(Row):
            """The last number given out; kept apart, so that none is given twice after its row is gone."""

            name = CharField(primary_key=True)
            value = BigIntegerField()

        class Setting(Row):
            name = CharField(primary_key=True)
            value = TextField()

        class Chat(Row):
            id = BigIntegerField(primary_key=True)
            title = TextField()

        class Message(Row):
            id = BigIntegerField(primary_key=True)
            chat = BigIntegerField()
            by_bot = BooleanField()
            date = IntegerField()
            edited = IntegerField(null=True)
            text = TextField()
            entities = TextField()
            markup = TextField(null=True)
            thread = BigIntegerField(null=True)
            reply_to = BigIntegerField(null=True)
            nonce = CharField(null=True)

            class Meta:
                indexes = ((("chat", "id"), True), (("chat", "nonce"), True))

        class Update(Row):
            """Not yet acknowledged by an offset."""

            id = BigIntegerField(primary_key=True)
            payload = TextField()

        class Session(Row):
            digest = CharField(primary_key=True)
            expires = FloatField()

        self.database = database
        self.Counter: Any = Counter
        self.Setting: Any = Setting
        self.Chat: Any = Chat
        self.Message: Any = Message
        self.Update: Any = Update
        self.Session: Any = Session
        self._all = [Counter, Setting, Chat, Message, Update, Session]

    def migrate(self) -> None:
        """Brings the database to VERSION. Raises ValueError for one that a newer Klåd has written."""
        version = self.database.pragma("user_version")
        if version > VERSION:
            raise ValueError(f"it is of version {version}, and this Klåd knows versions up to {VERSION}")
        if version < 1:
            self.database.create_tables(self._all, safe=True)
        self.database.pragma("user_version", VERSION)
