"""Which host directories a tenant may have beneath /workspace/extra. Deny by default.

The owner of the machine says so in a file that no tenant can reach:

    ~/.config/klad/mount-allowlist.json
    {"roots": [{"path": "/data", "write": false, "tenants": ["*"]}], "blocked": ["private"]}

and each tenant asks in `tenants/NAME/mounts.json`:

    {"NAME": {"path": "/data/x", "write": true}}

The decision is pure and over resolved paths, compared by whole components. Reading the files and
resolving the paths is `klad.allowlist`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from klad.runtime import Mount

EXTRA: Final = "/workspace/extra"

BLOCKED: Final = frozenset(
    {
        ".ssh", ".gnupg", ".gpg", ".password-store", ".aws", ".azure", ".gcloud", ".kube", ".docker",
        ".env", ".netrc", ".npmrc", ".pypirc", ".pgpass", ".git-credentials", ".secrets", ".secret",
        "credentials", "credentials.json", "secrets", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "private_key",
        "docker.sock", "containerd.sock", "podman.sock", "crio.sock",
    }
)  # fmt: skip
"""Names that may be no component of a mounted path. The allowlist's `blocked` adds to them."""

SYSTEM: Final = ("/proc", "/sys", "/dev", "/run", "/private/var/run", "/boot")
"""Never mounted, nor anything in them or above them."""


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that may be mounted, with all that is in it."""

    path: str
    write: bool = False
    tenants: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The machine owner's word. The empty one, which a missing file is, allows nothing."""

    roots: tuple[Root, ...] = ()
    blocked: frozenset[str] = BLOCKED


@dataclass(frozen=True, slots=True)
class Request:
    """A tenant's wish."""

    name: str
    path: str
    write: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    request: Request
    mount: Mount
    """Read-only where only reading was allowed, whatever was asked."""


@dataclass(frozen=True, slots=True)
class Refused:
    request: Request
    reason: str
    """One line for a person."""


def decide(
    allowlist: Allowlist,
    tenant: str,
    request: Request,
    resolved: str | None,
    forbidden: Iterable[str] = (),
) -> Granted | Refused:
    """Whether `tenant` gets `request`, whose path is `resolved` (None: no such directory).

    All paths are absolute and resolved, the roots' too. `forbidden`: paths that must not be seen
    from a container: neither they, nor what is in them, nor a directory that they are in. Of several
    roots that a path lies in the innermost decides, so that a rule for a part of a tree is an
    exception from the rule for the whole.
    """
    if resolved is None:
        return Refused(request, f"{request.path} is no directory on this machine")
    path = PurePosixPath(resolved)
    if not path.is_absolute() or ".." in path.parts:
        return Refused(request, f"{resolved} is not a resolved path")
    blocked = {name.casefold() for name in allowlist.blocked}
    for part in path.parts:
        # Case folded: on macOS .SSH is .ssh.
        if part.casefold() in blocked:
            return Refused(request, f"{resolved}: the name {part!r} is blocked")
    for never in (*SYSTEM, *forbidden):
        if _within(path, PurePosixPath(never)) or _within(PurePosixPath(never), path):
            return Refused(request, f"{resolved} would show {never}")
    around = [root for root in allowlist.roots if _within(path, PurePosixPath(root.path))]
    if not around:
        return Refused(request, f"{resolved} is in no directory that the mount allowlist names")
    innermost = max(len(PurePosixPath(root.path).parts) for root in around)
    around = [root for root in around if len(PurePosixPath(root.path).parts) == innermost]
    mine = [root for root in around if tenant in root.tenants] or [r for r in around if "*" in r.tenants]
    if not mine:
        return Refused(request, f"{resolved} is allowed to other tenants only")
    write = request.write and all(root.write for root in mine)
    return Granted(request, Mount(resolved, f"{EXTRA}/{request.name}", read_only=not write))


def _within(path: PurePosixPath, directory: PurePosixPath) -> bool:
    return path.parts[: len(directory.parts)] == directory.parts
