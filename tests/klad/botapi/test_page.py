"""What can be said of the page without a browser."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STATIC = files("klad.botapi") / "static"
SCRIPTS = ["app.js", "wire.js", "words.js"]
PAGES = ["index.html", "door.html"]


def source(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_is_never_put_in_as_markup(name: str) -> None:
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|createContextualFragment"
        r"|srcdoc|\beval\b|new Function"
    )
    assert re.findall(ways, source(name)) == []


def test_a_link_is_only_made_of_a_web_address() -> None:
    text = source("words.js")
    assert '["http:", "https:"].includes(parsed.protocol)' in text
    assert len(re.findall(r'el\("a"', text)) == 1
    assert 'rel: "noopener noreferrer"' in text


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_inline_as_the_policy_demands(name: str) -> None:
    text = source(name)
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=|javascript:", text) == []


@pytest.mark.parametrize("name", [*PAGES, "app.css"])
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    assert re.findall(r"(?:src|href)=\"(?!/static/)|@import|url\(", source(name)) == []


def test_every_file_that_the_pages_name_is_served() -> None:
    from klad.botapi.server import _STATIC

    named = set(re.findall(r"/static/([\w.]+)", source("index.html") + source("door.html")))
    imported = set(re.findall(r'from "\./([\w.]+)"', source("app.js")))
    assert named | imported == set(_STATIC)


def test_the_examples_are_the_three_that_the_readme_promises() -> None:
    text = source("app.js")
    for example in ("$ for i in 1 2 3; do echo step $i; sleep 20; done", "what did step 2 print?", "stop"):
        assert f'"{example}"' in text
