from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klad.allowlist import load_allowlist, load_requests, mounts_of
from klad.errors import UsageError
from klad.mounts import BLOCKED, Allowlist, Granted, Refused, Request, Root


def test_a_missing_allowlist_allows_nothing(tmp_path: Path) -> None:
    assert load_allowlist(tmp_path / "none.json") == Allowlist()


def test_an_allowlist_is_read_with_its_roots_resolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    file = tmp_path / "list.json"
    file.write_text(
        f'{{"roots": [{{"path": "{tmp_path}/link", "write": true, "tenants": ["ann"]}}, {{"path": "/srv"}}],'
        ' "blocked": ["token"]}'
    )

    allowlist = load_allowlist(file)

    assert allowlist.roots == (Root(str(tmp_path / "real"), True, ("ann",)), Root("/srv"))
    assert allowlist.blocked == BLOCKED | {"token"}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('{"roots": [\n  {"path": "/data",}\n]}', 2, ""),
        ('{"roots": [\n  {"path": "/a"},\n  {"path": "b"}\n]}', 3, "absolute"),
        ('{\n "roots": [\n  {"path": "/a",\n   "write": "yes"}\n]}', 3, "true or false"),
        ('{"roots": {}}', 1, "list"),
        ('\n{"rots": []}', 2, "rots"),
        ('{"roots": [\n{"path": "/a",\n"mode": 1}]}', 2, "mode"),
        ('{"roots": [], "roots": []}', 1, "twice"),
        ('{"blocked": "token"}', 1, "list of strings"),
        ('{"blocked": ["a/b"]}', 1, "single name"),
        ("[]", 1, "object"),
        ("", 1, ""),
        ("[" * 100_000, 1, ""),
    ],
)
def test_a_broken_allowlist_is_an_error_that_names_the_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = tmp_path / "list.json"
    file.write_text(text)

    with pytest.raises(UsageError) as error:
        load_allowlist(file)

    assert str(error.value).startswith(f"{file}, line {line}: ")
    assert what in str(error.value)
    assert "\n" not in str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_no_file_whatever_is_more_than_a_usage_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.json"
    file.write_bytes(content)

    with suppress(UsageError):
        assert load_allowlist(file) == Allowlist()


def test_requests_are_read_by_name(tmp_path: Path) -> None:
    file = tmp_path / "mounts.json"
    file.write_text('{"photos": {"path": "/data/photos"}, "notes": {"path": "/data/notes", "write": true}}')

    assert load_requests(file) == (Request("photos", "/data/photos"), Request("notes", "/data/notes", True))
    assert load_requests(tmp_path / "none.json") == ()


@pytest.mark.parametrize("name", ["../group", "a/b", "", ".hidden", "x" * 64, "a:b"])
def test_a_requests_name_is_a_plain_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mounts.json"
    file.write_text(f'{{"{name}": {{"path": "/data"}}}}')

    with pytest.raises(UsageError, match="line 1"):
        load_requests(file)


def test_a_link_out_of_a_root_is_refused_and_a_file_too(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    (data / "inside").mkdir()
    (data / "out").symlink_to(other)
    (data / "loop").symlink_to(data / "loop")
    (data / "file").touch()
    os.mkfifo(data / "fifo")
    allowlist = Allowlist((Root(str(data)),))
    names = ["inside", "out", "loop", "file", "fifo", "none"]

    decisions = mounts_of("ann", [Request(name, str(data / name)) for name in names], allowlist)

    assert [isinstance(decision, Granted) for decision in decisions] == [True, False, False, False, False, False]


def test_klads_own_home_is_refused_though_a_root_holds_it(tmp_path: Path) -> None:
    home = tmp_path / "klad"
    (home / "tenants").mkdir(parents=True)
    allowlist = Allowlist((Root(str(tmp_path)),))

    for path in (tmp_path, home, home / "tenants"):
        (decision,) = mounts_of("ann", [Request("x", str(path))], allowlist, forbidden=[home])
        assert isinstance(decision, Refused)
