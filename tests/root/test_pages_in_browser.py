# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in Chromium: nothing is cut off on a phone or on a desk, and what a recovery erased is red."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import pictures
from lab.pages import pixels
from rear_core.pages.layout import page as layout_page
from rear_core.pages.recovery import plan_page, report_page
from rear_core.records import Record
from rear_drill.verdict import BOOT, COMPARE, RECOVER, START, Verdict
from rear_drill.verdict import page as drill_page

CHROMIUM = shutil.which("chromium")
# Chromium is large: 350 MB for one test.
pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

PHONE, DESK = 360, 1100
# The page in frames of both widths, measured as soon as they are there.
MEASURES = """<!DOCTYPE html><meta charset="utf-8"><body>{frames}<pre id="found"></pre><script>
onload = () => {{
  const measured = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const box = one => {{
      const at = one.getBoundingClientRect();
      return [at.left, at.top, at.right, at.bottom, at.width];
    }};
    return {{
      seen: root.clientWidth, taken: root.scrollWidth,
      bars: [...page.querySelectorAll(".bar .row")].map(row => [...row.children].map(box)),
      erased: [...page.querySelectorAll(".cell.erased")].map(box),
      kept: [...page.querySelectorAll(".cell:not(.erased)")].map(box),
      font: Math.min(...[...page.querySelectorAll("p, td, b")].map(one => parseFloat(getComputedStyle(one).fontSize))),
    }};
  }});
  document.getElementById("found").textContent = JSON.stringify(measured);
}};
</script>"""
VERDICT = Verdict(
    date="2026-11-22T183000Z", hostname="web1", image="/rear-web1.iso", backup="nfs://server/backup/web1",
    backup_bytes=3 << 30, firmware="uefi", memory=2048, cpus=2, emulated=False, disks=["disk S1, 10 GiB"], unproven=[],
    stages={BOOT: 20, RECOVER: 100, COMPARE: 30, START: 10}, phases={"verify": 5, "restore": 80}, problem="",
)  # fmt: skip
LONG = "a-very-long-name-without-any-blank-" * 8


def chromium(tmp_path: Path, *arguments: str) -> str:
    """What Chromium prints."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    folders = [f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, *folders, *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def measure(tmp_path: Path, text: str) -> list[dict[str, Any]]:
    """What a page takes at each width."""
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(text)}"></iframe>'
        for width in (PHONE, DESK)
    )
    path = tmp_path / "measures.html"
    path.write_text(MEASURES.format(frames=frames))
    shown = chromium(tmp_path, "--dump-dom", path.as_uri())
    found = html.unescape(shown.partition('<pre id="found">')[2].partition("</pre>")[0])
    measured: list[dict[str, Any]] = json.loads(found)
    return measured


def pages() -> dict[str, str]:
    run = pictures.recovered(pictures.machine(LONG))
    assert run.plan and run.erased
    return {
        "layout": layout_page(run, pictures.layout()),
        "plan": plan_page(run, run.plan, run.erased, [LONG], "0123456789abcdef"),
        "report": report_page(run, {**pictures.FACTS, "hostname": LONG}),
        "drill": drill_page(VERDICT, [Record("drill", "2026-11-01T020000Z", 9, "failed", 1, error=LONG)]),
    }


@pytest.mark.parametrize("name", ["layout", "plan", "report", "drill"])
def test_nothing_is_cut_off_on_a_phone_or_on_a_desk(tmp_path: Path, name: str) -> None:
    for found in measure(tmp_path, pages()[name]):
        assert found["taken"] <= found["seen"]
        assert found["font"] >= 11
        for row in found["bars"]:
            assert all(right <= found["seen"] for _, _, right, _, _ in row)
        assert all(width >= 5 for _, _, _, _, width in found["erased"])


def test_what_a_recovery_erased_is_red_and_nothing_else(tmp_path: Path) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(report_page(pictures.recovered(), pictures.FACTS))
    found = measure(tmp_path, page.read_text())[1]
    # What is below is much of the same, and takes Python long to read.
    seen = int(max(bottom for _, _, _, bottom, _ in found["erased"])) + 300
    found["kept"] = [box for box in found["kept"] if box[3] < seen]
    chromium(tmp_path, f"--window-size={DESK},{seen}", f"--screenshot={picture}", page.as_uri())
    rows = pixels(picture)

    def red(left: float, top: float, right: float, bottom: float, _: float) -> float:
        """The share of red pixels of a box."""
        box = [row[int(left) + 1 : int(right) - 1] for row in rows[int(top) + 1 : int(bottom) - 1]]
        points = [point for row in box for point in row]
        return sum(r > 150 and g < 100 and b < 100 for r, g, b in points) / len(points)

    assert len(found["erased"]) == 4 and all(red(*box) > 0.04 for box in found["erased"])
    assert len(found["kept"]) > 12 and not any(red(*box) for box in found["kept"] if box[4] > 6)


def test_a_report_is_printed(tmp_path: Path) -> None:
    page, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(report_page(pictures.recovered(), pictures.FACTS))
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", page.as_uri())
    assert paper.read_bytes().startswith(b"%PDF-")
