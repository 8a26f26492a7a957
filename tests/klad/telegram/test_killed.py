from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

from tests.klad.telegram.fake_api import FakeApi
from tests.klad.telegram.tools import open_ledger, run

ROOT = Path(__file__).parents[3]
BATCH = 30


def committed(ledger: Path) -> set[int]:
    with sqlite3.connect(ledger) as connection:
        return {row[0] for row in connection.execute('SELECT update_id FROM "update"')}


def test_kill_9_between_commit_and_acknowledgement_loses_no_update(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "ledger.db"
        open_ledger(tmp_path).close()
        async with FakeApi() as api:
            lost: set[int] = set()
            api.on_offset = lambda offset: lost.update(set(range(1, offset)) - committed(path))
            for commits in (1, 17, 45):
                for number in range(BATCH):
                    await api.write(f"m{number}")
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "tests.klad.telegram.killed_child", api.url, str(path), str(commits)),
                    cwd=ROOT,
                )
                try:
                    assert await child.wait() == -signal.SIGKILL
                finally:
                    if child.returncode is None:
                        child.kill()
                        await child.wait()
                waiting = {update["update_id"] for update in api.updates}
                assert committed(path) & waiting, "this kill did not fall between commit and acknowledgement"
            assert lost == set(), "acknowledged before it was safe"
            assert committed(path) | waiting == set(range(1, 3 * BATCH + 1))

    run(test(), 60)
