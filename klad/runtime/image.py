"""The agent's two images: made by the project itself, named after what they are made of.

    klad-agent:<12 hex>    lean, for the chat slot
    klad-worker:<12 hex>   the same with a developer's tools

The hash is over `agent/` and its recipe, so an update has other tags and is built when it is first
wanted. The bases beneath (`klad-base:<12 hex of the recipe>-agent|-worker`) stay, so that a change
of the agent alone takes seconds.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from klad.errors import EngineError, ImageMissingError
from klad.runtime import debootstrap, registry
from klad.runtime.engine import FAULTS, Engine, status_of
from klad.runtime.progress import Progress
from klad.runtime.recipe import (
    AGENT,
    DOCKERFILE,
    Images,
    Recipe,
    Sources,
    base_tags,
    image_tags,
    read_recipe,
    shipped,
    sources,
    tags_of,
)

__all__ = ["Images", "build", "ensure", "image_tags", "present"]

_PULL_S = 10.0
"""A registry that hasn't answered by then is taken for unreachable."""
_BUILD_S = 900.0
"""The longest silence of the engine's in a build."""


def build(progress: Callable[[str], None], base_url: str | None = None, agent: Path = AGENT) -> Images:
    """`ensure` on the engine at `base_url` (None: as `docker` finds it). Raises `EngineError`."""
    return ensure(Engine(base_url), progress, agent)


def present(engine: Engine, agent: Path = AGENT) -> bool:
    """Whether both images are there. Raises `EngineError`."""
    try:
        with engine.client() as client:
            tags = image_tags(agent)
            return _have(client, tags.chat) and _have(client, tags.worker)
    except FAULTS as error:
        raise engine.explain(error) from error


def ensure(engine: Engine, progress: Callable[[str], None], agent: Path = AGENT) -> Images:
    """Build what is missing: at once if nothing is, else with `progress` told in lines.

    Safe against other processes that do the same. Raises `ImageMissingError` where it can't be
    built, `EngineError` where the engine doesn't answer.
    """
    files = sources(agent)
    tags = tags_of(files)
    try:
        with engine.client(_BUILD_S) as client:
            if _have(client, tags.chat) and _have(client, tags.worker):
                return tags
            with _alone(progress):
                _make(engine, client, tags, files, Progress(progress))
    except ImageMissingError as error:
        raise ImageMissingError(f"no image for the agent: {error}") from error
    except EngineError:
        raise
    except FAULTS as error:
        raise engine.explain(error) from error
    return tags


def _make(engine: Engine, client: docker.APIClient, tags: Images, files: Sources, progress: Progress) -> None:
    recipe = read_recipe(files)
    bases = base_tags(recipe)
    if not (_have(client, bases.chat) and _have(client, bases.worker)):
        _make_bases(engine, client, recipe, bases, files, progress)
    progress.phase("the agent's images")
    context = {f"agent/{name}": content for name, content in shipped(files).items()}
    context["Dockerfile"] = files[DOCKERFILE]
    for tag, base in ((tags.chat, bases.chat), (tags.worker, bases.worker)):
        if not _have(client, tag):
            registry.build_image(client, tag, context, {"BASE": base}, progress, network="none")
            progress.line(f"{tag} is ready")


def _make_bases(
    engine: Engine, client: docker.APIClient, recipe: Recipe, bases: Images, files: Sources, progress: Progress
) -> None:
    def have(tag: str) -> bool:
        return _have(client, tag)

    pulled = have(recipe.registry_image)
    if not pulled:
        with engine.client(_PULL_S) as hasty:
            pulled = registry.pull(hasty, recipe.registry_image, progress)
    if pulled:
        registry.build(client, recipe, bases, have, files, progress)
        return
    lacking = debootstrap.missing()
    if lacking:
        raise ImageMissingError(f"no registry has {recipe.registry_image} for us, and {lacking}")
    debootstrap.build(client, recipe, bases, have, progress)


def _have(client: docker.APIClient, tag: str) -> bool:
    try:
        client.inspect_image(tag)
    except FAULTS as error:
        if status_of(error) == 404:
            return False
        raise
    return True


@contextmanager
def _alone(progress: Callable[[str], None]) -> Iterator[None]:
    """One build at a time for this user on this machine; the second one then finds it done."""
    path = Path(tempfile.gettempdir()) / f"klad-build-{os.getuid()}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageMissingError(f"{path} can't be locked: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building the image; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
