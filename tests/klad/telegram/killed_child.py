"""A process that polls until it is killed, and prints a line after each commit: `python -m tests.klad.telegram.killed_child URL LEDGER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from klad.ledger import Ledger
from klad.telegram import CommittingQueue, Poller
from tests.klad.telegram.fake_api import TOKEN


def tell(chat: str) -> None:
    print(chat, flush=True)


async def main(url: str, ledger: str) -> None:
    poller = Poller(TOKEN, CommittingQueue(Ledger.open(Path(ledger)), tell), api_url=url)
    poller.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
