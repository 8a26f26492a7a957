from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from klad.runtime.recipe import AGENT, Images, base_tags, image_tags, read_recipe, shipped, sources


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A small agent with the real recipe."""
    shutil.copytree(AGENT / "image", tmp_path / "agent/image")
    (tmp_path / "agent/tools").mkdir()
    (tmp_path / "agent/__init__.py").write_text("")
    (tmp_path / "agent/tools/__init__.py").write_text("x = 1\n")
    return tmp_path / "agent"


def bases_of(agent: Path) -> Images:
    return base_tags(read_recipe(sources(agent)))


def test_equal_sources_have_equal_tags(agent: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(agent, other)
    (other / "__pycache__").mkdir()
    (other / "__pycache__/x.cpython-311.pyc").write_bytes(b"compiled")
    (other / "__init__.py").touch()

    assert image_tags(other) == image_tags(agent)


def test_a_changed_agent_is_another_image_on_the_same_bases(agent: Path) -> None:
    before, bases = image_tags(agent), bases_of(agent)
    (agent / "tools/__init__.py").write_text("x = 2\n")

    assert image_tags(agent).chat != before.chat
    assert image_tags(agent).worker != before.worker
    assert bases_of(agent) == bases


def test_a_moved_file_is_another_image(agent: Path) -> None:
    before = image_tags(agent)
    (agent / "tools/__init__.py").rename(agent / "tools.py")

    assert image_tags(agent) != before


@pytest.mark.parametrize("file", ["recipe.json", "Dockerfile.agent-base", "Dockerfile.worker-base"])
def test_a_changed_recipe_is_another_base_and_another_image(agent: Path, file: str) -> None:
    before, bases = image_tags(agent), bases_of(agent)
    with (agent / "image" / file).open("a") as more:
        more.write("\n")

    assert bases_of(agent) != bases
    assert image_tags(agent) != before


def test_the_recipe_itself_is_not_shipped(agent: Path) -> None:
    assert list(shipped(sources(agent))) == ["__init__.py", "tools/__init__.py"]
