# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pages as a browser does, and what a browser makes of them: no library of the tests does either."""

from __future__ import annotations

import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

# Elements without an end.
VOID = {"br", "circle", "line", "meta"}
KNOWN = {
    *VOID, "html", "head", "title", "style", "body", "main", "footer", "section", "figure", "figcaption", "div", "span",
    "p", "h1", "h2", "h3", "b", "strong", "ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td",
    "a", "code", "svg", "desc", "text", "details", "summary",
}  # fmt: skip


class Page(HTMLParser):
    """A page as text and tags; any tag that does not belong there, or is not closed in order, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN, tag
        self.words.append(" ")
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID, tag
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag
        self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is shown, without tags."""
        return " ".join("".join(self.words).split())

    def classes(self, name: str) -> list[dict[str, str]]:
        """The attributes of each tag of a class."""
        return [attributes for _, attributes in self.tags if name in attributes.get("class", "").split()]

    def check(self) -> None:
        """It loads nothing, runs nothing, and its links lead to places in it."""
        places = {attributes["id"] for _, attributes in self.tags if "id" in attributes}
        for tag, attributes in self.tags:
            assert not {name for name in attributes if name.startswith("on") or name in ("src", "action", "data")}, tag
            assert attributes.get("href", "#")[0] == "#"
            assert attributes.get("href", "#")[1:] in {"", *places}
            assert "url(" not in attributes.get("style", "")
        (policy,) = [a["content"] for _, a in self.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def pixels(path: Path) -> list[list[tuple[int, int, int]]]:
    """The rows of a PNG with 8 bits for each of red, green, blue and perhaps opacity, as of a screenshot (RFC 2083)."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, chunk = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colors, *_, interlaced = struct.unpack(">IIBBBBB", chunk)
            assert (depth, interlaced) == (8, 0) and colors in (2, 6)
        packed += chunk if kind == b"IDAT" else b""
        place += 12 + length
    step = 4 if colors == 6 else 3
    raw, size, above = zlib.decompress(packed), width * step, bytes(width * step)
    rows = []
    for begin in range(0, height * (size + 1), size + 1):
        above = _unfiltered(raw[begin], raw[begin + 1 : begin + 1 + size], above, step)
        rows.append([(above[at], above[at + 1], above[at + 2]) for at in range(0, size, step)])
    return rows


def _unfiltered(kind: int, line: bytes, above: bytes, step: int) -> bytes:
    if kind == 0:
        return line
    if kind == 2:
        return bytes((one + up) & 255 for one, up in zip(line, above))
    found = bytearray(step + len(line))
    for at, (one, up, corner) in enumerate(zip(line, above, bytes(step) + above), step):
        left = found[at - step]
        if kind == 4:
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            near = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        else:
            near = left if kind == 1 else (left + up) // 2
        found[at] = one + near & 255
    return bytes(found[step:])
