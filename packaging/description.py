# SPDX-License-Identifier: GPL-3.0-or-later
"""What all packages are made from: the distributions of this checkout, and what each needs of the system."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
MAINTAINER = "The rear developers <maintainers@users.noreply.github.com>"
LICENSE = "GPL-3.0-or-later"


@dataclass(frozen=True)
class Needs:
    """Packages of the system by family: those that a package cannot do without, and those that most will want."""

    depends: Mapping[str, str]
    recommends: Mapping[str, str]


# What the rescue system is made with and of, beside what each machine has. Of two words with | one will do.
NEEDS = {
    "rear-core": Needs(
        {
            "deb": "python3-blkinfo, cpio, dosfstools, e2fsprogs, fdisk, iproute2, kbd, kmod, mount, procps, udev,"
            " zstd",
            "rpm": "cpio, dosfstools, e2fsprogs, iproute, kbd, kmod, util-linux, zstd",
        },
        {
            "deb": "gdisk, parted, efibootmgr, openssh-server, rear-backup-nfs, rear-os-debian, rear-output-iso",
            "rpm": "gdisk, parted, efibootmgr, openssh-server, rear-backup-nfs, rear-output-iso",
        },
    ),
    "rear-output-iso": Needs(
        {"deb": "mtools, xorriso, grub-efi-amd64-bin | grub-efi-arm64-bin", "rpm": "mtools, xorriso"},
        {"deb": "grub-pc-bin, shim-signed, grub-efi-amd64-signed | grub-efi-arm64-signed", "rpm": ""},
    ),
    "rear-output-rawdisk": Needs(
        {"deb": "mtools, grub-efi-amd64-bin | grub-efi-arm64-bin", "rpm": "mtools"},
        {"deb": "grub-pc-bin, shim-signed, grub-efi-amd64-signed | grub-efi-arm64-signed", "rpm": ""},
    ),
    "rear-output-usb": Needs(
        {"deb": "grub-efi-amd64-bin | grub-efi-arm64-bin", "rpm": ""},
        {"deb": "grub-pc-bin, shim-signed, grub-efi-amd64-signed | grub-efi-arm64-signed", "rpm": ""},
    ),
    "rear-output-pxe": Needs({}, {"deb": "grub-pc-bin, pxelinux, shim-signed", "rpm": ""}),
    "rear-output-obdr": Needs({"deb": "mt-st, sg3-utils, xorriso", "rpm": "mt-st, sg3_utils, xorriso"}, {}),
    "rear-backup-cdrom": Needs({"deb": "xorriso", "rpm": "xorriso"}, {}),
    "rear-backup-tape": Needs({"deb": "mt-st", "rpm": "mt-st"}, {}),
    "rear-backup-restic": Needs({"deb": "restic", "rpm": ""}, {"rpm": "restic"}),
    "rear-backup-borg": Needs({"deb": "borgbackup", "rpm": ""}, {"rpm": "borgbackup"}),
    "rear-backup-rsync": Needs({"deb": "rsync", "rpm": "rsync"}, {}),
    "rear-backup-bacula": Needs({}, {"deb": "bacula-fd, bacula-console", "rpm": ""}),
    "rear-places-rclone": Needs({"deb": "rclone", "rpm": ""}, {"rpm": "rclone"}),
    "rear-storage-bcache": Needs({"deb": "bcache-tools", "rpm": ""}, {"rpm": "bcache-tools"}),
    "rear-drill": Needs({}, {"deb": "qemu-system-x86, ovmf", "rpm": "qemu-kvm"}),
}


@dataclass(frozen=True)
class Package:
    """A distribution that is installed from this checkout; `folder` has its sources."""

    name: str
    version: str
    summary: str
    folder: Path

    @property
    def text(self) -> str:
        """A few lines on what it is, from its README: the first paragraph of words."""
        return next(_paragraphs((self.folder / "README.md").read_text()), self.summary)

    def needs(self, family: str, kind: str) -> list[str]:
        """Packages of the system for a family, `deb` or `rpm`; the kind is `depends` or `recommends`."""
        listed = getattr(NEEDS.get(self.name, Needs({}, {})), kind).get(family, "")
        return [word for word in listed.split(", ") if word]


def packages() -> list[Package]:
    """All distributions, the core first."""
    plugins = sorted(path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml"))
    folders = {"rear-core": CHECKOUT, **{folder.name: folder for folder in plugins}}
    return [_package(name, folder) for name, folder in folders.items()]


def _package(name: str, folder: Path) -> Package:
    about = metadata.metadata(name)
    return Package(name, about["Version"], about["Summary"], folder)


def _paragraphs(markdown: str) -> Iterator[str]:
    """Paragraphs of plain words: no headings, code, lists or tables; links by their words."""
    for paragraph in markdown.split("\n\n"):
        lines = paragraph.strip()
        if lines and lines[0] not in "#|-!<>*[0123456789" and not paragraph.startswith(("    ", "```")):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(lines.split()))
            yield "\n".join(textwrap.wrap(words.replace("`", ""), 76))
