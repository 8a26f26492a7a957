"""What a future has promised is there after a SIGKILL, wherever it falls."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from klad.ledger import Ledger
from tests.klad.ledger.support import do, read

WRITER = """
import pathlib, sys
from klad.ledger import Ledger

ledger = Ledger.open(pathlib.Path(sys.argv[1]))
number = 0
while True:
    waiting = [(number + n, ledger.commit_update(number + n, "7", "{}")) for n in range(7)]
    number += len(waiting)
    for update_id, future in waiting:
        assert future.result(30)
        print(update_id, flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_that_was_promised_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    promised = [int(writer.stdout.readline()) for _ in range(random.Random(seed).randint(1, 300))]
    writer.send_signal(signal.SIGKILL)
    with writer.stdout:  # not communicate(): it would pass by what readline has buffered
        rest = writer.stdout.read()
    writer.wait(20)
    promised += [int(line) for line in rest.split("\n")[:-1]]  # a last line may be cut
    assert writer.returncode == -signal.SIGKILL

    ledger = Ledger.open(path)
    try:
        kept = {number for (number,) in read(path, 'SELECT update_id FROM "update"')}
        assert set(promised) <= kept
        assert kept == set(range(len(kept))), "a group is committed whole or not at all, in order"
        assert len(do(ledger.pending_updates("7"))) == min(200, len(kept))
    finally:
        ledger.close()
