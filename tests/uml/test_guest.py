# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's own guests are what their description promises."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab import cache, guests, qemu_guests, uml

pytestmark = pytest.mark.uml


def test_commands_on_the_console_give_status_and_output(guest: guests.Machine) -> None:
    answer = guest.sh("printf 'one\\ntwo'\necho three >&2\n(exit 7)")
    assert answer == guests.Answer(7, "one\ntwothree")


def test_a_command_that_takes_too_long_is_named(tmp_path: Path) -> None:
    with guests.Machine(root=guests.image(), transcript=tmp_path / "log") as vm:
        vm.shell()
        with pytest.raises(guests.MachineFailed, match="in 'sleep 60': 1 seconds passed"):
            vm.sh("sleep 60", timeout=1)


def test_files_go_there_and_back_as_they_are(guest: guests.Machine) -> None:
    data = bytes(range(256)) * 4096
    guest.put("/tmp/odd name", data)
    assert guest.check("sha256sum <'/tmp/odd name'; rm -f '/tmp/odd name.2'; cp '/tmp/odd name'{,.2}")
    assert guest.get("/tmp/odd name.2") == data


def test_folders_go_there_and_back(guest: guests.Machine, tmp_path: Path) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/file").write_bytes(b"\0\1")
    subprocess.run(["tar", "-C", tmp_path / "tree", "-cf", tmp_path / "there.tar", "."], check=True)
    guest.push(tmp_path / "there.tar", "/tmp/pushed")
    guest.check("chown 1234:5678 /tmp/pushed/deep/file")
    guest.pull("/tmp/pushed", tmp_path / "back.tar")
    with tarfile.open(tmp_path / "back.tar") as archive:
        member = archive.getmember("./deep/file")
        assert (member.uid, member.gid, member.size) == (1234, 5678, 2)


def test_the_guest_has_blank_disks_with_serials(guest: guests.Machine) -> None:
    devices = json.loads(guest.check("lsblk --json --bytes --output NAME,SERIAL,SIZE,FSTYPE"))["blockdevices"]
    blanks = {device["serial"]: device for device in devices if device["serial"]}
    assert sorted(blanks) == [f"lab{number}" for number in range(1, 8)]
    assert all(device["size"] == 4 << 30 and device["fstype"] is None for device in blanks.values())


def test_the_guest_has_network_cards_that_are_down(guest: guests.Machine) -> None:
    links = json.loads(guest.check("ip -json link"))
    cards = {link["address"]: link["operstate"] for link in links if link["ifname"] != "lo"}
    assert cards == {f"52:54:00:00:00:0{number}": "DOWN" for number in range(1, 6)}


def test_rear_runs_in_the_guest(guest: guests.Machine) -> None:
    assert guest.check("rear --version").startswith("rear")
    assert guest.python("import rear_core, sys; print(rear_core.__name__, *sys.argv[1:])", "a b") == "rear_core a b"


def test_disks_come_and_go_with_sectors_and_paths(guest: guests.Machine, tmp_path: Path) -> None:
    (device,) = guest.attach(guests.Disk(guests.blank(tmp_path / "disk", 256), "abcd", sector_size=4096, paths=2))
    columns = "lsblk --json --bytes --output NAME,SERIAL,WWN,SIZE,LOG-SEC"
    found = [disk for disk in json.loads(guest.check(columns))["blockdevices"] if disk["serial"] == "abcd"]
    assert {(disk["log-sec"], disk["size"]) for disk in found} == {(4096, 256 << 20)}
    assert len(found) == 2 and len({disk["wwn"] for disk in found}) == 1
    guest.detach("abcd")
    assert guest.sh(f"test -e {device}").status == 1
    assert "abcd" not in guest.check("lsblk --output SERIAL")


def test_what_is_synced_outlives_a_power_cut_and_what_is_not_kept_is_forgotten(tmp_path: Path) -> None:
    disk = guests.Disk(guests.blank(tmp_path / "disk", 64), "abcd")
    with guests.Machine(root=guests.image(), disks=[disk], transcript=cache.transcript("uml-power")) as vm:
        vm.shell()
        vm.check("mkfs.ext4 -q /dev/disk/lab/abcd && mount /dev/disk/lab/abcd /mnt && mkdir /mnt/kept && touch /lost")
        vm.check("sync")
        vm.cut_power()
        with pytest.raises(guests.MachineFailed, match="the machine ended"):
            vm.sh("true")
    with guests.Machine(root=guests.image(), disks=[disk], transcript=cache.transcript("uml-power")) as vm:
        vm.shell()
        vm.check("mount /dev/disk/lab/abcd /mnt && test -d /mnt/kept && ! test -e /lost")
        vm.power_off()
    checked = subprocess.run(["e2fsck", "-fn", tmp_path / "disk"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("name", "engine"), [("qemu", qemu_guests), ("uml", uml)])
def test_the_environment_names_the_engine(name: str, engine: guests.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REAR_GUESTS", name)
    assert guests.engine.__wrapped__() is engine


def test_an_engine_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REAR_GUESTS", "kvm")
    with pytest.raises(RuntimeError, match="REAR_GUESTS is 'kvm', and there are qemu and uml"):
        guests.engine.__wrapped__()


def test_a_path_that_no_kernel_can_be_told_is_named(tmp_path: Path) -> None:
    disk = guests.Disk(tmp_path / "a b", plain=True)
    with pytest.raises(RuntimeError, match=r"cannot name '.*/a b': set TMPDIR"):
        uml.argv(guests.Machine(disks=[disk]), tmp_path, 0)


def test_a_host_that_gives_no_network_card_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cables = guests.Machine._cables
    # Those of the second time are there already.
    monkeypatch.setattr(guests.Machine, "_cables", lambda vm: [*cables(vm), *cables(vm)])
    with guests.Machine(root=guests.image(), nics=[guests.Nic("52:54:00:00:00:01")]) as vm:
        with pytest.raises(guests.MachineFailed) as failed:
            vm.shell()
        assert guests.NO_TAP in failed.value.words


def test_without_its_kernel_user_mode_linux_says_so_and_qemu_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    qemu_guests.accelerator()
    monkeypatch.delenv("REAR_GUESTS", raising=False)
    monkeypatch.setenv("REAR_TEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="user-mode Linux cannot be had, and its guests cannot be started"):
        uml.tree()
    assert guests.engine.__wrapped__() is qemu_guests
    assert "ten times longer" in capsys.readouterr().err
