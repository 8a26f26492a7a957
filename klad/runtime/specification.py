"""What a container is: the whole `POST /containers/create` body as one value. Pure.

Engine API 1.40 or later. Whatever is not said here is the engine's default, so everything that
keeps a container in its place is said here, and a test compares it with what `inspect` answers.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from klad.runtime import Launch, Mount
from klad.runtime.labels import labels
from klad.words import Slot

HOME: Final = "/workspace/home"

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SECCOMP: Final[str] = json.dumps(
    json.loads(files("klad.runtime").joinpath("seccomp.json").read_text("utf-8")), separators=(",", ":")
)
"""The seccomp profile, inline, as `SecurityOpt` wants it.

The rules of moby's default profile (github.com/moby/profiles, Apache-2.0) as they hold for a process
without capabilities, less what a container of ours never needs: `socket(AF_VSOCK)` (reaches the
host of a VM past every network namespace), `socket(AF_ALG)` and io_uring. And less i386 and x32 on
amd64: there `socketcall` has its arguments behind a pointer, where no filter sees them, and
libseccomp 2.5.4 lets it through wherever `socket` is allowed, so that `int 0x80` in an ordinary
64-bit program got an AF_VSOCK socket. A 32-bit program is now ended by SIGSYS.
"""

_CPU_SHARES: Final[dict[Slot, int]] = {"chat": 16384, "worker": 256}
"""A worker that burns every core gets what the answering container leaves, 1 part of 65."""

_TMP: Final[dict[Slot, str]] = {
    "chat": f"rw,nosuid,nodev,noexec,size={64 * MIB},mode=1777",
    "worker": f"rw,nosuid,nodev,exec,size={GIB},mode=1777",
}
_FILE_SIZE: Final[dict[Slot, int]] = {"chat": 64 * MIB, "worker": 8 * GIB}
"""The largest file a process may write, in bytes (RLIMIT_FSIZE)."""

_HOME_BYTES: Final = 64 * MIB
_OPEN_FILES: Final = 16384


def specification(launch: Launch) -> dict[str, Any]:
    """The create body for `launch`; the container's name is a query parameter, not a part of it."""
    return {
        "Image": launch.image,
        "User": launch.user,
        "Hostname": "klad",
        "Env": [f"{key}={value}" for key, value in _environment(launch).items()],
        "Labels": labels(launch),
        "Healthcheck": {"Test": ["NONE"]},
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "HostConfig": {
            "AutoRemove": True,
            "Init": True,
            "Runtime": launch.runtime,
            "Privileged": False,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", f"seccomp={SECCOMP}"],
            "ReadonlyRootfs": True,
            "NetworkMode": "none",
            "IpcMode": "private",
            "LogConfig": {"Type": "none", "Config": {}},
            "Memory": launch.memory_bytes,
            "MemorySwap": launch.memory_bytes,
            "NanoCpus": round(launch.cpus * 1e9),
            "CpuShares": _CPU_SHARES[launch.slot],
            "PidsLimit": launch.pids,
            "Ulimits": [
                _limit("nofile", _OPEN_FILES),
                _limit("core", 0),
                _limit("fsize", _FILE_SIZE[launch.slot]),
            ],
            "Mounts": [_mount(mount) for mount in launch.mounts],
            "Tmpfs": _tmpfs(launch),
        },
    }


def _environment(launch: Launch) -> dict[str, str]:
    known = {"KLAD_RUN": launch.run, "KLAD_SLOT": launch.slot, "HOME": HOME, "LANG": "C.UTF-8"}
    return known | dict(launch.env)


def _limit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def _mount(mount: Mount) -> dict[str, Any]:
    """Not recursive: what else is mounted beneath the source was not checked.

    And engines before 25.0 leave such a mount writable when the one above it is read-only.
    """
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def _tmpfs(launch: Launch) -> dict[str, str]:
    """By `HostConfig.Tmpfs`: the Mounts API has neither owner nor `exec` for one."""
    places = {"/tmp": _TMP[launch.slot]}  # noqa: S108 - a path in the container
    if all(mount.target != HOME for mount in launch.mounts):
        uid, _, gid = launch.user.partition(":")
        places[HOME] = f"rw,nosuid,nodev,noexec,size={_HOME_BYTES},mode=0700,uid={uid},gid={gid or uid}"
    return places
