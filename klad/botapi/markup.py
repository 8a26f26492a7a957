"""`parse_mode`: HTML, MarkdownV2 and Markdown → text and entities ("Formatting options" of the Bot API).

Klåd itself sends entities; this is for other clients of the same server. Offsets are UTF-16 units;
the byte offsets in error messages are those of the real server.
"""

from __future__ import annotations

import html
import re

from klad.botapi.errors import ApiError, bad_request
from klad.botapi.text import Entity, link, units

_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "span": "spoiler", "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)((?:\s+[\w-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[\w.-]+))?)*)\s*>")
_ATTRIBUTE = re.compile(r"([\w-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([\w.-]+)))?")
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9A-Fa-f]{1,6});")
_RESERVED = "_*[]()~`>#+-=|{}.!"


def parsed(text: str, mode: str) -> tuple[str, list[Entity]]:
    """Raises ApiError 400 ("can't parse entities: …", or an unknown mode)."""
    match mode.lower():
        case "html":
            return _html(text)
        case "markdownv2":
            return _MarkdownV2(text).parse()
        case "markdown":
            return _markdown(text)
    raise bad_request("unsupported parse_mode")


def _refuse(words: str, text: str, at: int) -> ApiError:
    place = len(text[:at].encode("utf-8"))
    return bad_request(f"can't parse entities: {words} at byte offset {place}")


