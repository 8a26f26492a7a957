"""The bases from Debian's packages, where no registry of images can be reached.

Needs root and debootstrap. Everything that is mounted on the way is mounted in a namespace of its
own (`unshare --mount`), so that nothing stays mounted however this ends; the directory it works in
is removed in any case.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker

from klad.errors import ImageMissingError
from klad.runtime.fetch import fetch
from klad.runtime.progress import Progress
from klad.runtime.recipe import PLACES, UID, Images, Recipe

_LEAN = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian/*",
    "usr/share/bash-completion/*",
    "var/cache/apt/*",
    "var/cache/debconf/*",
    "var/lib/apt/lists/*",
    "var/log/*",
    "proc/*",
    "sys/*",
    "dev/*",
)
"""Left out of the images; the engine brings its own /dev, /proc and /sys."""

_DPKG = "force-unsafe-io\n" + "".join(
    f"path-exclude=/usr/share/{place}/*\n" for place in ("doc", "man", "info", "locale", "lintian")
)
"""No fsync for each file (the directory is thrown away on failure), and nothing that `_LEAN` leaves out."""

# Not the usual directory, which is often a small tmpfs, or mounted nodev: no place for a system.
_WORKSHOP = Path("/var/tmp")  # noqa: S108

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """What this machine lacks to do it, as one line with the remedy; empty: nothing."""
    needed = {
        "debootstrap": "debootstrap",
        "unshare": "util-linux",
        "setpriv": "util-linux",
        "tar": "tar",
        "chroot": "coreutils",
    }
    lacking = sorted({package for program, package in needed.items() if not shutil.which(program, path=_PATH)})
    if not _KEYRING.exists():
        lacking.append("debian-archive-keyring")
    if os.uname().sysname != "Linux":
        return "building one without a registry works on Linux only: check the internet connection"
    if os.geteuid() != 0:
        return "building one without a registry needs root: run `sudo klad build` once"
    if lacking:
        return f"building one without a registry needs {', '.join(lacking)}: apt-get install {' '.join(lacking)}"
    return ""


def build(
    client: docker.APIClient, recipe: Recipe, bases: Images, have: Callable[[str], bool], progress: Progress
) -> None:
    """Import the bases that are not there. Raises `ImageMissingError`."""
    with _scratch() as root:
        progress.phase("base: Debian and Python")
        _bootstrap(root, recipe, progress)
        _furnish(root, recipe)
        _apt(root, ["update"], progress)
        _apt(root, ["upgrade"], progress)
        if not have(bases.chat):
            _import(client, root, bases.chat, progress)
        if not have(bases.worker):
            progress.phase("worker base: developer tools")
            _apt(root, ["install", *recipe.worker_packages], progress)
            _unpack_npm(root, fetch(recipe.npm.url, recipe.npm.sha512))
            _import(client, root, bases.worker, progress)


@contextmanager
def _scratch() -> Iterator[Path]:
    # What a build that was killed left behind; the caller's lock says that none is under way.
    for stale in _WORKSHOP.glob("klad-build-*/"):
        if stale.stat().st_uid == os.geteuid():
            shutil.rmtree(stale, ignore_errors=True)
    place = tempfile.mkdtemp(prefix="klad-build-", dir=_WORKSHOP)
    # A directory in it, for the temporary one is 0700 and this one's mode is that of the image's "/".
    root = Path(place) / "root"
    try:
        root.mkdir()
        root.chmod(0o755)
        yield root
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _apart(*command: str) -> list[str]:
    """`command` with mounts and processes of its own, which all go when it goes or we do."""
    dying_with_us = ["setpriv", "--pdeathsig", "KILL", "--"]
    return [*dying_with_us, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *command]


def _bootstrap(root: Path, recipe: Recipe, progress: Progress) -> None:
    include = ",".join(recipe.packages)
    command = ["debootstrap", "--variant=minbase", f"--include={include}", recipe.suite, str(root), recipe.mirror]
    _run(_apart(*command), progress.debootstrap, "debootstrap")


def _furnish(root: Path, recipe: Recipe) -> None:
    for place in PLACES:
        (root / place).mkdir(parents=True, exist_ok=True)
    _append(root / "etc/passwd", f"klad:x:{UID}:{UID}:Klad:/workspace/home:/bin/bash\n")
    _append(root / "etc/group", f"klad:x:{UID}:\n")
    (root / "etc/dpkg/dpkg.cfg.d/klad").write_text(_DPKG)
    # No service is started by its installation (invoke-rc.d asks this).
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    resolver = root / "etc/resolv.conf"
    if Path("/etc/resolv.conf").exists():
        resolver.unlink(missing_ok=True)
        shutil.copyfile("/etc/resolv.conf", resolver)
    (root / "etc/apt/sources.list").write_text(
        f"deb {recipe.mirror} {recipe.suite} main\n"
        f"deb {recipe.mirror} {recipe.suite}-updates main\n"
        f"deb {recipe.security_mirror} {recipe.suite}-security main\n"
    )


def _apt(root: Path, what: Sequence[str], progress: Progress) -> None:
    """apt-get in the new system.

    The status has a descriptor of its own: dpkg closes it for its children, and a package's script
    without a standard output fails. No pty, for there is no /dev/pts in there.
    """
    script = 'mount -t proc proc "$0/proc" 2>/dev/null; exec chroot "$0" "$@" 3>&1'
    options = ("APT::Status-Fd=3", "Acquire::Retries=3", "Dpkg::Use-Pty=0")
    apt = ["apt-get", "-q", "-y", "--no-install-recommends", *(f"-o{option}" for option in options)]
    _run(_apart("sh", "-c", script, str(root), *apt, *what), progress.apt, f"apt-get {what[0]}")


def _unpack_npm(root: Path, tarball: Path) -> None:
    modules = root / "usr/local/lib/node_modules"
    modules.mkdir(parents=True)
    try:
        with tarfile.open(tarball) as archive:
            archive.extractall(modules, filter="data")
    finally:
        tarball.unlink()
    (modules / "package").rename(modules / "npm")
    for name in ("npm", "npx"):
        (root / f"usr/local/bin/{name}").symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")


def _import(client: docker.APIClient, root: Path, tag: str, progress: Progress) -> None:
    progress.line(f"importing {tag}")
    repository, _, version = tag.partition(":")
    excludes = [f"--exclude=./{pattern}" for pattern in _LEAN]
    tar = subprocess.Popen(["tar", "-C", str(root), "--numeric-owner", *excludes, "-c", "."], stdout=subprocess.PIPE)
    try:
        client.import_image(src=tar.stdout, repository=f"{repository}", tag=f"{version}.part")
    finally:
        if tar.stdout is not None:
            tar.stdout.close()
        code = tar.wait()
    # Under its real name only once it is whole.
    if code == 0:
        client.tag(f"{repository}:{version}.part", repository, version)
    client.remove_image(f"{repository}:{version}.part", noprune=True)
    if code != 0:
        raise ImageMissingError(f"tar failed ({code}) while importing {tag}")


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def _run(command: Sequence[str], follow: Callable[[str], None], what: str) -> None:
    """Raises `ImageMissingError` with its last words."""
    environment = {
        key: value for key, value in os.environ.items() if key.lower().endswith("_proxy") or key == "TMPDIR"
    }
    environment |= {"PATH": _PATH, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    last: list[str] = []
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    )
    try:
        for line in process.stdout or ():
            line = line.rstrip()
            if line:
                last = [*last[-4:], line]
                follow(line)
    except BaseException:
        process.kill()
        if process.stdout is not None:
            process.stdout.read()  # to its end: until the last of them is gone
        raise
    finally:
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code != 0:
        raise ImageMissingError(f"{what} failed ({code}): {' | '.join(last)[-400:]}")
