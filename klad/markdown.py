"""Other people's words within Markdown of ours, so that none of them is taken for markup. Pure."""

from __future__ import annotations

import re

LINE = 120


def fenced(text: str) -> str:
    """A code block whose fence is longer than any in the text (CommonMark 4.5)."""
    fence = "`" * max(3, _longest(text) + 1)
    return f"{fence}\n{text}\n{fence}"


def code(text: str) -> str:
    """Inline code of one line of at most 120 characters (CommonMark 6.1)."""
    line = one_line(text, LINE)
    longest = _longest(line)
    ticks = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def one_line(text: str, size: int) -> str:
    """The text in one line of at most `size` characters."""
    line = " ".join(text.split())
    return line if len(line) <= size else line[: size - 1] + "…"


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