class _Out:
    """The text so far, and how many UTF-16 units it has."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.size = 0
        self.entities: list[Entity] = []

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.size += units(piece)

    def close(self, kind: str, start: int, **extra: str) -> None:
        if self.size > start:
            self.entities.append({"type": kind, "offset": start, "length": self.size - start, **extra})

    def result(self) -> tuple[str, list[Entity]]:
        return "".join(self.pieces), sorted(self.entities, key=lambda e: (e["offset"], -e["length"]))


def _html(text: str) -> tuple[str, list[Entity]]:
    out = _Out()
    open_: list[tuple[str, dict[str, str], int]] = []
    at = 0
    while at < len(text):
        if text[at] == "<":
            tag = _TAG.match(text, at)
            name = tag[2].lower() if tag else ""
            if tag is None or name not in _TAGS:
                raise _refuse(f'Unsupported start tag "{name or text[at + 1 : at + 9]}"', text, at)
            if tag[1]:
                if not open_ or open_[-1][0] != name:
                    raise _refuse("Unexpected end tag", text, at)
                _close_tag(out, *open_.pop())
            else:
                given = {a[1].lower(): a[2] or a[3] or a[4] or "" for a in _ATTRIBUTE.finditer(tag[3])}
                open_.append((name, {k: html.unescape(v) for k, v in given.items()}, out.size))
            at = tag.end()
        elif reference := _REFERENCE.match(text, at):
            out.add(html.unescape(reference[0]))
            at = reference.end()
        else:
            out.add(text[at])
            at += 1
    if open_:
        words = f'Can\'t find end tag corresponding to start tag "{open_[-1][0]}"'
        raise bad_request(f"can't parse entities: {words}")
    return out.result()


def _close_tag(out: _Out, name: str, given: dict[str, str], start: int) -> None:
    kind = _TAGS[name]
    if kind == "text_link":
        url = link(given.get("href") or "".join(out.pieces)[-(out.size - start) or None :])
        if url is not None:
            out.close(kind, start, url=url)
    elif kind == "code" and given.get("class", "").startswith("language-"):
        out.close(kind, start, language=given["class"].removeprefix("language-"))
    elif kind == "pre":
        # <pre><code class="language-x"> is one entity with a language, not two.
        inner = [e for e in out.entities if e["type"] == "code" and e["offset"] >= start]
        out.entities = [e for e in out.entities if e not in inner]
        languages = [e["language"] for e in inner if "language" in e]
        out.close(kind, start, **({"language": languages[0]} if languages else {}))
    elif kind == "blockquote" and "expandable" in given:
        out.close("expandable_blockquote", start)
    elif kind != "custom_emoji":
        out.close(kind, start)


class _MarkdownV2:
    MARKS = (
        ("||", "spoiler"), ("__", "underline"), ("_", "italic"), ("*", "bold"), ("~", "strikethrough"),
    )  # fmt: skip

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out = _Out()
        self.open: list[tuple[str, int]] = []
        self.quote: tuple[str, int] | None = None

    def parse(self) -> tuple[str, list[Entity]]:
        while self.at < len(self.text):
            self._step()
        self._end_quote()
        if self.open:
            raise _refuse(f"Can't find end of {self.open[-1][0]} entity", self.text, len(self.text))
        return self.out.result()

    def _step(self) -> None:
        text, at = self.text, self.at
        if at == 0 or text[at - 1] == "\n":
            mark = "**>" if text.startswith("**>", at) else ">" if text[at] == ">" else ""
            if mark:
                if self.quote is None or len(mark) > 1:
                    self._end_quote()
                    kind = "expandable_blockquote" if len(mark) > 1 else "blockquote"
                    self.quote = (kind, self.out.size)
                self.at += len(mark)
                return
            self._end_quote()
        if text[at] == "\\" and at + 1 < len(text) and ord(text[at + 1]) < 127:
            self.out.add(text[at + 1])
            self.at += 2
        elif text[at] == "`":
            self._code()
        elif text[at] == "[":
            self.open.append(("text_link", self.out.size))
            self.at += 1
        elif text[at] == "]" and self.open and self.open[-1][0] == "text_link":
            self._link()
        elif not self._style():
            if text[at] in _RESERVED:
                words = f"Character '{text[at]}' is reserved and must be escaped with the preceding '\\'"
                raise bad_request(f"can't parse entities: {words}")
            self.out.add(text[at])
            self.at += 1

    def _style(self) -> bool:
        for mark, kind in self.MARKS:
            if not self.text.startswith(mark, self.at):
                continue
            self.at += len(mark)
            if self.open and self.open[-1][0] == kind:
                self.out.close(*self.open.pop())
            elif not (kind == "spoiler" and self._ends_expandable()):
                self.open.append((kind, self.out.size))
            return True
        return False

    def _ends_expandable(self) -> bool:
        """`||` at the end of an expandable quotation is its end."""
        last = self.at >= len(self.text) or self.text[self.at] == "\n"
        return last and self.quote is not None and self.quote[0] == "expandable_blockquote"

    def _end_quote(self) -> None:
        if self.quote is not None:
            self.out.close(*self.quote)
            self.quote = None

    def _code(self) -> None:
        fence = "```" if self.text.startswith("```", self.at) else "`"
        kind = "pre" if fence == "```" else "code"
        begin = self.at + len(fence)
        pattern = re.compile(r"(?:\\[\x00-\x7e]|(?!" + fence + r").)*", re.DOTALL)
        hit = pattern.match(self.text, begin)
        end = hit.end() if hit else begin
        if not self.text.startswith(fence, end):
            raise _refuse(f"Can't find end of {kind} entity", self.text, self.at)
        body, extra = self.text[begin:end], {}
        if kind == "pre" and (language := re.match(r"([^\s`]*)\n", body)):
            body = body[language.end() :]
            if language[1]:
                extra = {"language": language[1]}
        start = self.out.size
        self.out.add(re.sub(r"\\([\x00-\x7e])", r"\1", body))
        self.out.close(kind, start, **extra)
        self.at = end + len(fence)

    def _link(self) -> None:
        _, start = self.open.pop()
        hit = re.compile(r"\]\(((?:\\.|[^)\\])*)\)").match(self.text, self.at)
        if hit is None:
            raise _refuse("Can't find end of a URL", self.text, self.at)
        url = link(re.sub(r"\\(.)", r"\1", hit[1]))
        if url is not None:
            self.out.close("text_link", start, url=url)
        self.at = hit.end()


def _markdown(text: str) -> tuple[str, list[Entity]]:
    """The legacy mode: no nesting; a backslash escapes `_ * `` ` `` [`."""
    out = _Out()
    at = 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("_", "*", "`", "["):
            out.add(text[at + 1])
            at += 2
            continue
        mark = "```" if text.startswith("```", at) else text[at]
        if mark not in ("```", "`", "*", "_", "["):
            out.add(text[at])
            at += 1
            continue
        end = text.find("]" if mark == "[" else mark, at + len(mark))
        if end < 0:
            raise _refuse("Can't find end of the entity starting", text, at)
        start, body = out.size, text[at + len(mark) : end]
        out.add(body.lstrip("\n") if mark == "```" else body)
        at = end + len(mark)
        if mark == "[":
            target = re.compile(r"\(([^)]*)\)").match(text, at)
            if target and (url := link(target[1])):
                out.close("text_link", start, url=url)
            at = target.end() if target else at
        else:
            out.close({"```": "pre", "`": "code", "*": "bold", "_": "italic"}[mark], start)
    return out.result()
