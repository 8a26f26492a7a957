"""A chat's directories on the host, and how they appear in its containers.

The host writes beneath `inbox` and never beneath `group` or `home`, which belong to the agent.
Directory names are opaque: a container sees them in its mountinfo.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from klad.runtime import Mount
from klad.tenants import Tenant
from klad.words import Slot

AGENT_UID = 10001
SOURCES = ("klad", "actors", "agent")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the container's processes are."""

    uid: int
    gid: int

    @property
    def user(self) -> str:
        return f"{self.uid}:{self.gid}"


def identity() -> Identity:
    """A user of their own where the host process is root and can give files away; else the host's own."""
    if os.geteuid() == 0:
        return Identity(AGENT_UID, AGENT_UID)
    return Identity(os.geteuid(), os.getegid())


def opaque(*parts: str) -> str:
    """Eight hex digits for these words."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one chat's slot."""

    group: Path
    home: Path
    inbox: Path
    socket: Path
    passwd: Path | None
    """A generated /etc/passwd, where the user is not one that the image knows."""


def places(tenant: Tenant, install: str, chat: str, slot: Slot, who: Identity) -> Places:
    """Where they are; nothing is made. The same chat always has the same ones."""
    root = tenant.groups / opaque(install, tenant.name, chat)
    return Places(
        group=root / "group",
        home=root / "home",
        inbox=root / "inbox",
        socket=tenant.sockets / opaque(install, tenant.name, chat, slot),
        passwd=None if who.uid == AGENT_UID else tenant.root / "passwd",
    )


def prepare(found: Places, who: Identity) -> None:
    """Make what is missing, owned by `who` where it is the agent's. Raises `OSError`."""
    for directory in (found.group, found.home):
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.geteuid() == 0 and directory.stat().st_uid != who.uid:
            os.chown(directory, who.uid, who.gid)
    for directory in (found.inbox, found.socket):
        # Readable by the container's user, who is somebody else where the host is root; the tenant's
        # own directory, 0700, keeps everyone else of the host out.
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        os.chmod(directory, 0o755)  # noqa: S103 - as the comment says
    if found.passwd is not None and not found.passwd.exists():
        found.passwd.write_text(
            "root:x:0:0:root:/root:/bin/sh\n"
            f"agent:x:{who.uid}:{who.gid}:agent:/workspace/home:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
            encoding="ascii",
        )
        os.chmod(found.passwd, 0o644)


def mounts(found: Places, slot: Slot, source: Path, extra: tuple[Mount, ...] = ()) -> tuple[Mount, ...]:
    """The slot's binds. The chat slot sees the workspace read-only and has no home or source of its own."""
    worker = slot == "worker"
    binds = [
        Mount(str(found.group), "/workspace/group", read_only=not worker),
        Mount(str(found.inbox), "/workspace/inbox", read_only=True),
        Mount(str(found.socket), "/run/klad", read_only=True),
    ]
    if worker:
        binds.insert(1, Mount(str(found.home), "/workspace/home", read_only=False))
        binds += [Mount(str(source / name), f"/workspace/project/{name}", read_only=True) for name in SOURCES]
    if found.passwd is not None:
        binds.append(Mount(str(found.passwd), "/etc/passwd", read_only=True))
    return tuple(binds) + (extra if worker else tuple(Mount(m.source, m.target, True) for m in extra))


def identify(binds: tuple[Mount, ...]) -> dict[str, tuple[int, int]]:
    """(device, inode) of each source below /workspace and /run/klad, for the agent's entry to report.

    Raises `OSError` when one is not there.
    """
    found = {}
    for bind in binds:
        if bind.target.startswith(("/workspace/", "/run/klad")):
            status = os.stat(bind.source, follow_symlinks=False)
            found[bind.target] = (status.st_dev, status.st_ino)
    return found
