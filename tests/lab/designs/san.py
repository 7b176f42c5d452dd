# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without a disk of its own: it starts by its network card from one that is on a SAN."""

from __future__ import annotations

from .. import san
from ..machines import GRUB, Design, Drive
from .facts import COMMON, FILES, block_devices

ROOT = "4d0f6b1e-97c2-4a58-8e3b-d1a5c7f02e96"
NAME = f"InitiatorName={san.INITIATOR}\n"
SAN = Design(
    name="san",
    loader="GRUB, started by iPXE from the SAN",
    root="ext4 on an MBR, on multipath over iSCSI",
    network="by the initramfs",
    about="two portals; swap",
    drives=[Drive("lun", 4096, "iscsi")],
    on_san=True,
    packages=san.PACKAGES,
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: dos
label-id: 0x2b7c91e4
start=2048, size=7340032, type=83, bootable
type=82
END
udevadm settle
mkswap --uuid 0c5a9e37-64d1-4b8f-a2e0-7f93b1d6c845 --label swap /dev/vda2
put_root /dev/vda1 -U {ROOT}
""",
    files={
        "/etc/default/grub": GRUB.replace("console=ttyS0", "console=ttyS0 ip=dhcp"),
        "/etc/fstab": f"""\
UUID={ROOT}  /  ext4  errors=remount-ro  0  1
UUID=0c5a9e37-64d1-4b8f-a2e0-7f93b1d6c845  none  swap  sw,_netdev  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
    },
    initramfs={
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\nvirtio_net\nsd_mod\next4\n",
        "/etc/iscsi/initiatorname.iscsi": NAME,
        "/etc/iscsi/iscsi.initramfs": f'ISCSI_TARGET_NAME="{san.TARGET}"\nISCSI_TARGET_IP="{" ".join(san.PORTALS)}"\n',
        "/etc/multipath.conf": "defaults {\n    find_multipaths strict\n    user_friendly_names yes\n}\n",
        "/etc/multipath/bindings": f"mpatha {san.WWID}\n",
        "/etc/multipath/wwids": f"/{san.WWID}/\n",
    },
    settle="systemctl enable multipathd; grub-install /dev/vda; update-grub",
    facts=[
        *COMMON, FILES, "sfdisk --dump /dev/mapper/mpatha", block_devices("/dev/mapper/mpatha"),
        "iscsiadm --mode session | sed 's/.*] //' | sort", "cat /etc/iscsi/initiatorname.iscsi /etc/multipath/bindings",
    ],
    # The card is in another slot than beside the disk that rear came from.
    may_differ=["/etc/systemd/network/10-rear-*.link"],
)  # fmt: skip

ALL = (SAN,)
