"""Files within the workspace, and nothing else: every path that a model names goes through here.

A path is resolved first (a symlink within the workspace is welcome), then walked from the root one
directory at a time without following any link, so that none can be slipped in between the two.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from agent.tools.base import ToolError

READ = 8 << 20
"""Longest file that is read, in bytes."""


class Workspace:
    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.group = os.path.join(self.root, "group")

    def read(self, path: str) -> bytes:
        """A regular file's bytes. Raises ToolError."""
        with self._parent(path) as (directory, name):
            file = _open(directory, name, os.O_RDONLY, path)
            try:
                status = os.fstat(file)
                if stat.S_ISDIR(status.st_mode):
                    raise ToolError(f"{path} is a directory; list_files lists it")
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError(f"{path} is not a regular file")
                if status.st_size > READ:
                    raise ToolError(f"{path} has {status.st_size} bytes, more than the {READ} that are read here")
                parts = []
                left = READ
                while left > 0 and (part := os.read(file, min(left, 1 << 20))):
                    parts.append(part)
                    left -= len(part)
                return b"".join(parts)
            except OSError as error:
                raise ToolError(f"{path}: {error.strerror}") from error
            finally:
                os.close(file)

    def write(self, path: str, content: bytes) -> None:
        """Replace or create a file whole, its directories too; its mode is kept. Raises ToolError."""
        self._make_parents(path)
        with self._parent(path) as (directory, name):
            mode = 0o644
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError(f"{path} is not a regular file")
                mode = stat.S_IMODE(status.st_mode)
            except FileNotFoundError:
                pass
            fresh = f".{name[:100]}.{os.urandom(4).hex()}"
            try:
                file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=directory)
                try:
                    with open(file, "wb", closefd=True) as stream:
                        stream.write(content)
                    os.chmod(fresh, mode, dir_fd=directory)
                    os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
                except BaseException:
                    os.unlink(fresh, dir_fd=directory)
                    raise
            except OSError as error:
                raise ToolError(f"{path}: {error.strerror}") from error

    def entries(self, path: str) -> list[str]:
        """A directory's entries, sorted: `name/`, `name@` for a link, `name  SIZE`. Raises ToolError."""
        with self._parent(path) as (directory, name):
            folder = _open(directory, name, os.O_RDONLY, path)
            try:
                if not stat.S_ISDIR(os.fstat(folder).st_mode):
                    raise ToolError(f"{path} is not a directory")
                with os.scandir(folder) as found:
                    return sorted(_line(entry) for entry in found)
            except OSError as error:
                raise ToolError(f"{path}: {error.strerror}") from error
            finally:
                os.close(folder)

    def _steps(self, path: str) -> list[str]:
        """The resolved path's components below the root. Raises ToolError."""
        if "\0" in path or not path:
            raise ToolError("that is no path")
        full = os.path.realpath(os.path.join(self.group, path))
        if full == self.root:
            return []
        if not full.startswith(self.root + os.sep):
            raise ToolError(f"{path} is outside {self.root}")
        return full[len(self.root) + 1 :].split(os.sep)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The opened directory that holds the path, and its name there."""
        steps = self._steps(path)
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps[:-1]:
                below = _open(directory, step, os.O_RDONLY | os.O_DIRECTORY, path)
                os.close(directory)
                directory = below
            yield directory, steps[-1] if steps else "."
        finally:
            os.close(directory)

    def _make_parents(self, path: str) -> None:
        steps = self._steps(path)
        if not steps:
            raise ToolError(f"{path} is a directory")
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps[:-1]:
                try:
                    os.mkdir(step, dir_fd=directory)
                except FileExistsError:
                    pass
                except OSError as error:
                    raise ToolError(f"{path}: {error.strerror}") from error
                below = _open(directory, step, os.O_RDONLY | os.O_DIRECTORY, path)
                os.close(directory)
                directory = below
        finally:
            os.close(directory)


def _open(directory: int, name: str, flags: int, path: str) -> int:
    # O_NONBLOCK: opening a FIFO would wait for its writer.
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}") from error


def _line(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return f"{entry.name}@"
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return f"{entry.name}  {entry.stat(follow_symlinks=False).st_size}"
