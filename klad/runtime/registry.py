"""The bases on a registry's Python image, where a registry can be reached."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Mapping

import docker

from klad.errors import ImageMissingError
from klad.runtime.engine import FAULTS
from klad.runtime.fetch import fetch
from klad.runtime.progress import Progress
from klad.runtime.recipe import AGENT_BASE, WORKER_BASE, Images, Recipe, Sources


def pull(client: docker.APIClient, image: str, progress: Progress) -> bool:
    """Try. False: no registry answered, or it doesn't have it; after `client`'s time limit at most."""
    repository, _, tag = image.partition(":")
    progress.phase(f"base: {image}")
    try:
        response = client._post(
            client._url("/images/create"), params={"fromImage": repository, "tag": tag}, stream=True
        )
        client._raise_for_status(response)
        for news in client._stream_helper(response, decode=True):
            if "error" in news:
                return False
            detail = news.get("progressDetail") or {}
            if detail.get("total"):
                progress.now_and_then(f"{news['status'].lower()} {100 * detail['current'] // detail['total']} %")
        client.inspect_image(image)
    except FAULTS:
        return False
    return True


def build(
    client: docker.APIClient,
    recipe: Recipe,
    bases: Images,
    have: Callable[[str], bool],
    sources: Sources,
    progress: Progress,
) -> None:
    """Make the bases that are not there, the registry's image being there. Raises `ImageMissingError`."""
    if not have(bases.chat):
        progress.phase("base: Python")
        files = {"Dockerfile": sources[AGENT_BASE]}
        build_image(client, bases.chat, files, {"FROM": recipe.registry_image}, progress, network="none")
    if not have(bases.worker):
        progress.phase("worker base: developer tools")
        tarball = fetch(recipe.npm.url, recipe.npm.sha512)
        try:
            files = {
                "Dockerfile": sources[WORKER_BASE],
                "npm.tgz": tarball.read_bytes(),
            }
        finally:
            tarball.unlink()
        packages = " ".join(name for name in recipe.worker_packages if not name.startswith("python3"))
        proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
        arguments = {"FROM": bases.chat, "PACKAGES": packages, **proxies}
        build_image(client, bases.worker, files, arguments, progress, network="default")


_STEP = re.compile(r"Step (\d+)/(\d+) ")
_BUILDERS_OWN = ("--->", "Removing intermediate", "Successfully")
"""What the builder says of itself and nobody needs."""


def build_image(
    client: docker.APIClient,
    tag: str,
    files: Mapping[str, bytes],
    arguments: Mapping[str, str],
    progress: Progress,
    network: str,
) -> None:
    """`POST /build` of a context made of `files`. Raises `ImageMissingError`."""
    response = client._post(
        client._url("/build"),
        params={
            "t": tag,
            "rm": True,
            "forcerm": True,
            "networkmode": network,
            "buildargs": json.dumps(dict(arguments)),
        },
        data=_context(files),
        headers={"Content-Type": "application/x-tar"},
        stream=True,
    )
    client._raise_for_status(response)
    last = ""
    for news in client._stream_helper(response, decode=True):
        if "error" in news:
            reason = str(news["error"]).strip().splitlines()[0]
            raise ImageMissingError(f"{tag} could not be built: {reason}{last and f' ({last})'}")
        said = str(news.get("stream", "")).split("\n")[0].strip()
        if said:
            last = said[:100]
            step = _STEP.match(said)
            if step:
                progress.now_and_then(f"step {step[1]} of {step[2]}")
            elif not said.startswith(_BUILDERS_OWN):
                progress.now_and_then(last)


def _context(files: Mapping[str, bytes]) -> bytes:
    """A tar of root's files with no times, so that equal sources are equal layers to the engine's cache."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
