# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that cannot succeed leaves every disk as it was; one that was cut off, by whatever, is gone on with."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import backups, compare, designs, machines, qemu

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(5400)]

DESIGN = designs.debian.UEFI
MIB = 1 << 20
PROMPT = r"RESCUE debian12:\S* # "
# Its recorded disk has 5120 MiB. On the smaller one the root file system has to shrink.
FOREIGN, SMALL, SPARE = 5120, 1024, 3072
LAYOUT = "/etc/rear/recovery/layout.json"
# What a user does who edits the description with an editor, and then back again.
EDIT = "cp -p {path} /run/saved && sed -i {expression} {path} && ! cmp -s {path} /run/saved"
EDITS = {
    "reads only version 1, not 99": '\'s/"version": 1/"version": 99/\'',
    "which is missing": '\'0,/"needs": \\["disk:/s//"needs": ["disk:lost-/\'',
    "these items need each other": '\'/"type": "disk"/,/"needs"/s/"needs": \\[\\]/"needs": ["mount:\\/"]/\'',
}


class Bench:
    """The disks, the backup on its server, and the rescue system of the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = backups.backed_up(DESIGN)
        # A port of its own: another test may serve the same backup at this time.
        self.place = backups.Place(self.saved.place.copy(folder / "backup").path, qemu.free_port())
        sizes = {"foreign": FOREIGN, "small": SMALL, "spare": SPARE}
        self.disks = [qemu.Disk(qemu.blank(folder / name, size), name) for name, size in sizes.items()]
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", folder / "foreign"], check=True)
        (self.archive,) = self.place.path.glob("debian12/*Z/backup.tar.zst")
        self.server = ExitStack()

    def serve(self) -> None:
        self.server.enter_context(self.place.served())

    @contextmanager
    def unserved(self) -> Iterator[None]:
        """A block in which files may change: the server remembers what they were like while it runs."""
        self.server.close()
        yield
        self.serve()

    def fields(self, *disks: str) -> dict[str, Any]:
        chosen = [disk for disk in self.disks if not disks or disk.serial in disks]
        nvram = self.folder / "nvram"
        return {"memory": 1024, "firmware": "uefi", "disks": chosen, "nics": self.place.nics, "nvram": nvram}

    def untouched(self, *disks: str) -> str:
        return " ".join(compare.contents(self.folder / disk) for disk in disks or ("foreign", "small", "spare"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with bench.server:
        yield bench


def configure(vm: qemu.Machine, bench: Bench, more: str = "") -> None:
    """The configuration of the rescue system, with a server that soon counts as gone."""
    quick = f"BACKUP_OPTIONS=vers=4.2,port={bench.place.port},timeo=20,retrans=1\n"
    vm.check("test -e /run/local.conf || cp /etc/rear/local.conf /run/local.conf; cp /run/local.conf /etc/rear/")
    vm.check(f"cat >>/etc/rear/local.conf <<'END'\n{quick}{more}\nEND")


def refused(vm: qemu.Machine, bench: Bench, *said: str) -> None:
    """An unattended recovery ends with status 3 and names each of these faults; no disk is written to."""
    before = bench.untouched()
    answer = vm.sh("rear -n recover", timeout=600)
    assert answer.status == 3, answer.output
    errors = [line for line in answer.output.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == len(said), answer.output
    for error, words in zip(errors, said):
        assert words in error
    assert answer.output.count("What to do: ") == len(said)
    assert "BUG" not in answer.output
    assert bench.untouched() == before


@contextmanager
def hidden(bench: Bench, path: Path) -> Iterator[None]:
    with bench.unserved():
        path.rename(path.with_name("hidden"))
    yield
    with bench.unserved():
        path.with_name("hidden").rename(path)


def rescue_shell(vm: qemu.Machine) -> None:
    vm.expect("Recover debian12 automatically", timeout=600)
    vm.send("\r")
    vm.expect("Choice: ", timeout=600)
    vm.send("2\n")
    vm.shell(PROMPT)


def test_faults_are_refused_and_what_was_cut_off_is_finished(
    machine: Callable[..., qemu.Machine], tmp_path: Path, bench: Bench
) -> None:
    bench.serve()
    with machine(cdrom=bench.saved.iso, **bench.fields()) as vm:
        rescue_shell(vm)
        refuse_all(vm, bench)
        precious = bench.untouched("foreign", "small")
        lose_the_server(vm, bench)
        # The server is back: the next run knows the disk, asks nothing, and goes on. Then the power fails.
        bench.serve()
        vm.send("rear -n recover\n")
        vm.expect(r"-> /dev/vdc \([^)]*it holds what is recorded for this disk", timeout=120)
        vm.expect("An earlier run created the storage; resuming it", timeout=300)
        vm.expect(r"Restoring .* (2|3)\d %", timeout=600)

    # Nothing is known any more. Now the power fails while the storage is made anew.
    with machine(cdrom=bench.saved.iso, **bench.fields()) as vm:
        rescue_shell(vm)
        configure(vm, bench)
        vm.send("rear -v -n recover\n")
        vm.expect("it holds what is recorded for this disk", timeout=120)
        vm.expect("erase old signatures on", timeout=600)
        vm.expect("create logical volume system/root", timeout=300)

    with machine(cdrom=bench.saved.iso, **bench.fields()) as vm:
        rescue_shell(vm)
        configure(vm, bench)
        assert "The recovery is complete." in vm.check("rear -n recover", timeout=1800)
        vm.send("reboot\n")
        vm.wait(300)
    assert bench.untouched("foreign", "small") == precious

    with machine(**bench.fields("spare")) as vm:
        machines.log_in(vm, DESIGN)
        report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
        compare.list_files(vm, f"{bench.place.mount(vm)}/recovered.json")
        vm.check("umount /mnt")
        backups.shut_down(vm)
    assert report["problems"] == []
    assert [line for line in report["differences"] if "shrinks from 2800 to" in line]
    assert compare.differences(bench.saved.files, bench.place.take("recovered.json", tmp_path), DESIGN.may_differ) == {}


def refuse_all(vm: qemu.Machine, bench: Bench) -> None:
    """One fault after the other, in one rescue system."""
    configure(vm, bench)
    refused(vm, bench, "rear is not certain which disk is meant, and this run is unattended")

    whole = bench.archive.read_bytes()
    with bench.unserved():
        os.truncate(bench.archive, len(whole) // 2)
    configure(vm, bench, "DISK_MAPPING=( system=/dev/disk/by-id/virtio-small )")
    refused(vm, bench, "it has 1 GiB, ", "is truncated: ")

    configure(vm, bench, "DISK_MAPPING=( system=/dev/disk/by-id/virtio-foreign )")
    with bench.unserved():
        bench.archive.write_bytes(whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:])
    refused(vm, bench, "is damaged: its checksum is wrong")
    with bench.unserved():
        bench.archive.write_bytes(whole)

    manifest = bench.archive.with_name("manifest.json")
    with hidden(bench, manifest):
        refused(vm, bench, "has no manifest")
        for said, expression in EDITS.items():
            vm.check(EDIT.format(path=LAYOUT, expression=expression))
            refused(vm, bench, said, "has no manifest")
            vm.check(f"cp -p /run/saved {LAYOUT}")

    configure(vm, bench, "DISK_MAPPING=( system=/dev/disk/by-id/virtio-foreign )\nBACKUP_KEY='battery horse correct'")
    refused(vm, bench, "not encrypted, but this machine encrypts its backups")

    configure(vm, bench, "DISK_MAPPING=( system=/dev/disk/by-id/virtio-foreign )")
    bench.server.close()
    refused(vm, bench, "cannot mount nfs://10.0.2.2/export: ")
    bench.serve()


def lose_the_server(vm: qemu.Machine, bench: Bench) -> None:
    """Answers are typed, the recovery begins, and the server goes away while files are restored."""
    configure(vm, bench)
    vm.send("rear recover; echo EXIT''STATUS:$?:\n")
    vm.expect(r"it holds ext4 precious\)", timeout=120)
    vm.expect(r"also here: /dev/vdc \(blank\)")
    vm.expect(r"Which disk becomes disk system [^\n]*\(type /dev/vda to overwrite it\) \[quit\]: ")
    vm.send("/dev/vdz\n")
    vm.expect("Not possible: there is no disk /dev/vdz")
    vm.expect("Which disk becomes ")
    vm.send("/dev/disk/by-id/virtio-spare\n")
    vm.expect("The backup is complete and authentic", timeout=300)
    vm.expect(r"Restoring .* 1\d %", timeout=600)
    bench.server.close()
    ended = vm.expect(r"ERROR: ([^\n]*)\n[^\n]*What to do: ([^\n]*)\n(?:[^\n]*\n)*?EXITSTATUS:(\d+):", timeout=900)
    assert "cannot read the archive" in ended[1]
    assert "run it again" in ended[2]
    assert ended[3] == "1"
