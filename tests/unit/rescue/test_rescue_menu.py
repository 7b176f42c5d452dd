# SPDX-License-Identifier: GPL-3.0-or-later
"""What the main console of the rescue system does after an unattended recovery."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import rear_core

MENU = Path(rear_core.__file__).parent / "skel/default/usr/lib/rear/menu"
# All that it would run, but for the recovery that ends with this status.
STAND_INS = """
rm() { :; }
bash() { echo shell; }
exec() { echo "exec $*"; exit; }
rear() { echo "rear $*"; return %d; }
"""


def after(status: int, plan: str = "/nosuch") -> list[str]:
    """What the console shows once the recovery has ended with a status, and nobody presses a key."""
    functions = MENU.read_text().partition("\n/usr/lib/rear/welcome\n")[0].replace("/run/rear/plan", plan)
    code = f"{functions}\n{STAND_INS % status}\nunattended"
    ended = subprocess.run(["/bin/bash", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return ended.stdout.splitlines()[1:]


@pytest.mark.parametrize("status", [0, 4])
def test_a_recovery_that_is_done_restarts_the_machine(status: int) -> None:
    asked, said, then = after(status)
    assert asked == "rear -n recover" and then == "exec reboot"
    assert said.startswith("The recovery is complete") and "Rebooting in 30 seconds" in said
    assert ("some of its output is lost" in said) == (status == 4)


@pytest.mark.parametrize("status", [1, 2, 3, 130])
def test_a_recovery_that_failed_leaves_the_machine_as_it_is(status: int) -> None:
    assert after(status)[1:] == [
        f"The recovery failed with exit status {status}. The machine stays as it is.", "shell",
    ]  # fmt: skip


def test_the_plan_of_the_kernel_parameter_is_one_word(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("12345678; *\n")
    assert after(3, str(tmp_path / "plan"))[0] == "rear -n recover --plan 12345678; *"


def test_an_empty_plan_of_the_kernel_parameter_is_passed_on_to_be_refused(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("\n")
    assert after(2, str(tmp_path / "plan"))[0] == "rear -n recover --plan "
