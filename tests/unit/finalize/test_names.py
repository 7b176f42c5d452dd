# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of block devices are found in the syntax of each file."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from rear_core.boot import grub_references
from rear_core.finalize import names as parsers
from rear_core.storage.mount_references import fstab, mount_unit
from rear_core.storage.references import Reference
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.luks.references import crypttab
from rear_core.storage.technologies.md.references import mdadm_conf
from unit.finalize.storage import ARRAY, CRYPT, ROOT, SWAP

command_line, kernel_words = parsers.command_line(CORE_KINDS), parsers.optional_words(CORE_KINDS)
(grub_cfg,) = {file.read for file in grub_references.files(kernel_words) if file.pattern == "/boot/grub/grub.cfg"}
dracut_conf = parsers.dracut_conf(kernel_words)
Parser = Callable[[str], Iterable[Reference]]


def names(parser: Parser, text: str) -> list[str]:
    found = []
    for reference in sorted(parser(text), key=lambda reference: reference.start):
        assert text[reference.start : reference.end] == reference.value
        found.append(f"{reference.tag}:{reference.value}{'?' if reference.optional else ''}")
    return found


@pytest.mark.parametrize(
    ("parser", "text", "expected"),
    [
        (fstab, "UUID=1-2 / ext4 defaults 0 1", ["UUID:1-2"]),
        (fstab, 'UUID="1-2"\t/\text4', ["UUID:1-2"]),
        (fstab, "LABEL=my\\040root / ext4 rw", ["LABEL:my\\040root"]),
        (fstab, "/dev/disk/by-uuid/1-2 / ext4 rw", ["UUID:1-2"]),
        (fstab, "/dev/sda1 / ext4 rw\n/dev/vg/x /x xfs nofail,rw", [":/dev/sda1", ":/dev/vg/x?"]),
        (fstab, "PARTLABEL=esp /boot/efi vfat umask=0077 0 2", ["PARTLABEL:esp"]),
        (fstab, "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0", [":/dev/sr0?"]),
        (fstab, "# UUID=1-2 / ext4 rw\n\n  \n", []),
        (fstab, "srv:/home /home nfs rw\n//srv/x /x cifs rw\ntmpfs /tmp tmpfs size=1G\n/a /b none bind", []),
        (fstab, "UUID=1 /x xfs logdev=/dev/sdb1,rtdev=/dev/sdc 0 2", ["UUID:1", ":/dev/sdb1", ":/dev/sdc"]),
        (fstab, "UUID=1 /x ext4 nofail,journal_path=/dev/sdb", ["UUID:1?", ":/dev/sdb?"]),
        (command_line, "rootflags=subvol=@,logdev=/dev/sdb root=UUID=1-2", [":/dev/sdb", "UUID:1-2"]),
        (command_line, "# rootflags=logdev=/dev/sdb", []),
        (fstab, "UUID=1 /x xfs x-systemd.requires=/dev/sdb1,x-systemd.after=/dev/sdc,x-systemd.before=a",
         ["UUID:1", ":/dev/sdb1", ":/dev/sdc?"]),
        (parsers.integritytab, "a /dev/sda1 /etc/key data-device=/dev/sdb1,allow-discards\nb UUID=1-2 - nofail",
         [":/dev/sda1", ":/dev/sdb1", "UUID:1-2?"]),
        (parsers.veritytab, "a /dev/sda1 PARTUUID=1-2 4f00 fec-device=/dev/sdb1 # x\nb /dev/sdc /dev/sdd 4f00 noauto",
         [":/dev/sda1", "PARTUUID:1-2", ":/dev/sdb1", ":/dev/sdc?", ":/dev/sdd?"]),
        (mount_unit, "[Mount]\nWhat=/dev/sda1\nWhere=/x\nOptions=rw,logdev=/dev/sdb1\n#What=/dev/sdc",
         [":/dev/sda1?", ":/dev/sdb1?"]),
        (mount_unit, "[Mount]\nWhat = UUID=1-2\n", ["UUID:1-2?"]),
        (mount_unit, "[Mount]\nWhat=server:/x\nWhere=/dev/x\n", []),
        (command_line, "fips=1 boot=/dev/sda1 mount.usr=UUID=1-2 boot=live x.boot=/dev/sdb",
         [":/dev/sda1", "UUID:1-2"]),
        (command_line, f"rd.luks.key=/k:/dev/sde1:UUID={CRYPT}", [":/dev/sde1?", f"UUID:{CRYPT}?"]),
        (command_line, f"luks.key={CRYPT}=/k:LABEL=stick", [f"UUID:{CRYPT}", "LABEL:stick?"]),
        (command_line, f"rd.luks.key={CRYPT}=/dev/sde1 rd.luks.key='/dev/sdf'",
         [f"UUID:{CRYPT}", ":/dev/sde1?", ":/dev/sdf?"]),
        (command_line, f"luks.data={CRYPT}=/dev/sda2 rd.luks.options={CRYPT}=discard,header=/h:LABEL=x",
         [f"UUID:{CRYPT}", ":/dev/sda2", f"UUID:{CRYPT}", "LABEL:x"]),
        (command_line, "rd.luks.options=discard rd.luks.key=/etc/key", []),
        (dracut_conf, "add_device+=\" /dev/sda1 UUID=1-2 \"\n#add_device+=/dev/sdb\nadd_drivers+=/dev/x\n",
         [":/dev/sda1?", "UUID:1-2?"]),
        (dracut_conf, "kernel_cmdline=\"root=/dev/sda1\"\nfstab_lines+='/dev/sda2 /x ext4'\n",
         [":/dev/sda1?", ":/dev/sda2?"]),
        (fstab, "/swapfile none swap sw 0 0", []),
        (crypttab, "crypt UUID=1-2 none luks", ["UUID:1-2"]),
        (crypttab, "swap /dev/sda2 /dev/urandom swap,nofail", [":/dev/sda2?"]),
        (crypttab, "a UUID=1-2 /key:LABEL=STICK luks,header=/dev/sda1",
         ["UUID:1-2", "LABEL:STICK?", ":/dev/sda1"]),
        (crypttab, "a UUID=1-2 none nofail,header=/h:UUID=3-4,size=5", ["UUID:1-2?", "UUID:3-4?"]),
        (crypttab, "a UUID=1-2 /dev/sdb1 luks,keyfile-size=32", ["UUID:1-2", ":/dev/sdb1?"]),
        (crypttab, "a UUID=1-2 /dev/disk/by-label/STICK:/key luks,keyscript=passdev",
         ["UUID:1-2", "LABEL:STICK?"]),
        (crypttab, "a UUID=1-2 /etc/a.key luks,header=/etc/h.img", ["UUID:1-2"]),
        (crypttab, "# name device\ncrypt /dev/md/data", [":/dev/md/data"]),
        (crypttab, "a UUID=1-2 # nofail,header=/dev/sda1", ["UUID:1-2"]),
        (fstab, "UUID=1 /x # xfs noauto", ["UUID:1"]),
        (fstab, "UUID=1 /x xfs #logdev=/dev/sdb1,noauto", ["UUID:1"]),
        (mdadm_conf, "ARRAY /dev/md/0 metadata=1.2 name=a:0 UUID=aa:bb:cc:dd\n", ["MD:aa:bb:cc:dd?"]),
        (mdadm_conf, "# ARRAY /dev/md0 UUID=aa:bb\nMAILADDR root", []),
        (mdadm_conf, "array /dev/md0\n devices=/dev/sda1,/dev/sdb[12],/dev/sdc\n  uuid=aa:b\nX /dev/sdd\n",
         [":/dev/sda1?", ":/dev/sdc?", "MD:aa:b?"]),
        (mdadm_conf, "DEVICE partitions /dev/sda1 /dev/sd[ab]2\n\t/dev/disk/by-id/x-part1\n",
         [":/dev/sda1?", ":/dev/disk/by-id/x-part1?"]),
        (command_line, 'GRUB_CMDLINE_LINUX="root=UUID=1-2 quiet"', ["UUID:1-2"]),
        (command_line, "GRUB_CMDLINE_LINUX='resume=/dev/sda2'", [":/dev/sda2?"]),
        (command_line, "RESUME=UUID=1-2\n", ["UUID:1-2?"]),
        (kernel_words, "rd.lvm.lv=vg0/root root=UUID=1-2", ["LV:vg0/root?", "UUID:1-2?"]),
        (command_line, "RESUME=none\nRESUME=auto", []),
        (command_line, '#GRUB_CMDLINE="root=UUID=1-2"', []),
        (command_line, "cryptdevice=UUID=1-2:root root=/dev/mapper/root", ["UUID:1-2", ":/dev/mapper/root"]),
        (command_line, f"rd.luks.uuid=luks-{ROOT} rd.luks.name={SWAP}=x", [f"UUID:{ROOT}", f"UUID:{SWAP}"]),
        (command_line, "rd.lvm.lv=vg0/root rd.md.uuid=" + ARRAY, ["LV:vg0/root", f"MD:{ARRAY}"]),
        (command_line, "options root=PARTUUID=8f2d0b5c-01 ro", ["PARTUUID:8f2d0b5c-01"]),
        (grub_cfg, f"  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1  {ROOT}\n",
         [f"UUID:{ROOT}?"]),
        (grub_cfg, f"search.fs_uuid {ROOT} root hd0,gpt2\n", [f"UUID:{ROOT}?"]),
        (grub_cfg, "linux /boot/vmlinuz-6.1 root=UUID=1-2 ro quiet", ["UUID:1-2?"]),
        (grub_references.install_devices, "/dev/disk/by-id/ata-x-part2\nactivate\ngeneric_mbr\n",
         [":/dev/disk/by-id/ata-x-part2?"]),
        (command_line, "# GRUB Environment Block\nkernelopts=root=UUID=1-2 ro\n####", ["UUID:1-2"]),
        (grub_references.device_map, "(hd0)\t/dev/disk/by-id/ata-x\n", [":/dev/disk/by-id/ata-x?"]),
    ],
)  # fmt: skip
def test_names_are_found(parser: Parser, text: str, expected: list[str]) -> None:
    assert names(parser, text) == expected
