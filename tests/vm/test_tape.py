# SPDX-License-Identifier: GPL-3.0-or-later
"""A tape boots; a SCSI tape drive with Linux's own driver: two tapes with a change, wrong tapes, a whole recovery."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import backups, debian, machines, methods, qemu, small_methods, tape

pytestmark = [pytest.mark.vm, pytest.mark.timeout(7200)]

# Only /srv has anything in it that is saved.
SMALL = """\
BACKUP=TAPE
BACKUP_PREFIX={name}
BACKUP_PROG_EXCLUDE=( '/[!s]*' )
BACKUP_COMPRESSION=none
TAPE_BLOCK_SIZE={block_size}
LOGFILE=/root/log
"""
FILES = r"""
set -e
mkdir -p /srv/files/empty /root/web1 /root/web2
head -c 14000000 /dev/urandom >"/srv/files/odd name"
ln "/srv/files/odd name" /srv/files/again
chown 1234:5678 "/srv/files/odd name"
setfattr -n user.note -v kept /srv/files/again
"""


def start(vm: qemu.Machine, command: str) -> None:
    """Run a command that has the console for itself."""
    vm.send(f"{command}; echo EN''DED:$?:\n")


def ended(vm: qemu.Machine, timeout: float = 900) -> int:
    """Wait for the end of that command; its exit status."""
    return int(vm.expect(r"ENDED:(\d+):", timeout)[1])


def asked_for(vm: qemu.Machine, title: str, timeout: float = 900) -> None:
    """Wait until somebody is asked for a tape."""
    vm.expect(rf"Put {title} .*into /dev/nst0 and press Enter", timeout)


def change(vm: qemu.Machine, drive: tape.Drive, cartridge: Path) -> None:
    """Put another tape in, and say so."""
    drive.insert(cartridge)
    vm.send("\n")


@pytest.mark.long
def test_two_tapes_are_written_and_restored_and_wrong_ones_are_refused(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
    first, second = (tape.cartridge(tmp_path / name, 10) for name in ("first", "second"))
    foreign = tape.cartridge(tmp_path / "foreign", 40)
    system = debian.disk()
    root = qemu.Disk(system.path, "root", snapshot=True)
    with tape.drive(second) as drive, machine(
        disks=[root], kernel=debian.kernel(), initrd=system.initrd, devices=drive.devices,
        command_line=f"{debian.COMMAND_LINE} systemd.default_device_timeout_sec=900",
    ) as vm:  # fmt: skip
        vm.shell(machines.PROMPT, timeout=900)
        vm.put("/root/files", FILES.encode())
        vm.check("modprobe st && sh /root/files")
        for name in ("web1", "web2"):
            vm.put(f"/root/{name}/local.conf", SMALL.format(name=name, block_size=tape.BLOCK_SIZE).encode())

        answer = vm.sh("rear -c /root/web1 mkbackuponly", timeout=900)
        assert answer.status == 3 and "has no label of rear" in answer.output, answer.output
        answer = vm.sh("rear -c /root/web1 format /dev/nst0", timeout=900)
        assert answer.status == 3 and "this run is unattended" in answer.output, answer.output
        for cartridge in (second, foreign, first):
            drive.insert(cartridge)
            assert "/dev/nst0 is ready" in vm.check("rear -c /root/web1 format --yes /dev/nst0", timeout=900)
        answer = vm.sh("rear -c /root/web1 format /dev/st0", timeout=900)
        assert answer.status == 3 and "rewinds by itself" in answer.output, answer.output

        # The second tape is one of another machine at first.
        drive.insert(foreign)
        vm.check("rear -c /root/web2 mkbackuponly", timeout=900)
        drive.insert(first)
        start(vm, "rear -c /root/web1 mkbackuponly")
        asked_for(vm, "a tape for volume 2")
        change(vm, drive, foreign)
        vm.expect("of web2, which is another machine")
        asked_for(vm, "a tape for volume 2")
        change(vm, drive, first)
        vm.expect("which this run wrote")
        asked_for(vm, "a tape for volume 2")
        change(vm, drive, second)
        assert ended(vm) == 0

        # Nobody is there: the disks are left alone. Then somebody is.
        answer = vm.sh("rear -c /root/web1 -n recover --demo /root/back", timeout=900)
        assert answer.status == 3 and re.search("volume 1 .* is needed, but this run is unattended", answer.output)
        assert vm.sh("ls /root/back").status
        start(vm, "rear -c /root/web1 recover --demo /root/back")
        asked_for(vm, "volume 1")
        change(vm, drive, foreign)
        vm.expect("holds volume 1 of the backup .* of web2")
        asked_for(vm, "volume 1")
        change(vm, drive, first)
        asked_for(vm, "volume 2")
        change(vm, drive, second)
        assert ended(vm) == 0
        vm.check("diff --recursive --no-dereference /srv/files /root/back/srv/files")
        attributes = "find . -printf '%p %y %m %U:%G %n %s %T@ %l\\n' | sort; getfattr -dR ."
        original, restored = (vm.check(f"(cd {top}/srv/files; {attributes})") for top in ("", "/root/back"))
        assert original == restored and 'user.note="kept"' in restored

        # The same tape by other tools: a label, a header, and the first volume of a tar archive.
        drive.insert(first)
        vm.check("exec 3</dev/nst0; dd bs=512 <&3 >/root/label; dd bs=64k <&3 >/root/header; dd bs=256k <&3 >/root/tar")
        assert vm.check("head -c 8 /root/label; stat -c ' %s' /root/label") == "REAR-000 10240"
        assert '"machine": "web1"' in vm.check("cat /root/header")
        assert "./srv/files/" in vm.check("tar --list --file=/root/tar 2>/dev/null || true")
        vm.power_off()


# The discs of tests/vm/test_cdrom.py start by the same firmware and menu.
@pytest.mark.long
def test_what_a_tape_shows_as_a_cd_boots(machine: Callable[..., qemu.Machine]) -> None:
    with machine(memory=768, cdrom=small_methods.bootable("tape") / "image.iso") as vm:
        vm.expect("Recover debian12 automatically", timeout=600)
        vm.send("\r")
        vm.expect("Choice: ", timeout=600)
        vm.send("2\n")
        vm.shell(r"RESCUE debian12:\S* # ")
        # The machine that wrote it has another network card.
        (problem,) = vm.check("cat /run/rear/problems").splitlines()
        assert problem.startswith("the network is not complete: differs from the record: "), problem
        assert vm.check("rear dump | grep ^OUTPUT=").startswith("OUTPUT=OBDR ")
        vm.power_off()


# tests/uml has the recovery, the test before the boot.
@pytest.mark.long
def test_a_machine_comes_back_from_a_tape_that_boots(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    saved = methods.saved()
    disks = methods.blank(tmp_path)
    with (
        tape.drive(saved.copy("tape", tmp_path)) as drive,
        machine(memory=1024, cdrom=saved.folder / "image", disks=disks, devices=drive.devices) as vm,
    ):
        backups.recover(vm)
    methods.check(disks, saved.files)
