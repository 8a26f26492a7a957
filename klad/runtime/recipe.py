"""What the images are made of, and the tags that follow from it. Asks no engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AGENT: Final = Path(__file__).resolve().parents[2] / "agent"
"""The agent's sources. Found beside `klad`, not imported: the host never runs them."""

DOCKERFILE: Final = "image/Dockerfile"
AGENT_BASE: Final = "image/Dockerfile.agent-base"
WORKER_BASE: Final = "image/Dockerfile.worker-base"

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


Sources = Mapping[str, bytes]
"""Contents by name, relative to `agent/`; read once, so that what is hashed is what is built."""


def sources(agent: Path = AGENT) -> Sources:
    paths = (path for path in agent.rglob("*") if path.is_file())
    return {
        path.relative_to(agent).as_posix(): path.read_bytes()
        for path in sorted(paths)
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def image_tags(agent: Path = AGENT) -> Images:
    """The tags that these sources and this recipe have; the same on every machine."""
    return tags_of(sources(agent))


def tags_of(files: Sources) -> Images:
    digest = _digest(files)
    return Images(chat=f"klad-agent:{digest}", worker=f"klad-worker:{digest}")


def base_tags(recipe: Recipe) -> Images:
    return Images(chat=f"klad-base:{recipe.digest}-agent", worker=f"klad-base:{recipe.digest}-worker")


def read_recipe(files: Sources) -> Recipe:
    said = json.loads(files["image/recipe.json"])
    return Recipe(
        registry_image=said["registry_image"],
        suite=said["suite"],
        mirror=said["mirror"],
        security_mirror=said["security_mirror"],
        packages=tuple(said["packages"]),
        worker_packages=tuple(said["worker_packages"]),
        npm=Npm(**said["npm"]),
        # Not the Dockerfile that puts the agent on top: the bases don't follow from it.
        digest=_digest({name: files[name] for name in ("image/recipe.json", AGENT_BASE, WORKER_BASE)}),
    )


def shipped(files: Sources) -> Sources:
    """What of them goes into the image."""
    return {name: content for name, content in files.items() if not name.startswith("image/")}


def _digest(files: Sources) -> str:
    """12 hex digits over names and contents; times and modes differ between two checkouts."""
    total = hashlib.sha256()
    for name, content in sorted(files.items()):
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()[:12]
