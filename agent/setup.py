"""The container's environment as one value. Reading it takes the token out of reach of commands."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import NamedTuple

LOST_S = {"chat": 600.0, "worker": 6 * 3600.0}


class SetupError(Exception):
    """A variable is missing or malformed; `str()` names it."""


class Setup(NamedTuple):
    run: str
    token: str
    slot: str
    """chat | worker"""
    gateway: str
    """Path of the gateway's unix socket."""
    workspace: str
    spool: str
    """A directory of this run's own, for the journal, stderr and long outputs."""
    lost_s: float
    """How long the gateway may be unreachable before the agent gives up, in s."""

    @property
    def group(self) -> str:
        """The chat's workspace, where commands run."""
        return os.path.join(self.workspace, "group")


def take(environ: MutableMapping[str, str]) -> Setup:
    """Read the setup; `KLAD_TOKEN` is removed from `environ`. Raises SetupError."""
    token = environ.pop("KLAD_TOKEN", "")
    if not token:
        raise SetupError("KLAD_TOKEN is not set")
    slot = environ.get("KLAD_SLOT", "")
    if slot not in ("chat", "worker"):
        raise SetupError(f"KLAD_SLOT is {slot!r}; it is chat or worker")
    try:
        lost_s = float(environ.get("KLAD_LOST_S", LOST_S.get(slot, 600.0)))
    except ValueError:
        raise SetupError("KLAD_LOST_S is not a number of seconds") from None
    run = environ.get("KLAD_RUN", "") or "run"
    return Setup(
        run=run,
        token=token,
        slot=slot,
        gateway=environ.get("KLAD_GATEWAY", "/run/klad/gateway.sock"),
        workspace=environ.get("KLAD_WORKSPACE", "/workspace"),
        spool=environ.get("KLAD_SPOOL", f"/tmp/klad-spool-{run}"),  # noqa: S108 (made 0700, owner checked)
        lost_s=lost_s,
    )


def wipe(name: str) -> None:
    """Blank a variable in the memory that `/proc/PID/environ` shows; does nothing where that can't be done.

    Unsetting a variable leaves the block that the kernel keeps showing, and a command runs under our
    own user: it would read the token from its parent's `environ`. proc(5): fields 50 and 51 of `stat`.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            block = memory.read(end - start)
            prefix = name.encode() + b"="
            at = 0
            for entry in block.split(b"\0"):
                if entry.startswith(prefix):
                    memory.seek(start + at)
                    memory.write(b"\0" * len(entry))
                at += len(entry) + 1
    except (OSError, ValueError, IndexError):
        return


def own_directory(path: str) -> None:
    """Make a directory that only we can enter. Raises SetupError if somebody else has it already."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise SetupError(f"cannot make {path}: {error.strerror}") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o170000 != 0o040000:
        raise SetupError(f"{path} is somebody else's")


def mounts(setup: Setup) -> dict[str, list[int]]:
    """Container path → [device, inode] of every mount that is there, for the host to compare."""
    places = {f"/workspace/{name}": os.path.join(setup.workspace, name)
              for name in ("group", "home", "inbox")}
    for parent in ("project", "extra"):  # no mounts themselves: each directory in them is one
        try:
            inside = sorted(os.listdir(os.path.join(setup.workspace, parent)))
        except OSError:
            continue
        places |= {f"/workspace/{parent}/{name}": os.path.join(setup.workspace, parent, name) for name in inside}
    places["/run/klad"] = os.path.dirname(setup.gateway)
    found = {}
    for name, place in places.items():
        try:
            status = os.stat(place)
        except OSError:
            continue
        found[name] = [status.st_dev, status.st_ino]
    return found
