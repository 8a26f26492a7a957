"""The schema that the migrations make is the one that the models speak."""

from __future__ import annotations

from pathlib import Path

import pytest
from peewee import (
    BooleanField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    OperationalError,
    SqliteDatabase,
)

from klad.errors import LedgerError
from klad.ledger import Ledger
from klad.ledger.tables import tables
from tests.klad.ledger.support import do, query, read

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


def sql_type(field: object) -> str:
    if isinstance(field, ForeignKeyField):
        return sql_type(field.rel_field)
    if isinstance(field, IntegerField | BooleanField):
        return "INTEGER"
    return "REAL" if isinstance(field, FloatField) else "TEXT"


def indexes(path: Path, table: str) -> set[tuple[tuple[str, ...], bool, bool]]:
    """(columns, unique, partial) of each index but the primary key's."""
    found = set()
    for _, name, unique, origin, partial in read(path, f"PRAGMA index_list('{table}')"):
        if origin != "pk":
            columns = tuple(row[2] for row in read(path, f"PRAGMA index_info('{name}')"))
            found.add((columns, bool(unique), bool(partial)))
    return found


def models(ledger: Ledger) -> list[type[Model]]:
    return list(ledger.tables.all)


def test_every_model_has_its_table_and_every_table_its_model(ledger: Ledger) -> None:
    there = {name for (name,) in query(ledger, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert there - {"migration", "sqlite_sequence"} == {model._meta.table_name for model in models(ledger)}


def test_the_columns_are_those_of_the_models(ledger: Ledger) -> None:
    for model in models(ledger):
        table = model._meta.table_name
        key = model._meta.primary_key
        names = getattr(key, "field_names", None) or (key.name,)
        wanted = {
            field.column_name: (sql_type(field), not field.null, field.name in names)
            for field in model._meta.sorted_fields
        }
        rows = query(ledger, f"PRAGMA table_info('{table}')")
        assert {name: (kind, bool(notnull), bool(pk)) for _, name, kind, notnull, _, pk in rows} == wanted, table


def test_the_references_are_those_of_the_models(ledger: Ledger) -> None:
    for model in models(ledger):
        wanted = {
            (field.column_name, field.rel_model._meta.table_name, field.rel_field.column_name)
            for field in model._meta.sorted_fields
            if isinstance(field, ForeignKeyField)
        }
        rows = query(ledger, f"PRAGMA foreign_key_list('{model._meta.table_name}')")
        assert {(row[3], row[2], row[4]) for row in rows} == wanted


def test_the_indexes_that_the_models_declare_are_there(ledger: Ledger, tmp_path: Path) -> None:
    declared = tmp_path / "declared.db"
    database = SqliteDatabase(str(declared))
    with database:
        database.create_tables(tables(database).all)
    for model in models(ledger):
        table = model._meta.table_name
        # A reference makes an index in peewee by itself; which of those pay is the migration's choice.
        wanted = {
            index for index in indexes(declared, table) if index[1] or len(index[0]) > 1 or index[0] == ("state",)
        }
        assert wanted <= indexes(ledger.path, table), table


def test_a_second_open_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first = Ledger.open(path)
    do(first.set_setting("key", "value"))
    first.close()
    schema, history = read(path, SCHEMA), read(path, "SELECT name, applied FROM migration")
    assert [name for name, _ in history] == ["0001_first"]
    second = Ledger.open(path)
    try:
        assert do(second.get_setting("key")) == "value"
    finally:
        second.close()
    assert read(path, SCHEMA) == schema
    assert read(path, "SELECT name, applied FROM migration") == history


@pytest.mark.parametrize("statements", [0, 1, 9, 20])
def test_a_migration_that_was_cut_short_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    path, real = tmp_path / "ledger.db", SqliteDatabase.execute_sql
    left = [statements]

    def fail_after_some(self: SqliteDatabase, sql: str, *args: object) -> object:
        if sql.startswith("CREATE") and "migration" not in sql:
            if left[0] == 0:
                raise OperationalError("cut short")
            left[0] -= 1
        return real(self, sql, *args)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteDatabase, "execute_sql", fail_after_some)
        with pytest.raises(LedgerError, match="cut short"):
            Ledger.open(path)
    assert read(path, "SELECT name FROM migration") == []
    assert read(path, "SELECT name FROM sqlite_master WHERE name = 'setting'") == []
    Ledger.open(path).close()


def test_two_ledgers_in_one_process_do_not_share_a_database(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.open(tmp_path / "other.db")
    try:
        do(other.set_setting("whose", "other"))
        assert do(ledger.get_setting("whose")) is None
    finally:
        other.close()
