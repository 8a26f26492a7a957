from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from functools import partial
from pathlib import Path

from tests.klad.telegram.fake_api import FakeApi
from tests.klad.telegram.tools import open_ledger, run

ROOT = Path(__file__).parents[3]
KILLS = 3


def polled_since(api: FakeApi, count: int) -> bool:
    return api.count("getUpdates") > count


def committed(ledger: Path) -> list[int]:
    with sqlite3.connect(ledger) as connection:
        return [row[0] for row in connection.execute('SELECT update_id FROM "update" ORDER BY update_id')]


def test_kill_9_at_any_moment_loses_no_update(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "ledger.db"
        open_ledger(tmp_path).close()
        chance = random.Random(7)
        async with FakeApi() as api:
            lost: set[int] = set()

            def check(offset: int) -> None:
                lost.update(set(range(1, offset)) - set(committed(path)))

            api.on_offset = check
            for _ in range(KILLS):
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "tests.klad.telegram.killed_child", api.url, str(path)),
                    cwd=ROOT,
                    stdout=asyncio.subprocess.PIPE,
                )
                assert child.stdout is not None
                try:
                    seen = api.count("getUpdates")
                    await api.until(partial(polled_since, api, seen))
                    for number in range(60):
                        await api.write(f"m{number}")
                    for _ in range(chance.randint(2, 50)):
                        assert await child.stdout.readline()
                finally:
                    child.kill()
                    await child.wait()
            assert lost == set(), "acknowledged before it was safe"
            kept, waiting = committed(path), [update["update_id"] for update in api.updates]
            assert set(kept) | set(waiting) == set(range(1, KILLS * 60 + 1))
            assert set(kept) & set(waiting), "no kill fell between a commit and its acknowledgement"

    run(test(), 60)
