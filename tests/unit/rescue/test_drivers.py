# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drivers come early, and how the others come later."""

from __future__ import annotations

import hashlib
import stat
import subprocess
from pathlib import Path

import pytest

from lab.web import served
from rear_core.errors import RearError
from rear_core.rescue.drivers import choose_compression, early, write_squashfs
from rear_core.rescue.initramfs import Member
from rear_core.rescue.late_drivers import place, take
from rear_core.rescue.modules import ModuleIndex
from rear_core.shell import Shell

DEP = """\
kernel/drivers/net/ethernet/acme/acme.ko: kernel/net/core/acme_core.ko
kernel/net/core/acme_core.ko:
kernel/drivers/net/ethernet/own/own.ko: kernel/drivers/net/mdio/mdio.ko
kernel/drivers/net/mdio/mdio.ko:
kernel/drivers/scsi/qla2xxx/qla2xxx.ko: kernel/drivers/scsi/scsi_transport_fc.ko
kernel/drivers/scsi/scsi_transport_fc.ko:
kernel/drivers/scsi/virtio_scsi.ko:
kernel/drivers/usb/storage/uas.ko:
kernel/fs/isofs/isofs.ko:
kernel/fs/xfs/xfs.ko:
kernel/sound/soundcore.ko:
"""
ON_MEDIA = {"virtio_scsi", "uas", "isofs"}
OF_THIS_MACHINE = {"own", "mdio"}


@pytest.fixture
def index(tmp_path: Path) -> ModuleIndex:
    (tmp_path / "modules.dep").write_text(DEP)
    return ModuleIndex(tmp_path)


def names(paths: list[str]) -> set[str]:
    return {Path(path).stem for path in paths}


def test_what_reaches_the_media_and_what_this_machine_uses_comes_early(index: ModuleIndex) -> None:
    everything = list(index.dependencies)
    assert names(early(index, everything, ["own", "absent"], "disk")) == ON_MEDIA | OF_THIS_MACHINE
    assert names(early(index, everything, [], "network")) == ON_MEDIA | OF_THIS_MACHINE | {"acme", "acme_core"}


def test_what_is_excluded_does_not_come_back(index: ModuleIndex) -> None:
    without_isofs = [path for path in index.dependencies if "isofs" not in path]
    assert "isofs" not in names(early(index, without_isofs, ["isofs"], "disk"))


def test_the_kernel_decides_the_compression() -> None:
    assert choose_compression({"CONFIG_SQUASHFS_ZSTD": "y", "CONFIG_SQUASHFS_XZ": "y"}) == "zstd"
    assert choose_compression({}) == "gzip"


def test_the_same_drivers_give_the_same_squashfs_with_all_of_them(tmp_path: Path) -> None:
    source = tmp_path / "source.ko"
    source.write_bytes(b"a driver")
    source.chmod(0o600)
    members = [
        Member("lib", stat.S_IFDIR | 0o755),
        Member("lib/modules/6.1/a.ko", stat.S_IFREG | 0o644, source=str(source)),
    ]
    for name in ("one", "two"):
        write_squashfs(Shell(), members, tmp_path / name, "gzip", tmp_path)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    listed = subprocess.run(["unsquashfs", "-lln", tmp_path / "one"], capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in listed.splitlines() if line.endswith("a.ko"))
    assert line.startswith("-rw-r--r-- 0/0 ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "source.ko", "two"]


def test_drivers_of_a_server_count_with_their_checksum_alone(tmp_path: Path) -> None:
    shown, target = tmp_path / "shown", tmp_path / "target"
    shown.mkdir()
    (shown / "drivers.squashfs").write_bytes(b"all drivers")
    sha256 = hashlib.sha256(b"all drivers").hexdigest()
    with served(shown, "127.0.0.1", []) as port:
        url = f"http://127.0.0.1:{port}"
        take(Shell(), f"{url}/drivers.squashfs", sha256, target, patience=0)
        assert target.read_bytes() == b"all drivers"
        with pytest.raises(RearError, match="belongs to another rescue system"):
            take(Shell(), f"{url}/drivers.squashfs", "0" * 64, target, patience=0)
        assert not target.exists()
        with pytest.raises(RearError, match="404") as caught:
            take(Shell(), f"{url}/absent", sha256, target, patience=0)
    assert "then run: rear-drivers" in caught.value.hint


def test_without_a_word_on_the_command_line_there_are_none() -> None:
    assert place("quiet console=ttyS0") == ""
    assert place("rear.drivers=UUID=1-2:/a rear.drivers=http://x/b") == "http://x/b"
