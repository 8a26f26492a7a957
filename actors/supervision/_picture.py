"""The tree as a value: what `tree()` gives and `render` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "up", "restarting", "parked"]


@dataclass(frozen=True, slots=True)
class Node:
    """An actor in the picture. `dataclasses.asdict` makes it ready for JSON."""

    name: str
    path: str
    kind: str
    """Its class's name; "?" when it never came to life."""
    state: State
    restarts: int
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A child as its supervisor sees it."""

    name: str
    kind: str
    state: State
    restarts: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A supervisor and its children at one moment."""

    urn: str
    kind: str
    state: State
    children: tuple[Entry, ...]


def compose(path: str, snapshots: Mapping[str, Snapshot]) -> Node | None:
    """Put the snapshots from `path` downwards together; None when there is none of `path`."""
    top = snapshots.get(path)
    if top is None:
        return None
    return _node(Entry(path.rpartition("/")[2], top.kind, top.state, 0), path, snapshots)


def _node(entry: Entry, path: str, snapshots: Mapping[str, Snapshot]) -> Node:
    below = snapshots.get(path)
    children = () if below is None else below.children
    return Node(
        entry.name,
        path,
        entry.kind,
        entry.state,
        entry.restarts,
        tuple(_node(child, f"{path}/{child.name}", snapshots) for child in children),
    )


def render(tree: Node) -> str:
    """The tree as lines of text: name, class, state and, where there were any, restarts."""
    rows = list(_rows(tree, "", ""))
    names, kinds = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"{name:<{names}}  {kind:<{kinds}}  {rest}" for name, kind, rest in rows)


def _rows(node: Node, lead: str, below: str) -> list[tuple[str, str, str]]:
    restarts = {0: "", 1: ", 1 restart"}.get(node.restarts, f", {node.restarts} restarts")
    rows = [(lead + node.name, node.kind, node.state + restarts)]
    for child in node.children:
        last = child is node.children[-1]
        rows += _rows(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))
    return rows
