# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of block devices in configuration files: found in each syntax, changed where they changed, else left alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.boot.grub_efi import GRUB_EFI
from rear_core.boot.grub_menu import padded
from rear_core.errors import RearError
from rear_core.finalize import names as parsers
from rear_core.finalize import references
from rear_core.finalize.devices import Storage
from rear_core.finalize.references import Finding, corrected
from rear_core.storage.mount_references import fstab
from rear_core.storage.references import Reference
from rear_core.storage.technologies import CORE_KINDS
from unit.finalize.storage import ARRAY, CRYPT, ROOT, SWAP, storage

NEW = "99999999-9999-9999-9999-999999999999"
Parser = Callable[[str], Iterable[Reference]]


def rewrite_references(target: Path, storage: Storage) -> list[Finding]:
    return references.rewrite_references(target, storage, parsers.naming_files(CORE_KINDS, [GRUB_EFI]))


def test_only_the_changed_name_of_a_line_is_replaced() -> None:
    text = f"# /etc/fstab\nUUID={ROOT}  /  ext4  errors=remount-ro 0 1\n\tUUID={SWAP}\tnone swap sw # {SWAP}\n"
    changed, findings = corrected("/etc/fstab", text, fstab(text), storage({SWAP: NEW}))
    assert changed == text.replace(f"UUID={SWAP}", f"UUID={NEW}")
    assert findings == [Finding("/etc/fstab", 3, f"UUID={SWAP}", NEW, False)]
    assert str(findings[0]) == f"/etc/fstab, line 3: UUID={SWAP} is now {NEW}"


def test_a_name_that_leads_nowhere_is_told_and_left() -> None:
    text = "LABEL=lost /lost xfs defaults 0 0\n"
    changed, findings = corrected("/etc/fstab", text, fstab(text), storage())
    assert changed == text
    assert [str(found) for found in findings] == ["/etc/fstab, line 1: LABEL=lost is on no device"]
    assert not findings[0].optional


@pytest.mark.parametrize(
    ("name", "line", "eased"),
    [
        ("/etc/fstab", "LABEL=lost /lost xfs defaults 0 2", "LABEL=lost /lost xfs defaults,nofail 0 2"),
        ("/etc/fstab", "LABEL=lost\t/lost\txfs", "LABEL=lost\t/lost\txfs nofail"),
        ("/etc/fstab", "LABEL=lost none swap sw # old", "LABEL=lost none swap sw,nofail # old"),
        ("/etc/fstab", "UUID=9 /x xfs logdev=/dev/sdz1 0 2", "UUID=9 /x xfs logdev=/dev/sdz1,nofail 0 2"),
        ("/etc/crypttab", "vault UUID=9-9 none luks", "vault UUID=9-9 none luks,nofail"),
        ("/etc/crypttab", "vault UUID=9-9", "vault UUID=9-9 none nofail"),
        ("/etc/crypttab", "vault UUID=9-9 /key", "vault UUID=9-9 /key nofail"),
        ("/etc/fstab", "UUID=dead-1 /data ext4 # archive", "UUID=dead-1 /data ext4 nofail # archive"),
        ("/etc/fstab", "UUID=dead-1 /data # ext4 rw", "UUID=dead-1 /data auto nofail # ext4 rw"),
        ("/etc/fstab", "\tUUID=9 /x xfs rw#1 0 2 # rw, old", "\tUUID=9 /x xfs rw#1,nofail 0 2 # rw, old"),
        ("/etc/integritytab", "data UUID=9-9", "data UUID=9-9 - nofail"),
        ("/etc/veritytab", "data UUID=9-9 UUID=8-8 4f00", "data UUID=9-9 UUID=8-8 4f00 nofail"),
        ("/etc/veritytab", "data UUID=9-9 UUID=8-8 4f00 noexec#", "data UUID=9-9 UUID=8-8 4f00 noexec#,nofail"),
        ("/etc/crypttab", "data UUID=9-9 - -", "data UUID=9-9 - nofail"),
        ("/etc/crypttab", "data UUID=9-9 none none # x", "data UUID=9-9 none nofail # x"),
        ("/etc/crypttab", "data UUID=dead-beef none # luks, the archive",
         "data UUID=dead-beef none nofail # luks, the archive"),
        ("/etc/crypttab", "data UUID=dead-beef #nofail", "data UUID=dead-beef none nofail #nofail"),
        ("/etc/crypttab", "data UUID=9 none luks # nofail", "data UUID=9 none luks,nofail # nofail"),
    ],
)  # fmt: skip
def test_a_line_whose_device_is_not_there_does_not_keep_the_system_from_starting(
    tmp_path: Path, name: str, line: str, eased: str
) -> None:
    path = tmp_path / name.lstrip("/")
    path.parent.mkdir()
    path.write_text(f"{line}\n")
    findings = rewrite_references(tmp_path, storage())
    assert path.read_text() == f"{eased}\n"
    assert all(found.optional and "nofail added" in str(found) for found in findings)
    assert not rewrite_references(tmp_path, storage())[0].eased
    assert path.read_text() == f"{eased}\n"


