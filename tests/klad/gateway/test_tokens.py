from __future__ import annotations

import asyncio

from klad.gateway.tokens import KEEP_S, REMEMBERED, Tokens, digest, new_token
from klad.words import Run

RUN = Run("klad-1", "7", "worker", "live", 0.0)


class Ledger:
    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.asked = 0
        self.now = 0.0
        self.tokens = Tokens(self.run_by_token, lambda: self.now)

    async def run_by_token(self, token_hash: str) -> Run | None:
        self.asked += 1
        found = self.runs.get(token_hash)
        await asyncio.sleep(0)
        return found


def test_a_token_is_new_each_time_and_only_its_hash_is_to_be_stored() -> None:
    (one, one_hash), (two, _) = new_token(), new_token()
    assert one != two
    assert one_hash == digest(one)
    assert one not in one_hash
    assert len(one_hash) == 64


async def test_a_runs_token_is_looked_up_once_in_a_while() -> None:
    ledger = Ledger()
    ledger.runs[digest("t")] = RUN
    for _ in range(3):
        assert await ledger.tokens.run_of("t") == RUN
    assert ledger.asked == 1
    ledger.now += KEEP_S
    assert await ledger.tokens.run_of("t") == RUN
    assert ledger.asked == 2


async def test_a_forgotten_run_has_ended_at_once() -> None:
    ledger = Ledger()
    ledger.runs[digest("t")] = RUN
    await ledger.tokens.run_of("t")
    ledger.runs.clear()
    assert await ledger.tokens.run_of("t") == RUN  # nobody told us
    ledger.tokens.forget(RUN.id)
    assert await ledger.tokens.run_of("t") == "ended"
    asked = ledger.asked
    assert await ledger.tokens.run_of("t") == "ended"
    assert ledger.asked == asked


async def test_a_run_forgotten_while_it_is_looked_up_is_not_kept() -> None:
    ledger = Ledger()
    ledger.runs[digest("t")] = RUN
    looks = asyncio.create_task(ledger.tokens.run_of("t"))
    await asyncio.sleep(0)  # the ledger has answered "live"; then the run ends
    ledger.runs.clear()
    ledger.tokens.forget(RUN.id)
    assert await looks == RUN
    assert await ledger.tokens.run_of("t") == "ended"


async def test_an_unknown_token_is_nobodys_and_is_not_kept() -> None:
    ledger = Ledger()
    assert await ledger.tokens.run_of("t") is None
    ledger.runs[digest("t")] = RUN
    assert await ledger.tokens.run_of("t") == RUN


async def test_what_can_be_no_token_is_not_looked_up() -> None:
    ledger = Ledger()
    for token in ("", "x" * 201, "å", "\udcff"):
        assert await ledger.tokens.run_of(token) is None
        assert not ledger.tokens.seen(token)
    assert ledger.asked == 0


async def test_the_memory_is_bounded() -> None:
    ledger = Ledger()
    for number in range(REMEMBERED + 50):
        ledger.runs[digest(str(number))] = RUN
        await ledger.tokens.run_of(str(number))
    assert len(ledger.tokens._known) == REMEMBERED
