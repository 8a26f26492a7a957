"""What the images are made of, and the tags that follow from it. Reads files, asks no engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AGENT: Final = Path(__file__).resolve().parents[2] / "agent"
"""The agent's sources. Found beside `klad`, not imported: the host never runs them."""

UID: Final = 10001
"""The image's own user (group likewise), with `/workspace/home` as its home."""

PLACES: Final = (
    "workspace/group",
    "workspace/home",
    "workspace/inbox",
    "workspace/project",
    "workspace/extra",
    "run/klad",
)
"""Directories that the image has for mounts."""


@dataclass(frozen=True, slots=True)
class Npm:
    """The npm package's tarball; Debian's own npm package would bring 300 others."""

    url: str
    sha512: str
    """Base64, as the registry's `dist.integrity`."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`agent/image/recipe.json`."""

    registry_image: str
    suite: str
    mirror: str
    security_mirror: str
    packages: tuple[str, ...]
    worker_packages: tuple[str, ...]
    npm: Npm
    digest: str
    """Of all that the bases follow from."""


@dataclass(frozen=True, slots=True)
class Images:
    """An image for each slot."""

    chat: str
    worker: str


def image_tags(agent: Path = AGENT) -> Images:
    """The tags that these sources and this recipe have; the same on every machine."""
    digest = _digest(agent, _sources(agent))
    return Images(chat=f"klad-agent:{digest}", worker=f"klad-worker:{digest}")


def base_tags(recipe: Recipe) -> Images:
    return Images(chat=f"klad-base:{recipe.digest}-agent", worker=f"klad-base:{recipe.digest}-worker")


def load(agent: Path = AGENT) -> Recipe:
    image = agent / "image"
    said = json.loads((image / "recipe.json").read_text("utf-8"))
    return Recipe(
        registry_image=said["registry_image"],
        suite=said["suite"],
        mirror=said["mirror"],
        security_mirror=said["security_mirror"],
        packages=tuple(said["packages"]),
        worker_packages=tuple(said["worker_packages"]),
        npm=Npm(**said["npm"]),
        # Not the Dockerfile that puts the agent on top: the bases don't follow from it.
        digest=_digest(image, [image / "recipe.json", *sorted(image.glob("Dockerfile.*-base"))]),
    )


def shipped(agent: Path = AGENT) -> list[Path]:
    """The files of the agent that go into the image, in order."""
    return [path for path in _sources(agent) if path.relative_to(agent).parts[0] != "image"]


def _sources(agent: Path) -> list[Path]:
    return sorted(
        path
        for path in agent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def _digest(root: Path, paths: Iterable[Path]) -> str:
    """12 hex digits over names and contents; neither times nor modes differ between two checkouts."""
    total = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()[:12]