@pytest.mark.parametrize(
    ("crypttab", "optional"),
    [
        ("cryptswap /dev/mapper/whole /dev/urandom swap", None),
        ("cryptswap /dev/sda2 /dev/urandom swap", None),
        ("cryptswap /dev/mapper/first /dev/urandom swap", None),
        ("cryptswap /dev/sdz9 /dev/urandom swap", True),
        ("", True),
    ],
)
def test_what_crypttab_opens_as_the_system_starts_is_there(
    tmp_path: Path, crypttab: str, optional: bool | None
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/integritytab").write_text("whole /dev/vda2 - journal-commit-time=9\n")
    (tmp_path / "etc/crypttab").write_text(f"first PARTUUID=8f2d0b5c-02 none plain\n{crypttab}\n")
    (tmp_path / "etc/fstab").write_text("/dev/mapper/cryptswap none swap sw 0 0\n")
    found = [finding for finding in rewrite_references(tmp_path, storage()) if finding.file == "/etc/fstab"]
    assert [finding.optional for finding in found] == ([] if optional is None else [optional])
    assert ("nofail" in (tmp_path / "etc/fstab").read_text()) == bool(optional)


def test_a_key_that_is_not_plugged_in_leaves_its_line_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/crypttab").write_text(f"crypt UUID={CRYPT} /key:LABEL=STICK luks,header=/dev/sda2\n")
    findings = {finding.old: finding for finding in rewrite_references(tmp_path, storage())}
    assert findings["LABEL=STICK"].optional and not findings["LABEL=STICK"].eased
    assert findings["/dev/sda2"].new == "/dev/vda2"
    line = f"crypt UUID={CRYPT} /key:LABEL=STICK luks,header=/dev/vda2\n"
    assert (tmp_path / "etc/crypttab").read_text() == line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/default/grub", 'GRUB_CMDLINE_LINUX="fips=1 boot=/dev/sda1"'),
        ("etc/systemd/system/data.mount", "[Mount]\nWhat=/dev/sda1\nWhere=/data"),
        ("etc/systemd/system/data.mount.d/device.conf", "[Mount]\nWhat=/dev/sda1"),
        ("etc/dracut.conf", 'add_device+=" /dev/sda1 "'),
        ("etc/dracut.conf.d/a.conf", 'add_device+=" /dev/sda1 "'),
        ("etc/cmdline.d/root.conf", "root=/dev/sda1"),
        ("etc/initramfs-tools/initramfs.conf", "MODULES=most\nRESUME=/dev/sda1"),
        ("etc/grub.d/40_custom", "#!/bin/sh\nexec tail -n +3 $0\nmenuentry x {\n linux /vmlinuz root=/dev/sda1\n}"),
        ("boot/grub/custom.cfg", "menuentry x {\n linux /vmlinuz root=/dev/sda1\n}"),
        ("boot/grub2/custom.cfg", "menuentry x {\n linux /vmlinuz root=/dev/sda1\n}"),
        ("etc/integritytab", "data /dev/sda1"),
        ("etc/veritytab", "data /dev/sda1 /dev/vda2 4f00"),
    ],
)
def test_a_name_that_changed_is_put_right_wherever_it_is_known_to_stand(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}\n")
    assert [finding.new for finding in rewrite_references(tmp_path, storage())] == ["/dev/vda1"]
    assert path.read_text() == text.replace("/dev/sda1", "/dev/vda1") + "\n"


