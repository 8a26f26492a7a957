"""Files of the workspace, and of nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.stream import Call
from agent.tools import Result, Toolbox
from agent.tools.base import ToolError
from agent.tools.files import reading, replaced, writing
from agent.tools.paths import READ, Workspace


class Files:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.group = root / "group"
        self.group.mkdir()
        workspace = Workspace(str(root))
        self.box = Toolbox([*reading(workspace), *writing(workspace)])

    def use(self, name: str, **given: Any) -> Result:
        call = Call("c", name, given)
        problem = self.box.problem(call)
        return Result(problem, error=True) if problem else self.box.run(call)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "workspace"
    root.mkdir()
    return Files(root)


def test_a_file_is_written_with_its_directories_read_edited_and_listed(files: Files) -> None:
    assert not files.use("write_file", path="a/b/c.txt", content="one\ntwo\nthree\n").error
    assert files.use("read_file", path="a/b/c.txt").text == "one\ntwo\nthree\n"
    assert files.use("read_file", path="a/b/c.txt", offset=2, limit=1).text == "two\n[lines 2-2 of 3]"
    assert not files.use("edit_file", path="a/b/c.txt", old="two\n", new="2\r\n").error
    assert (files.group / "a/b/c.txt").read_bytes() == b"one\n2\r\nthree\n"
    assert files.use("list_files", path="a/b").text == "c.txt  13"
    assert files.use("list_files").text == "a/"
    assert files.use("list_files", path=str(files.root)).text == "group/"
    assert os.listdir(files.group / "a/b") == ["c.txt"]


def test_writing_keeps_the_mode_of_a_file(files: Files) -> None:
    script = files.group / "run.sh"
    script.write_text("old")
    script.chmod(0o755)
    files.use("write_file", path="run.sh", content="new")
    assert script.read_text() == "new"
    assert script.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "link", "up/secret", "/proc/self/environ", "a\0b"])
@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "list_files"])
def test_a_path_that_leads_outside_is_refused(files: Files, tool: str, path: str) -> None:
    os.symlink(files.root.parent / "secret", files.group / "link")
    os.symlink(files.root.parent, files.group / "up")
    result = files.use(tool, path=path, content="x", old="secret", new="x")
    assert result.error
    assert "outside" in result.text or "no path" in result.text
    assert (files.root.parent / "secret").read_text() == "secret"


def test_a_link_within_the_workspace_is_followed(files: Files) -> None:
    (files.group / "real").mkdir()
    (files.group / "real" / "f").write_text("x")
    os.symlink("real", files.group / "way")
    assert files.use("read_file", path="way/f").text == "x"
    assert files.use("list_files").text == "real/\nway@"


def test_a_link_that_is_slipped_in_after_the_check_is_not_followed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.symlink(files.root.parent, files.group / "up")
    monkeypatch.setattr(os.path, "realpath", lambda path: str(path))
    assert files.use("read_file", path="up/secret").error
    assert files.use("write_file", path="up/secret", content="x").error


def test_only_regular_files_of_bounded_size_and_of_text_are_read(files: Files) -> None:
    os.mkfifo(files.group / "fifo")
    assert "not a regular file" in files.use("read_file", path="fifo").text
    assert "not a regular file" in files.use("write_file", path="fifo", content="x").text
    assert "is a directory" in files.use("read_file", path=".").text
    with open(files.group / "big", "wb") as file:
        file.truncate(READ + 1)
    assert "more than" in files.use("read_file", path="big").text
    (files.group / "bin").write_bytes(b"\x7fELF\0")
    assert files.use("read_file", path="bin").text == "bin is binary (5 bytes), not text"
    assert files.use("read_file", path="none").text == "none: No such file or directory"
    (files.group / "empty").touch()
    assert files.use("read_file", path="empty").text == "(empty file)"


def test_an_edit_needs_exactly_one_place() -> None:
    assert replaced("a b c", "b", "x", "f") == "a x c"
    for text, old, new in [("a b b", "b", "x"), ("aaa", "aa", "x"), ("a", "b", "x"), ("a", "", "x"), ("a", "a", "a")]:
        with pytest.raises(ToolError):
            replaced(text, old, new, "f")


def test_a_wrong_type_is_told_before_anything_runs(files: Files) -> None:
    assert files.use("write_file", path="f", content=7).text == "'content' of write_file must be a string."
    assert files.use("read_file", path="f", offset=True).text == "'offset' of read_file must be an integer."
    assert files.use("read_file", path="f", offset=0).error
    assert not (files.group / "f").exists()
