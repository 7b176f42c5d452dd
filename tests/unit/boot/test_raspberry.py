# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firmware of a Raspberry Pi starts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rear_core.boot.loader import Entry
from rear_core.boot.raspberry import entries, naming_files, notes, version_of

KERNEL = b"...Linux version 6.6.31+rpt-rpi-v8 (builder@x) (gcc) #1 SMP..."
# As raspi-firmware of Debian writes them; the other ones are those of the Pi's own system.
DEBIAN = """\
# Switch the CPU from ARMv7 into ARMv8 (aarch64) mode
arm_64bit=1

enable_uart=1
upstream_kernel=1

kernel=vmlinuz-6.1.0-9-arm64
# For details on the initramfs directive, see
initramfs initrd.img-6.1.0-9-arm64
"""
OWN = """\
dtparam=audio=on
auto_initramfs=1
[cm4]
kernel=other.img
[all]
"""
CMDLINE = "console=serial0,115200 root=PARTUUID=6c586e13-02 rootwait\n"


def system(target: Path, config: str, *kernels: str, cmdline: str = CMDLINE, name: str = "cmdline.txt") -> Path:
    here = target / "boot/firmware"
    here.mkdir(parents=True)
    (here / "config.txt").write_text(config)
    (here / name).write_text(cmdline)
    for kernel in kernels:
        (here / kernel).parent.mkdir(exist_ok=True)
        (here / kernel).write_bytes(gzip.compress(KERNEL))
    return target


def test_what_debian_writes_is_read(tmp_path: Path) -> None:
    assert entries(system(tmp_path, DEBIAN)) == [
        Entry("Raspberry Pi", "", "/boot/firmware/vmlinuz-6.1.0-9-arm64",
              ("/boot/firmware/initrd.img-6.1.0-9-arm64",),
              ("console=serial0,115200", "root=PARTUUID=6c586e13-02", "rootwait"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "kernel", "initramfs"),
    [
        (OWN, "kernel8.img", ("initramfs8",)),
        ("os_prefix=new/\n", "new/kernel8.img", ()),
        ("include more.txt\n", "kernel8.img", ()),
        ("[pi4]\nkernel=x\n", "kernel8.img", ()),
        ("initramfs initramfs8 followkernel\n", "kernel8.img", ("initramfs8",)),
    ],
)
def test_the_kernel_of_the_model_is_started(
    tmp_path: Path, config: str, kernel: str, initramfs: tuple[str, ...]
) -> None:
    [entry] = entries(system(tmp_path, config, kernel))
    assert entry.kernel == f"/boot/firmware/{kernel}"
    assert entry.initramfs == tuple(f"/boot/firmware/{name}" for name in initramfs)
    assert entry.version == "6.6.31+rpt-rpi-v8"


def test_a_kernel_that_does_not_tell_its_version_has_none(tmp_path: Path) -> None:
    for content in (b"", b"\x1f\x8bhalf", b"nothing"):
        (tmp_path / "kernel").write_bytes(content)
        assert version_of(tmp_path / "kernel") == ""
    assert version_of(tmp_path / "lost") == ""


@pytest.mark.parametrize(
    ("cmdline", "told"),
    [
        (CMDLINE, []),
        (f"{CMDLINE}quiet\n", ["/boot/firmware/cmdline.txt has several lines: the firmware reads the first one alone"]),
        (f"\n{CMDLINE}", ["/boot/firmware/cmdline.txt cannot be understood: its first line is empty, and the firmware"
                          " reads that one alone"]),
    ],
)  # fmt: skip
def test_what_the_firmware_does_not_read_is_told(tmp_path: Path, cmdline: str, told: list[str]) -> None:
    assert notes(system(tmp_path, DEBIAN, cmdline=cmdline)) == told


def test_the_parameters_can_have_another_name(tmp_path: Path) -> None:
    [entry] = entries(system(tmp_path, "cmdline=cmdline-debian.txt\n", name="cmdline-debian.txt"))
    assert entry.arguments[1] == "root=PARTUUID=6c586e13-02"


def test_the_root_that_debian_writes_there_is_a_reference() -> None:
    file = next(file for file in naming_files(lambda _text: ()) if file.pattern == "/etc/default/raspi-firmware")
    text = '#ROOTPART=/dev/mmcblk0p2\nROOTPART="UUID=1-2 rootflags=subvol=@"\nROOTPART=LABEL=RASPIROOT\n'
    assert [(one.tag, one.value) for one in file.read(text)] == [("UUID", "1-2"), ("LABEL", "RASPIROOT")]
