from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klad.mounts import BLOCKED, SYSTEM, Allowlist, Granted, Refused, Request, Root, decide
from klad.runtime import Mount

DATA = Allowlist((Root("/data", write=True),))

_names = st.one_of(
    st.sampled_from(["data", "x", "token", "tokenizer", "secret.d", "SSH", "a b", "…"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=6).filter(
        lambda name: name not in (".", "..")
    ),
)
_paths = st.lists(_names, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names))
_roots = st.builds(Root, _paths, st.booleans(), st.lists(st.sampled_from(["*", "ann", "bob"]), max_size=2).map(tuple))
_lists = st.builds(
    Allowlist,
    st.lists(_roots, max_size=4).map(tuple),
    st.frozensets(_names, max_size=2).map(lambda more: BLOCKED | more),
)


def ask(path: str, write: bool = False) -> Request:
    return Request("here", path, write)


def test_a_directory_in_a_root_is_mounted_beneath_extra() -> None:
    decision = decide(DATA, "ann", ask("/data/x", write=True), "/data/x")

    assert decision == Granted(ask("/data/x", write=True), Mount("/data/x", "/workspace/extra/here", read_only=False))


def test_it_is_read_only_unless_the_allowlist_and_the_request_say_otherwise() -> None:
    reading = Allowlist((Root("/data"),))

    for allowlist, write in ((reading, True), (DATA, False), (reading, False)):
        decision = decide(allowlist, "ann", ask("/data/x", write), "/data/x")
        assert isinstance(decision, Granted)
        assert decision.mount.read_only


@pytest.mark.parametrize("path", ["/database", "/dat", "/", "/other/data"])
def test_only_whole_components_lie_in_a_root(path: str) -> None:
    assert isinstance(decide(DATA, "ann", ask(path), path), Refused)


def test_a_blocked_name_is_a_whole_component() -> None:
    allowlist = Allowlist((Root("/data"),), BLOCKED | {"token"})

    assert isinstance(decide(allowlist, "ann", ask("/data/tokenizer"), "/data/tokenizer"), Granted)
    assert isinstance(decide(allowlist, "ann", ask("/data/token/x"), "/data/token/x"), Refused)


def test_a_blocked_name_is_blocked_in_any_case_of_its_letters() -> None:
    assert isinstance(decide(DATA, "ann", ask("/data/.SSH"), "/data/.SSH"), Refused)


def test_what_counts_is_where_a_path_leads() -> None:
    assert isinstance(decide(DATA, "ann", ask("/data/link"), "/home/ann/.ssh"), Refused)
    assert isinstance(decide(DATA, "ann", ask("/elsewhere/link"), "/data/x"), Granted)


def test_a_path_that_leads_nowhere_is_refused() -> None:
    assert isinstance(decide(DATA, "ann", ask("/data/x"), None), Refused)


@pytest.mark.parametrize("path", ["/data/klad", "/data/klad/tenants/bob", "/data", "/"])
def test_a_forbidden_place_is_seen_neither_from_above_nor_within(path: str) -> None:
    allowlist = Allowlist((Root("/"),))

    decision = decide(allowlist, "ann", ask(path), path, forbidden=("/data/klad",))

    assert isinstance(decision, Refused)


def test_the_innermost_root_decides() -> None:
    allowlist = Allowlist((Root("/data", write=True), Root("/data/private", tenants=("bob",)), Root("/data/ro")))

    assert isinstance(decide(allowlist, "ann", ask("/data/private/x"), "/data/private/x"), Refused)
    decision = decide(allowlist, "ann", ask("/data/ro", write=True), "/data/ro")
    assert isinstance(decision, Granted)
    assert decision.mount.read_only


def test_a_root_for_one_tenant_by_name_goes_before_the_same_root_for_all() -> None:
    allowlist = Allowlist((Root("/data"), Root("/data", write=True, tenants=("ann",))))

    for tenant, read_only in (("ann", False), ("bob", True)):
        decision = decide(allowlist, tenant, ask("/data/x", write=True), "/data/x")
        assert isinstance(decision, Granted)
        assert decision.mount.read_only is read_only


@given(_paths, st.booleans())
def test_an_empty_allowlist_allows_nothing(path: str, write: bool) -> None:
    assert isinstance(decide(Allowlist(), "ann", ask(path, write), path), Refused)


@given(_lists, _paths, st.booleans(), st.lists(_paths, max_size=2))
def test_whatever_is_granted_lies_in_a_root_of_the_tenants_and_shows_nothing_forbidden(
    allowlist: Allowlist, path: str, write: bool, forbidden: list[str]
) -> None:
    decision = decide(allowlist, "ann", ask(path, write), path, forbidden)

    if isinstance(decision, Granted):
        pure = PurePosixPath(path)
        around = [root for root in allowlist.roots if pure.is_relative_to(root.path)]
        assert any({"*", "ann"} & set(root.tenants) for root in around)
        assert not {part.casefold() for part in pure.parts} & {name.casefold() for name in allowlist.blocked}
        for never in (*SYSTEM, *forbidden):
            assert not pure.is_relative_to(never)
            assert not PurePosixPath(never).is_relative_to(pure)
        assert decision.mount.source == path
        if not decision.mount.read_only:
            assert write
            assert any(root.write for root in around)


@given(_lists, _paths, st.frozensets(_names, max_size=3))
def test_blocking_more_never_grants_more(allowlist: Allowlist, path: str, more: frozenset[str]) -> None:
    stricter = Allowlist(allowlist.roots, allowlist.blocked | more)

    if isinstance(decide(stricter, "ann", ask(path), path), Granted):
        assert isinstance(decide(allowlist, "ann", ask(path), path), Granted)
