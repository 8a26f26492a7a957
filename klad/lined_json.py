"""JSON files that people write by hand: whatever is wrong in one is told with file and line."""

from __future__ import annotations

import json
import json.scanner
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from klad.errors import UsageError


class LinedObject:
    """One object of a file, which knows where it begins. Every reader raises `UsageError`."""

    def __init__(self, path: Path, line: int, members: dict[str, Any]) -> None:
        self._path = path
        self._line = line
        self._members = members

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def error(self, what: str) -> UsageError:
        return UsageError(f"{self._path}, line {self._line}: {what}")

    def only(self, *known: str) -> None:
        for key in self._members:
            if key not in known:
                raise self.error(f"unknown key {key!r}; known are {', '.join(known)}")

    def text(self, key: str) -> str:
        value = self._members.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"{key!r} must be a string")
        return value

    def flag(self, key: str) -> bool:
        """False where it is missing."""
        value = self._members.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key!r} must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._members.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{key!r} must be a list of strings")
        return tuple(value)

    def object(self, key: str) -> LinedObject:
        value = self._members.get(key)
        if not isinstance(value, LinedObject):
            raise self.error(f"{key!r} must be an object")
        return value

    def objects(self, key: str) -> tuple[LinedObject, ...]:
        """None where it is missing."""
        value = self._members.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, LinedObject) for item in value):
            raise self.error(f"{key!r} must be a list of objects")
        return tuple(value)


def parse(path: Path) -> LinedObject | None:
    """The file's one object; None where there is no such file. Raises `UsageError`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}, line 1: can't be read: {error}") from error
    try:
        value = _Decoder(path).decode(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise UsageError(f"{path}, line 1: nested too deep") from error
    if not isinstance(value, LinedObject):
        raise UsageError(f"{path}, line 1: must be an object, {{…}}")
    return value


class _Decoder(json.JSONDecoder):
    """The standard decoder, in Python: its C scanner doesn't say where an object begins."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=True)
        plain = json.decoder.JSONObject  # type: ignore[attr-defined]

        def lined(s_and_end: tuple[str, int], *rest: Any) -> tuple[LinedObject, int]:
            text, begin = s_and_end
            line = text.count("\n", 0, begin) + 1
            pairs, end = plain((text, begin), *_with_pairs(rest))
            members: dict[str, Any] = {}
            for key, value in pairs:
                if key in members:
                    raise UsageError(f"{path}, line {line}: {key!r} stands there twice")
                members[key] = value
            return LinedObject(path, line, members), end

        self.parse_object = lined
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def _with_pairs(rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments after the first: strict, scan_once, object_hook, object_pairs_hook, memo, …"""
    strict, scan_once, object_hook, _, *more = rest
    return (strict, scan_once, object_hook, list, *more)
