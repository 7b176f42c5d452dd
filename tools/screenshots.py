# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/images/NAME.svg from docs/images/recorded/NAME.txt: a terminal, light or dark as the reader's desktop.

A recording is what was printed, without colors, and what was typed: lines that begin with `# `, and `<answers>`. Tests
type the same, and compare.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent.parent / "docs/images"
COLUMNS, LINE, LETTER, MARGIN, BAR = 80, 18, 8.43, 14, 28
# The words that rear has in color on a terminal.
COLORED = {"ERROR:": "error", "WARNING:": "warning"}
STYLE = """\
  <style>
    .ground { fill: #f6f8fa; stroke: #c4ccd4 } .bar { fill: #e1e6eb } .dot { fill: #b4bec8 }
    text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1b2733; white-space: pre }
    .typed, .error, .warning { font-weight: bold } .error { fill: #b3261e } .warning { fill: #8a5a00 }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #12181f; stroke: #39434e } .bar { fill: #1f2731 } .dot { fill: #4a5663 }
      text { fill: #d5dde5 } .error { fill: #ff8a80 } .warning { fill: #f2cc60 }
    }
  </style>"""


def pictures() -> dict[Path, str]:
    """The text of each picture by its path."""
    return {IMAGES / f"{path.stem}.svg": picture(path.read_text()) for path in sorted(IMAGES.glob("recorded/*.txt"))}


def picture(recording: str) -> str:
    """A terminal of 80 columns that shows a recording."""
    lines = [piece for line in recording.splitlines() for piece in wrapped(line)]
    width, height = round(COLUMNS * LETTER) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN + BAR
    shows = next((line[2:] for line in lines if line.startswith("# ")), lines[0].strip())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    parts = [head, f"  <title>A terminal that shows {escape(shows)}</title>", STYLE]
    parts += [f'  <rect class="ground" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>']
    parts += [f'  <path class="bar" d="M1,{BAR} V8 a7,7 0 0 1 7,-7 H{width - 8} a7,7 0 0 1 7,7 V{BAR} z"/>']
    parts += [f'  <circle class="dot" cx="{18 + 18 * number}" cy="14.5" r="5"/>' for number in range(3)]
    for number, line in enumerate(lines):
        place = BAR + MARGIN + LINE * number + 13
        parts.append(f'  <text x="{MARGIN}" y="{place}" xml:space="preserve">{marked(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def wrapped(line: str) -> list[str]:
    """The lines of a terminal that a line takes."""
    return [line[begin : begin + COLUMNS] for begin in range(0, max(1, len(line)), COLUMNS)]


def marked(line: str) -> str:
    """A line as text of SVG; what was typed is bold."""
    word, _, rest = line.partition(" ")
    if word == "#":
        return f'<tspan class="typed">{escape(line)}</tspan>'
    if word in COLORED:
        return f'<tspan class="{COLORED[word]}">{escape(word)}</tspan> {escape(rest)}'
    return re.sub("&lt;(.*?)&gt;", r'<tspan class="typed">\1</tspan>', escape(line))


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text)
