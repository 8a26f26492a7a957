"""Polls until, after so many commits, it is killed as by kill -9.

`python -m tests.klad.telegram.killed_child URL LEDGER COMMITS`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from klad.ledger import Ledger
from klad.telegram import CommittingQueue, Poller
from tests.klad.telegram.fake_api import TOKEN


async def main(url: str, ledger: str, commits: str) -> None:
    left = int(commits)

    def tell(chat: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    poller = Poller(TOKEN, CommittingQueue(Ledger.open(Path(ledger)), tell), api_url=url)
    poller.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