@pytest.mark.parametrize("target", ["/", "/usr", "/boot"])
def test_what_the_system_itself_needs_stays_a_problem(tmp_path: Path, target: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(f"LABEL=lost {target} ext4 rw 0 1\n")
    assert not any(found.optional for found in rewrite_references(tmp_path, storage()))
    assert (tmp_path / "etc/fstab").read_text() == f"LABEL=lost {target} ext4 rw 0 1\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/initramfs-tools/conf.d/resume", "RESUME=UUID=9-9"),
        ("etc/default/grub", 'GRUB_CMDLINE_LINUX="rd.lvm.lv=vg0/gone"'),
        ("etc/kernel/cmdline", "root=UUID=9-9 ro"),
        ("boot/loader/entries/rescue.conf", "options root=UUID=9-9 rd.lvm.lv=vg0/gone"),
    ],
)
def test_what_no_start_may_ever_read_is_told_and_is_no_problem(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(f"{text}\n")
    findings = rewrite_references(tmp_path, storage())
    assert findings and all(found.optional and not found.new for found in findings)
    assert (tmp_path / name).read_text() == f"{text}\n"


PIECES = st.sampled_from(
    [f"UUID={ROOT}", f"UUID={SWAP}", "/dev/sda1", "LABEL=lost", "root=", "rd.luks.uuid=", "#", " ", "\n", "/ ext4 rw\n",
     "none swap sw", "--fs-uuid ", CRYPT, '"', "'", "ARRAY x UUID=" + ARRAY, "search.fs_uuid ", "(hd0) ", "\t", "ä"]
)  # fmt: skip


@given(
    st.lists(PIECES).map("".join), st.sampled_from([file.read for file in parsers.naming_files(CORE_KINDS, [GRUB_EFI])])
)
def test_whatever_stands_in_a_file_only_names_that_changed_are_replaced(text: str, parser: Parser) -> None:
    changed, findings = corrected("/f", text, parser(text), storage({SWAP: NEW}))
    back = changed.replace(NEW, SWAP).replace("/dev/vda1", "/dev/sda1")
    assert back == text
    assert all(found.old not in (f"UUID={ROOT}", f"UUID={CRYPT}") for found in findings)
    again, second = corrected("/f", changed, parser(changed), storage({SWAP: NEW}))
    assert again == changed
    assert all(not found.new for found in second)


def test_files_are_rewritten_in_place_without_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "target"
    etc = target / "etc"
    (etc / "default").mkdir(parents=True)
    (target / "boot/grub").mkdir(parents=True)
    (etc / "fstab").write_text(f"UUID={ROOT} / ext4 rw 0 1\nUUID={SWAP} none swap sw 0 0\n")
    (etc / "fstab").chmod(0o640)
    (etc / "default/grub").write_text(f'GRUB_CMDLINE_LINUX="resume=UUID={SWAP}"\n')
    (target / "boot/grub/grub.cfg").write_text(f"\tlinux /vmlinuz root=UUID={ROOT} resume=UUID={SWAP}\n")
    untouched = etc / "crypttab"
    untouched.write_text(f"crypt UUID={CRYPT} none luks\n")
    before = untouched.stat()
    findings = rewrite_references(target, storage({SWAP: NEW}))
    assert [found.file for found in findings] == ["/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg"]
    assert all(found.new == NEW for found in findings)
    for name in ("etc/fstab", "etc/default/grub", "boot/grub/grub.cfg"):
        text = (target / name).read_text()
        assert NEW in text and SWAP not in text
    assert stat.S_IMODE((etc / "fstab").stat().st_mode) == 0o640
    assert untouched.stat() == before
    assert sorted(os.listdir(etc)) == ["crypttab", "default", "fstab"]


def test_the_environment_of_grub_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "boot/grub2/grubenv"
    path.parent.mkdir(parents=True)
    text = "# GRUB Environment Block\nsaved_entry=x\nkernelopts=root=/dev/sda1 ro crashkernel=auto\n"
    path.write_text(text.ljust(1024, "#"))
    rewrite_references(tmp_path, storage())
    assert path.read_text() == text.replace("/dev/sda1", "/dev/vda1").ljust(1024, "#")
    with pytest.raises(RearError, match="3 bytes too long"):
        padded("x" * 1027)


def test_a_link_is_followed_within_the_target(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/fstab").write_text("/dev/sda1 / ext4 rw\n")
    (tmp_path / "etc/fstab").symlink_to("/srv/fstab")
    rewrite_references(tmp_path, storage())
    assert (tmp_path / "etc/fstab").is_symlink()
    assert (tmp_path / "srv/fstab").read_text() == "/dev/vda1 / ext4 rw\n"
