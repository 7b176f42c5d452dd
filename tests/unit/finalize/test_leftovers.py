# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of disks that are stale where nobody rewrites them are told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.finalize import leftovers
from rear_core.finalize.names import naming_files
from rear_core.finalize.references import opened_at_start
from rear_core.storage.technologies import CORE_KINDS
from unit.finalize.storage import ARRAY, ROOT, SWAP, storage

NEW = "99999999-9999-9999-9999-999999999999"


def put(target: Path, name: str, text: str) -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def told(target: Path) -> list[str]:
    return [str(found) for found in leftovers.find(target, storage({SWAP: NEW}))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("DEVICESCAN off /dev/sda -a", "/dev/sda, which is now /dev/vda"),
        ("dir=/dev/sda1.", "/dev/sda1, which is now /dev/vda1"),
        ("/dev/disk/by-id/ata-x_one-part1", "/dev/disk/by-id/ata-x_one-part1, which is now"
         " /dev/disk/by-id/virtio-new-part1"),
        (f'ext4 UUID="{SWAP}"', f"UUID={SWAP}, which is now {NEW}"),
        (f"/dev/disk/by-uuid/{SWAP}", f"UUID={SWAP}, which is now {NEW}"),
        ("Requires=dev-sda2.device", "/dev/sda2, which is now /dev/vda2"),
        (f"After=dev-disk-by\\x2duuid-{SWAP}.swap".replace(SWAP, SWAP.replace("-", "\\x2d")),
         f"UUID={SWAP}, which is now {NEW}"),
        ("/dev/disk/by-id/ata-x_two", "/dev/disk/by-id/ata-x_two, which is now /dev/vdb"),
    ],
)  # fmt: skip
def test_a_stale_name_is_told_with_file_and_line(tmp_path: Path, line: str, expected: str) -> None:
    put(tmp_path, "etc/x/daemon.conf", f"# /dev/sda\nfirst\n{line}\n")
    assert told(tmp_path) == [f"/etc/x/daemon.conf, line 3: {expected}; rear left it unchanged"]


@pytest.mark.parametrize(
    "line",
    [f"UUID={ROOT}", "/dev/sdz", "/dev/sda9", "/srv/dev/sda", "/dev/null", "/dev/md127", "; /dev/sda", "LABEL=lost",
     "mydev-sda2.device", "/dev/sd[ab]", "disk-that-was-left-alone=/dev/sdc"],
)  # fmt: skip
def test_what_is_as_it_was_or_unknown_is_not_told(tmp_path: Path, line: str) -> None:
    put(tmp_path, "etc/x/daemon.conf", f"{line}\n")
    assert told(tmp_path) == []


def test_a_swap_unit_is_named_after_its_device(tmp_path: Path) -> None:
    unit = put(tmp_path, "etc/systemd/system/dev-sda2.swap", "[Swap]\nWhat=/dev/sda2\n")
    (unit.parent / "swap.target.wants").mkdir()
    (unit.parent / "swap.target.wants/dev-sda2.swap").symlink_to("../dev-sda2.swap")
    assert told(tmp_path) == [
        "/etc/systemd/system/dev-sda2.swap is named after /dev/sda2, which is now /dev/vda2; rear left it unchanged",
        "/etc/systemd/system/dev-sda2.swap, line 2: /dev/sda2, which is now /dev/vda2; rear left it unchanged",
        "/etc/systemd/system/swap.target.wants/dev-sda2.swap is named after /dev/sda2, which is now /dev/vda2; rear"
        " left it unchanged",
    ]


def test_only_texts_of_persons_are_read(tmp_path: Path) -> None:
    put(tmp_path, "boot/vmlinuz", "x\0/dev/sda1\n")
    put(tmp_path, "etc/long", "/dev/sda1\n" * 40000)
    put(tmp_path, "etc/lvm/backup/vg0", 'device = "/dev/sda1"\n')
    put(tmp_path, "var/x", "/dev/sda1\n")
    put(tmp_path, "boot/odd", "").write_bytes(b"\xff /dev/sda1\n")
    (tmp_path / "etc/link").symlink_to("/nowhere")
    assert told(tmp_path) == ["/boot/odd, line 1: /dev/sda1, which is now /dev/vda1; rear left it unchanged"]


def test_what_the_start_opens_is_not_stale(tmp_path: Path) -> None:
    put(tmp_path, "etc/x.conf", "/dev/sda1\n")
    assert leftovers.find(tmp_path, storage(), opened={"/dev/sda1"}) == []


@pytest.mark.parametrize(
    ("conf", "stale"),
    [
        (f"ARRAY /dev/md/data metadata=1.2 UUID={ARRAY} name=web1:data\n", []),
        (f"# its name\narray /dev/md/data\n  uuid={ARRAY}\n", []),
        (
            "ARRAY /dev/md/data UUID=0:0:0:0\n",
            ["/etc/mdadm/mdadm.conf, line 1: /dev/md/data, which is now /dev/md127; rear left it unchanged"],
        ),
        (f"ARRAY <ignore> UUID={ARRAY}\n", []),
    ],
)
def test_the_name_of_an_array_in_mdadm_conf_is_one_that_the_start_gives_it(
    tmp_path: Path, conf: str, stale: list[str]
) -> None:
    """The rescue system, of another name, has not given it."""
    now = storage(without_names={"/dev/md/data"})
    put(tmp_path, "etc/mdadm/mdadm.conf", conf)
    opened = opened_at_start(tmp_path, now, naming_files(CORE_KINDS, ()))
    assert [str(one) for one in leftovers.find(tmp_path, now, opened)] == stale
