"""Everything that a person can get wrong ends in one line and the contract's exit code."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.program import ROOT, free_ports

pytestmark = pytest.mark.timeout(120)


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "KLAD_HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def prepared(home: Path, text: str = "", name: str = "demo") -> Path:
    root = home / "tenants" / name
    root.mkdir(parents=True)
    port, gateway = free_ports(2)
    (root / ".env").write_text(f"PORT={port}\nGATEWAY_PORT={gateway}\n{text}")
    return root


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last
    assert "Traceback" not in done.stderr + done.stdout


def test_a_bad_tenant_name(tmp_path: Path) -> None:
    refused(run(tmp_path, "--tenant", "../evil"), 2, "tenant's name")


def test_no_tenant_at_all(tmp_path: Path) -> None:
    refused(run(tmp_path), 2, "--tenant")


def test_an_unknown_setting_names_its_line(tmp_path: Path) -> None:
    prepared(tmp_path, "ALOWED_USERS=1\n")
    refused(run(tmp_path, "--tenant", "demo"), 2, "line 3", "ALOWED_USERS", "ALLOWED_USERS")


def test_a_malformed_setting_names_its_line_and_form_and_not_its_value(tmp_path: Path) -> None:
    prepared(tmp_path, "TELEGRAM_BOT_TOKEN=hunter2-secret\n")
    done = run(tmp_path, "--tenant", "demo")
    refused(done, 2, "line 3", "@BotFather")
    assert "hunter2" not in done.stderr


def test_a_taken_lock_and_taken_ports_are_waited_for_and_then_told(tmp_path: Path) -> None:
    """Three at once, as each waits its five seconds for a dying predecessor."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context((prepared(tmp_path / "lock") / "lock").open("w"))
        fcntl.flock(held, fcntl.LOCK_EX)
        starts = [(tmp_path / "lock", "running already")]
        for key in ("PORT", "GATEWAY_PORT"):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            env = prepared(tmp_path / key) / ".env"
            number = taken.getsockname()[1]
            lines = [f"{key}={number}" if line.startswith(f"{key}=") else line for line in env.read_text().split()]
            env.write_text("\n".join(lines))
            starts.append((tmp_path / key, f"set another {key} in"))
        with ThreadPoolExecutor() as pool:
            ended = list(pool.map(lambda start: run(start[0], "--tenant", "demo"), starts))
    for (_, words), done in zip(starts, ended, strict=True):
        refused(done, 3, words)


def test_no_engine_on_the_first_start_names_the_command_that_helps(tmp_path: Path) -> None:
    prepared(tmp_path)
    done = run(tmp_path, "--tenant", "demo", DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    refused(done, 4, "make engine")


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can lay down its right to read everything"
)
def test_an_engine_that_may_not_be_used_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    prepared(tmp_path)
    path = tmp_path / "docker.sock"
    rights = "-dac_override,-dac_read_search"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        path.chmod(0o600)
        os.chown(path, 65534, 65534)
        done = subprocess.run(
            ["setpriv", "--bounding-set", rights, "--inh-caps", rights, sys.executable, "run.py", "--tenant", "demo"],
            cwd=ROOT,
            env={**os.environ, "KLAD_HOME": str(tmp_path), "DOCKER_HOST": f"unix://{path}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    refused(done, 4, "docker", "usermod")


def test_a_home_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(tmp_path / "file", "--tenant", "demo"), 2, "KLAD_HOME")


def test_without_its_packages_it_says_what_to_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "run.py", "--tenant", "demo"],
        cwd=ROOT,
        env={**os.environ, "KLAD_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused(done, 2, "make run")
