from __future__ import annotations

from pathlib import Path

import pytest

from klad.botapi import BotApi, BotApiStore, StoreError
from klad.botapi.store import Chat, StoredMessage


async def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "botapi.db"
    path.write_bytes(b"not a database, and long enough to look like none " * 40)
    with pytest.raises(StoreError, match=r"botapi\.db failed: file is not a database"):
        await BotApiStore(path).open(1)


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = BotApiStore(tmp_path / "botapi.db")
    await store.open(1)
    store._database.pragma("user_version", 99, permanent=False)
    await store._step(lambda: store._database.pragma("user_version", 99))
    await store.close()
    with pytest.raises(StoreError, match="version 99"):
        await BotApiStore(tmp_path / "botapi.db").open(1)


@pytest.mark.parametrize("before", [None, 0o644])
async def test_only_its_owner_may_read_the_database(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "botapi.db"
    if before is not None:
        path.touch()
        path.chmod(before)
    store = BotApiStore(path)
    await store.open(1)
    found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert found == {"botapi.db": 0o600, "botapi.db-wal": 0o600, "botapi.db-shm": 0o600}
    await store.close()


async def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = BotApiStore(tmp_path / "botapi.db")
    await store.open(1)

    def broken(_: StoredMessage) -> dict[str, object]:
        raise ValueError("no update of it")

    with pytest.raises(StoreError):
        await store.add(StoredMessage(chat=1, by_bot=False, date=0, text="x"), broken)
    assert await store.messages(1, 0, 10) == []
    message, _ = await store.add(StoredMessage(chat=1, by_bot=False, date=0, text="x"))
    assert message.id == 1, "the number was not used up"
    await store.close()


async def test_two_stores_in_one_process_are_two(tmp_path: Path) -> None:
    one, other = BotApiStore(tmp_path / "one.db"), BotApiStore(tmp_path / "other.db")
    await one.open(1)
    await other.open(1)
    await one.ensure_chat(Chat(7, "seven"))
    assert await other.chat(7) is None
    assert await one.chat(7) == Chat(7, "seven")
    await one.close()
    await other.close()


async def test_commits_are_on_disk_before_they_are_answered(tmp_path: Path) -> None:
    store = BotApiStore(tmp_path / "botapi.db")
    await store.open(1)
    assert await store._step(lambda: store._database.pragma("synchronous")) == 2
    assert await store._step(lambda: store._database.pragma("journal_mode")) == "wal"
    await store.close()


@pytest.mark.parametrize("token", ["", "abc", "1:", ":x", "1:a b", "1:a/b", "x:1"])
def test_a_token_that_hasnt_the_form_of_one_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValueError, match="a bot token is"):
        BotApi(BotApiStore(tmp_path / "botapi.db"), token, "Klåd")


async def test_start_and_stop_may_be_repeated(tmp_path: Path) -> None:
    api = BotApi(BotApiStore(tmp_path / "botapi.db"), "1:x", "Klåd")
    await api.start()
    await api.start()
    await api.stop()
    await api.stop()
    await api.start()
    await api.stop()
