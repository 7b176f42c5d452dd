# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial on restic and S3, as an administrator follows it, on a small machine and a server that is moto."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import guests, methods, s3, small, small_methods
from lab.small_methods import DESIGN

RESTIC = shutil.which("restic")
PAGE = Path(__file__).parents[2] / "docs/tutorial/restic-on-s3.md"
ADDRESS, KEY, SECRET = "https://s3.example.org/backups/web1", "web1", "0123456789abcdef"
OUTPUT = "/var/lib/rear/output"
# restic before 0.15 restores no holes.
MAY_DIFFER = (*small_methods.MAY_DIFFER, "/srv/*odd/sparse", "/usr/lib/modules/*")

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(RESTIC is None, reason="restic is not installed: tools/install test does that"),
    pytest.mark.skipif(
        importlib.util.find_spec("moto") is None, reason="moto is not installed: make test-vm does that"
    ),
]


def commands(text: str, url: str) -> list[str]:
    """What a reader types, with the address of this server."""
    return [
        block.replace(ADDRESS, f"{url}/backups/web1") for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    ]


def test_the_tutorial_brings_a_machine_back(tmp_path: Path) -> None:
    before, after = PAGE.read_text().split("\n## Lose the machine")
    made, system = small_methods.saved(), tmp_path / DESIGN.serials("0a")[0]
    subprocess.run(["cp", "--sparse=always", made.folder / system.name, system], check=True)
    with small.running(DESIGN, [guests.Disk(system, system.name)], "s3") as vm, s3.server(vm.network) as url:
        small.start(vm, DESIGN)
        assert RESTIC
        vm.put("/usr/local/bin/restic", Path(RESTIC).read_bytes())
        vm.check(f"chmod 755 /usr/local/bin/restic\n({methods.NETWORK})")
        vm.put("/etc/rear/site.conf", small.in_guest().encode())
        vm.check("rm -f /etc/rear/local.conf")
        said = "\n".join(vm.check(command, 600) for command in commands(before, url))
        assert "as snapshot " in said and "complete" in said and "debian12" in said.splitlines()[-1]
        password = vm.check("cat /etc/rear/restic.password").strip()
        (tmp_path / "rescue.iso").write_bytes(vm.get(f"{OUTPUT}/rear-debian12.iso"))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(DESIGN, initramfs, tmp_path, "s3")
    port = int(url.rpartition(":")[2])
    with recovery.rescue() as vm, s3.server(vm.network, port):
        plan, recover = commands(after, url)
        assert vm.check(plan, 120).startswith("taken: disk ")
        vm.send(f"{recover.strip()}; echo ended with $?.\n")
        for question, answer in (
            ("AWS_ACCESS_KEY_ID for the restic repository: ", KEY),
            ("AWS_SECRET_ACCESS_KEY for the restic repository: ", SECRET),
            ("Password of the restic repository: ", password),
        ):
            vm.expect(question, 300)
            vm.send(f"{answer}\n")
        vm.expect("The recovery is complete", 600)
        assert vm.expect(r"ended with (\d+)\.", 60)[1] == "0"
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER)
