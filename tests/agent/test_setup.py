"""The environment, read once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.setup import SetupError, own_directory, take


def test_the_token_is_taken_out_of_the_environment() -> None:
    environ = {"KLAD_TOKEN": "t", "KLAD_SLOT": "chat", "KLAD_RUN": "klad-1"}
    setup = take(environ)
    assert setup.token == "t"
    assert "KLAD_TOKEN" not in environ
    assert (setup.gateway, setup.workspace, setup.lost_s) == ("/run/klad/gateway.sock", "/workspace", 600)
    assert setup.spool == "/tmp/klad-spool-klad-1"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"KLAD_SLOT": "chat"}, "KLAD_TOKEN"),
        ({"KLAD_TOKEN": "t"}, "KLAD_SLOT"),
        ({"KLAD_TOKEN": "t", "KLAD_SLOT": "chat", "KLAD_LOST_S": "soon"}, "KLAD_LOST_S"),
    ],
)
def test_what_is_missing_or_malformed_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        take(environ)


def test_the_spool_is_nobody_elses(tmp_path: Path) -> None:
    own_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    os.symlink(tmp_path / "a", tmp_path / "link")
    with pytest.raises(SetupError, match="somebody else's"):
        own_directory(str(tmp_path / "link"))
