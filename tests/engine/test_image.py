"""The images that the project builds for itself."""

from __future__ import annotations

import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from klad.errors import ImageMissingError
from klad.runtime import debootstrap, image, registry
from klad.runtime.engine import Engine
from klad.runtime.recipe import AGENT, Images, image_tags

pytestmark = pytest.mark.engine


@pytest.fixture
def agent(tmp_path: Path, client: docker.APIClient) -> Iterator[Path]:
    """An agent like ours but for one file; its images are removed at the end."""
    copy = tmp_path / "agent"
    shutil.copytree(AGENT, copy)
    (copy / "changed.py").write_text(f"token = {uuid.uuid4().hex!r}\n")
    yield copy
    tags = image_tags(copy)
    for tag in (tags.chat, tags.worker):
        if client.images(tag):
            client.remove_image(tag, force=True)


def inside(tag: str, *command: str) -> str:
    """What a command says in a container of `tag` with nothing mounted and no network."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--network=none", "--read-only", "--entrypoint", command[0], tag, *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


def test_what_is_there_is_not_built_again(images: Images) -> None:
    said: list[str] = []

    assert image.ensure(Engine(), said.append) == images == image_tags()
    assert image.present(Engine())
    assert said == []


def test_a_changed_agent_is_put_on_the_bases_there_are(images: Images, agent: Path, client: docker.APIClient) -> None:
    said: list[str] = []
    image.ensure(Engine(), print, agent)  # the bases, if somebody took them away
    before = image_tags(agent)
    with (agent / "changed.py").open("a") as more:
        more.write("more = 1\n")
    assert not image.present(Engine(), agent)

    made = image.ensure(Engine(), said.append, agent)

    assert image.present(Engine(), agent)
    for tag in (before.chat, before.worker):
        client.remove_image(tag)
    assert not [line for line in said if "base" in line]
    token = (agent / "changed.py").read_text()
    for tag in (made.chat, made.worker):
        assert inside(tag, "cat", "/opt/klad/agent/changed.py") == token.strip()


def test_two_builds_at_once_are_one(images: Images, agent: Path, client: docker.APIClient) -> None:
    said: list[str] = []
    made: list[Images] = []
    threads = [
        threading.Thread(target=lambda: made.append(image.ensure(Engine(), said.append, agent))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert made == [image_tags(agent)] * 3
    assert len([line for line in said if line.endswith("is ready")]) == 2


@pytest.mark.parametrize("slot", ["chat", "worker"])
def test_the_agent_stands_compiled_in_both_and_starts_by_itself(
    images: Images, client: docker.APIClient, slot: str
) -> None:
    tag = getattr(images, slot)

    said = client.inspect_image(tag)["Config"]
    assert said["Entrypoint"] == ["python3", "-E", "-s", "-S", "-m", "agent"]
    assert (said["WorkingDir"], said["User"]) == ("/opt/klad", "10001:10001")
    compiled = (
        "import importlib.util as u, pathlib; print([str(p) for p in pathlib.Path('/opt/klad/agent').rglob('*.py')"
        " if not pathlib.Path(u.cache_from_source(str(p))).exists()])"
    )
    assert inside(tag, "python3", "-E", "-s", "-S", "-c", compiled) == "[]"
    standard = "import agent, asyncio, http.client, json, sqlite3, ssl, subprocess; print('imported')"
    assert inside(tag, "python3", "-E", "-s", "-S", "-c", standard) == "imported"
    assert inside(tag, "sh", "-c", "id -un; echo ~; ls -d /workspace/* /run/klad; stat -c %a /").split() == [
        "klad", "/workspace/home",
        "/run/klad", "/workspace/extra", "/workspace/group", "/workspace/home", "/workspace/inbox",
        "/workspace/project", "755",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "git --version", "curl --version", "rg --version", "gcc --version", "g++ --version", "make --version",
        "node --version", "npm --version", "npx --version", "python3 -m venv --help",
        "test -s /etc/ssl/certs/ca-certificates.crt",
    ],
)  # fmt: skip
def test_a_worker_has_a_developers_tools(images: Images, command: str) -> None:
    assert inside(images.worker, "sh", "-c", f"{command} >/dev/null && echo has").endswith("has")


def test_a_chat_container_has_no_developers_tools(images: Images) -> None:
    assert inside(images.chat, "sh", "-c", "for p in git curl gcc node npm; do command -v $p; done") == ""


@pytest.fixture
def other_recipe(agent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose bases are not there, with no registry in reach and no Debian mirror."""
    recipe = agent / "image/recipe.json"
    recipe.write_text(recipe.read_text().replace("http://deb.debian.org/debian", "http://127.0.0.1:9"))
    monkeypatch.setattr(registry, "pull", lambda *args: False)
    return agent


def test_without_registry_and_root_it_says_what_to_do(other_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(ImageMissingError, match="sudo klad build") as error:
        image.ensure(Engine(), lambda line: None, other_recipe)
    assert "\n" not in str(error.value)


def test_without_debootstrap_it_says_what_to_install(other_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, **more: None if name == "debootstrap" else real(name, **more))

    with pytest.raises(ImageMissingError, match="apt-get install debootstrap"):
        image.ensure(Engine(), lambda line: None, other_recipe)


@pytest.mark.skipif(bool(debootstrap.missing()), reason="needs root and debootstrap")
def test_a_failed_build_says_why_and_leaves_nothing(other_recipe: Path, client: docker.APIClient) -> None:
    before = {one["Id"] for one in client.images(all=True)}

    with pytest.raises(ImageMissingError, match="debootstrap failed") as error:
        image.ensure(Engine(), lambda line: None, other_recipe)

    assert "\n" not in str(error.value)
    assert not list(Path("/var/tmp").glob("klad-build-*/"))
    assert "klad-build" not in Path("/proc/mounts").read_text()
    assert {one["Id"] for one in client.images(all=True)} == before
