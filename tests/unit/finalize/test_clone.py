# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clone keeps of the machine that it was made from: nothing by which others would take it for that."""

from __future__ import annotations

import os
from pathlib import Path

from rear_core import schedule
from rear_core.boot.grub_bios import GRUB_BIOS
from rear_core.finalize import clone
from rear_core.finalize.names import change_words, files_with_words
from rear_core.schedule import Job
from rear_core.testing.fake_shell import FakeShell

ID = "1a2b3c4d5e6f708192a3b4c5d6e7f809"


def put(root: Path, **files: str) -> None:
    """Write files of the system by their names with __ for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_name_is_another_one_wherever_it_stands(tmp_path: Path) -> None:
    put(tmp_path, etc__hostname="web1.example.org\n", etc__mailname="web1.example.org\n")
    put(tmp_path, etc__hosts="127.0.0.1 localhost\n192.0.2.10 web1.example.org web1 # me\n192.0.2.11 web10 db-web1\n")
    old = clone.names(tmp_path, "web1")
    assert old == ["web1.example.org", "web1"]
    done = [*clone.rename(tmp_path, old, "lab.example.org", ["192.0.2.10"])]
    assert (tmp_path / "etc/hostname").read_text() == (tmp_path / "etc/mailname").read_text() == "lab.example.org\n"
    assert (tmp_path / "etc/hosts").read_text() == (
        "127.0.0.1 localhost\n127.0.1.1 lab.example.org lab # me\n192.0.2.11 web10 db-web1\n"
    )
    assert len(done) == 3 and [*clone.rename(tmp_path, old, "lab.example.org", [])] == []


def test_a_name_without_a_domain_keeps_that_of_the_machine(tmp_path: Path) -> None:
    put(tmp_path, etc__hostname="web1\n", etc__hosts="127.0.1.1\tweb1.example.org\tweb1\n")
    assert [*clone.rename(tmp_path, clone.names(tmp_path, "web1"), "lab", [])]
    assert (tmp_path / "etc/hosts").read_text() == "127.0.1.1\tlab.example.org\tlab\n"


def test_the_machine_id_is_new_and_boot_entries_stay_found(tmp_path: Path) -> None:
    put(tmp_path, etc__machine_id="")
    os.rename(tmp_path / "etc/machine_id", tmp_path / "etc/machine-id")
    (tmp_path / "etc/machine-id").write_text(f"{ID}\n")
    (tmp_path / "var/lib/dbus").mkdir(parents=True)
    (tmp_path / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    put(tmp_path, **{f"boot__loader__entries__{ID}-6.1.conf": "title x\n"})
    assert len([*clone.new_machine_id(tmp_path)]) == 2
    new = (tmp_path / "etc/machine-id").read_text()
    assert new != f"{ID}\n" and len(new) == 33
    assert (tmp_path / "var/lib/dbus/machine-id").is_symlink()
    assert (tmp_path / "etc/kernel/entry-token").read_text() == f"{ID}\n"
    assert (tmp_path / f"boot/loader/entries/{ID}-6.1.conf").exists()


def test_a_machine_id_of_its_own_for_dbus_is_the_same(tmp_path: Path) -> None:
    for name in ("etc", "var/lib/dbus"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "machine-id").write_text(f"{ID}\n")
    assert len([*clone.new_machine_id(tmp_path)]) == 2
    assert (tmp_path / "etc/machine-id").read_text() == (tmp_path / "var/lib/dbus/machine-id").read_text() != f"{ID}\n"
    assert not (tmp_path / "etc/kernel").exists()


def test_timers_of_rear_are_off_and_those_of_others_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    answers = {"systemd-analyze calendar daily": "", "systemctl daemon-reload": "",
               "systemctl enable rear-backup.timer": "", "systemctl restart rear-backup.timer": ""}  # fmt: skip
    schedule.enable(FakeShell(answers), [Job("backup", "daily")], ["/usr/sbin/rear"], folder)
    wants = folder / "timers.target.wants"
    wants.mkdir()
    for name in ("rear-backup.timer", "restic.timer", "dpkg-db-backup.timer"):
        (wants / name).symlink_to(f"/etc/systemd/system/{name}")
    put(tmp_path, etc__cron_d__rear="PATH=/usr/bin\n30 2 * * * root rear -q -n mkbackuponly\n# rear\n")
    os.rename(tmp_path / "etc/cron_d", tmp_path / "etc/cron.d")
    put(tmp_path, etc__crontab="30 2 * * * root /usr/local/bin/tear-down rearview\n")
    assert len([*clone.switch_off(tmp_path)]) == 2
    assert not list(folder.glob("rear-*")) and not (wants / "rear-backup.timer").is_symlink()
    assert (tmp_path / "etc/cron.d/rear").read_text() == (
        "PATH=/usr/bin\n# Off in this clone: 30 2 * * * root rear -q -n mkbackuponly\n# rear\n"
    )
    assert [line.partition(":")[0] for line in clone.remarks(tmp_path)] == ["restic.timer"]


def test_whatever_else_runs_rear_by_the_clock_is_off(tmp_path: Path) -> None:
    for name, text in {
        "etc/anacrontab": "1 5 rear.daily nice rear mkbackup\n",
        "var/spool/cron/tabs/eve": "@daily sudo rear mkbackup\n",
        "etc/cron.daily/save": "#!/bin/sh\nexec /usr/sbin/rear mkbackup\n",
        "etc/cron.daily/other": "#!/bin/sh\n# rear\n",
        "etc/systemd/system/nightly.service": "[Service]\nExecStart=/usr/sbin/rear mkbackup\n",
    }.items():  # fmt: skip
        put(tmp_path, **{name.replace("/", "__"): text})
        (tmp_path / name).chmod(0o755)
    wants = tmp_path / "etc/systemd/system/timers.target.wants"
    wants.mkdir()
    for name in ("rear.timer", "nightly.timer", "fstrim.timer"):
        (wants / name).symlink_to(f"/etc/systemd/system/{name}")
    assert len([*clone.switch_off(tmp_path)]) == 5
    assert (tmp_path / "etc/anacrontab").read_text().startswith(clone.OFF)
    assert (tmp_path / "var/spool/cron/tabs/eve").read_text().startswith(clone.OFF)
    assert not os.access(tmp_path / "etc/cron.daily/save", os.X_OK)
    assert os.access(tmp_path / "etc/cron.daily/other", os.X_OK)
    assert [path.name for path in wants.iterdir()] == ["fstrim.timer"]


def test_what_storage_and_others_know_the_machine_by_is_told(tmp_path: Path) -> None:
    put(tmp_path, etc__iscsi__initiatorname_iscsi="InitiatorName=iqn.x\n")
    os.rename(tmp_path / "etc/iscsi/initiatorname_iscsi", tmp_path / "etc/iscsi/initiatorname.iscsi")
    put(tmp_path, etc__ssh__sshd_config="HostKey /etc/ssh/ssh_host_rsa_key\nHostKey /srv/key\n")
    told = [*clone.remarks(tmp_path)]
    assert len(told) == 2 and "InitiatorName is the other machine's" in told[0] and "/srv/key" in told[1]


def test_keys_and_numbers_of_the_other_machine_are_gone(tmp_path: Path) -> None:
    put(tmp_path, etc__ssh__ssh_host_rsa_key="secret\n", var__lib__rear__identity="{}\n")
    os.rename(tmp_path / "var/lib/rear/identity", tmp_path / "var/lib/rear/identity.json")
    assert clone.new_host_keys(tmp_path) == ["/etc/ssh/ssh_host_rsa_key"]
    assert len([*clone.forget_owner(tmp_path, Path("/var/lib/rear"))]) == 1
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_an_initramfs_asks_for_a_lease(tmp_path: Path) -> None:
    put(tmp_path, etc__kernel__cmdline="root=/dev/sda ip=192.0.2.10::192.0.2.1:255.255.255.0::eth0:none quiet\n")
    put(tmp_path, etc__default__grub='GRUB_CMDLINE_LINUX="rd.neednet=1 ip=dhcp skip=10.0.0.1"\n')
    put(
        tmp_path, boot__grub2__grubenv="kernelopts=ip=192.0.2.10::192.0.2.1:255.255.255.0::eth0:none\n".ljust(1024, "#")
    )
    files = files_with_words([GRUB_BIOS])
    assert {*change_words(tmp_path, files, clone.lease_early)} == {"/etc/kernel/cmdline", "/boot/grub2/grubenv"}
    assert (tmp_path / "etc/kernel/cmdline").read_text() == "root=/dev/sda ip=dhcp quiet\n"
    # GRUB reads no environment of another size.
    assert (tmp_path / "boot/grub2/grubenv").read_text() == "kernelopts=ip=dhcp\n".ljust(1024, "#")
