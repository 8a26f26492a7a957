"""read_file, write_file, edit_file, list_files."""

from __future__ import annotations

from agent.stream import Call
from agent.tools.base import Input, Result, Tool, ToolError
from agent.tools.paths import Workspace

LINES = 2000
"""Lines that are read unless told otherwise."""
ENTRIES = 500
"""Entries of a directory that are listed."""
WRITE = 8 << 20
"""Longest content, in bytes."""

_PATH = {"type": "string", "description": "Absolute, or relative to the group directory."}


def reading(workspace: Workspace) -> list[Tool]:
    """The tools that change nothing."""

    def read_file(call: Call, given: Input) -> Result:
        path = given["path"]
        offset, limit = given.get("offset", 1), given.get("limit", LINES)
        if offset < 1 or limit < 1:
            raise ToolError("offset and limit count lines from 1")
        raw = workspace.read(path)
        if not raw:
            return Result("(empty file)")
        lines = _decoded(raw, path).splitlines(keepends=True)
        part = lines[offset - 1 : offset - 1 + limit]
        if not part:
            raise ToolError(f"{path} has {len(lines)} lines")
        text = "".join(part)
        last = offset - 1 + len(part)
        if offset > 1 or last < len(lines):
            text = text.rstrip("\n") + f"\n[lines {offset}-{last} of {len(lines)}]"
        return Result(text)

    def list_files(call: Call, given: Input) -> Result:
        entries = workspace.entries(given.get("path") or ".")
        more = f"\n[… {len(entries) - ENTRIES} more …]" if len(entries) > ENTRIES else ""
        return Result("\n".join(entries[:ENTRIES]) + more or "(empty directory)")

    return [
        Tool(
            "read_file",
            "Read a text file of the workspace.",
            {
                "path": _PATH,
                "offset": {"type": "integer", "description": "First line, from 1."},
                "limit": {"type": "integer", "description": f"Lines; default {LINES}."},
            },
            ("path",),
            read_file,
        ),
        Tool("list_files", "List a directory of the workspace.", {"path": _PATH}, (), list_files),
    ]


def writing(workspace: Workspace) -> list[Tool]:
    """The tools that change files."""

    def write_file(call: Call, given: Input) -> Result:
        content = given["content"].encode("utf-8", "replace")
        if len(content) > WRITE:
            raise ToolError(f"the content has {len(content)} bytes; {WRITE} is the most")
        workspace.write(given["path"], content)
        return Result(f"Wrote {len(content)} bytes to {given['path']}.")

    def edit_file(call: Call, given: Input) -> Result:
        path, old, new = given["path"], given["old"], given["new"]
        text = _decoded(workspace.read(path), path)
        workspace.write(path, replaced(text, old, new, path).encode("utf-8", "replace"))
        return Result(f"Replaced it in {path}.")

    return [
        Tool(
            "write_file",
            "Write a file of the workspace, whole; missing directories are made.",
            {"path": _PATH, "content": {"type": "string"}},
            ("path", "content"),
            write_file,
        ),
        Tool(
            "edit_file",
            "Replace one piece of a file. `old` must stand in it exactly once, to the letter.",
            {"path": _PATH, "old": {"type": "string"}, "new": {"type": "string"}},
            ("path", "old", "new"),
            edit_file,
        ),
    ]


def replaced(text: str, old: str, new: str, path: str) -> str:
    """The text with its one occurrence of `old` replaced. Raises ToolError."""
    if not old:
        raise ToolError("`old` is empty; write_file writes a whole file")
    if old == new:
        raise ToolError("`old` and `new` are the same")
    start = text.find(old)
    if start < 0:
        raise ToolError(f"`old` does not stand in {path}; it must match to the letter, blanks and line ends too")
    if text.find(old, start + 1) >= 0:  # also one that overlaps: count() would miss it
        raise ToolError(f"`old` stands in {path} more than once; take more of what is around it")
    return text[:start] + new + text[start + len(old) :]


def _decoded(raw: bytes, path: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ToolError(f"{path} is binary ({len(raw)} bytes), not text")
    return text
