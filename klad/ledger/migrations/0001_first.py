"""Version 1: the tables as the first release had them, frozen here."""

from typing import Any

STATEMENTS = (
    'CREATE TABLE "setting" ("key" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL)',
    """CREATE TABLE "update" ("update_id" INTEGER NOT NULL PRIMARY KEY, "chat" TEXT, "raw" TEXT NOT NULL,
       "at" REAL NOT NULL, "state" TEXT NOT NULL, "why" TEXT NOT NULL)""",
    """CREATE INDEX "update_new" ON "update" ("chat", "update_id") WHERE state = 'new'""",
    """CREATE TABLE "chat" ("id" TEXT NOT NULL PRIMARY KEY, "kind" TEXT NOT NULL, "title" TEXT NOT NULL,
       "created" REAL NOT NULL, "fresh_from" INTEGER NOT NULL, "fresh_outbox" INTEGER NOT NULL,
       "told_denied" REAL)""",
    """CREATE TABLE "run" ("id" TEXT NOT NULL PRIMARY KEY, "chat" TEXT NOT NULL, "slot" TEXT NOT NULL,
       "state" TEXT NOT NULL, "token_hash" TEXT NOT NULL UNIQUE, "created" REAL NOT NULL, "started" REAL,
       "ended" REAL, "container" TEXT NOT NULL, "mounts" TEXT NOT NULL, "last_turn" INTEGER,
       "exit_code" INTEGER, "cause" TEXT NOT NULL, "crash" TEXT NOT NULL)""",
    """CREATE UNIQUE INDEX "run_chat_slot" ON "run" ("chat", "slot") WHERE state <> 'ended'""",
    """CREATE TABLE "turn" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "chat" TEXT NOT NULL,
       "slot" TEXT NOT NULL, "state" TEXT NOT NULL, "created" REAL NOT NULL, "run" TEXT REFERENCES "run" ("id"),
       "taken" REAL, "ended" REAL, "request" TEXT, "title" TEXT NOT NULL, "kind" TEXT NOT NULL,
       "attempts" INTEGER NOT NULL, "tools" INTEGER NOT NULL, "progress" TEXT, "tail" TEXT NOT NULL,
       "tool" TEXT NOT NULL, "waiting" INTEGER NOT NULL, "result" TEXT NOT NULL, "reply_to" INTEGER)""",
    'CREATE INDEX "turn_chat_slot_state" ON "turn" ("chat", "slot", "state")',
    'CREATE INDEX "turn_state" ON "turn" ("state")',
    """CREATE UNIQUE INDEX "turn_chat_slot" ON "turn" ("chat", "slot")
       WHERE state = 'taken' AND slot <> 'router'""",
    """CREATE TABLE "message" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "chat" TEXT NOT NULL,
       "update_id" INTEGER UNIQUE, "turn" INTEGER NOT NULL REFERENCES "turn" ("id"), "sender_id" INTEGER NOT NULL,
       "sender" TEXT NOT NULL, "text" TEXT NOT NULL, "at" REAL NOT NULL, "telegram_id" INTEGER NOT NULL,
       "reply_to" INTEGER, "reply_text" TEXT NOT NULL)""",
    'CREATE INDEX "message_chat_id" ON "message" ("chat", "id")',
    'CREATE INDEX "message_turn" ON "message" ("turn")',
    """CREATE TABLE "event" ("run" TEXT NOT NULL REFERENCES "run" ("id"), "seq" INTEGER NOT NULL, "turn" INTEGER,
       "kind" TEXT NOT NULL, "data" TEXT NOT NULL, "at" REAL NOT NULL, PRIMARY KEY ("run", "seq"))""",
    """CREATE TABLE "outbox" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "chat" TEXT NOT NULL,
       "turn" INTEGER REFERENCES "turn" ("id"), "text" TEXT NOT NULL, "reply_to" INTEGER, "final" INTEGER NOT NULL,
       "state" TEXT NOT NULL, "sent_parts" INTEGER NOT NULL, "attempts" INTEGER NOT NULL, "telegram_id" INTEGER,
       "error" TEXT NOT NULL, "at" REAL NOT NULL, "sent_at" REAL)""",
    'CREATE INDEX "outbox_state_chat_id" ON "outbox" ("state", "chat", "id")',
    'CREATE INDEX "outbox_turn" ON "outbox" ("turn")',
    """CREATE UNIQUE INDEX "outbox_final" ON "outbox" ("turn") WHERE final = 1""",
    """CREATE TABLE "signal" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
       "run" TEXT NOT NULL REFERENCES "run" ("id"), "turn" INTEGER, "kind" TEXT NOT NULL, "text" TEXT NOT NULL,
       "at" REAL NOT NULL, "taken_at_step" INTEGER)""",
    """CREATE TABLE "tool_call" ("run" TEXT NOT NULL REFERENCES "run" ("id"), "call" TEXT NOT NULL,
       "text" TEXT NOT NULL, "error" INTEGER NOT NULL, PRIMARY KEY ("run", "call"))""",
    """CREATE TABLE "memory" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "chat" TEXT NOT NULL,
       "text" TEXT NOT NULL, "at" REAL NOT NULL)""",
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
