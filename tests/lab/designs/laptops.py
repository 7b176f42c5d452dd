# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines whose disks are opened by a passphrase at the boot loader, and by a TPM."""

from __future__ import annotations

from ..debian import FORKY
from ..machines import GRUB, Design, Drive
from .facts import (
    COMMON,
    FILES,
    IDENTIFIERS,
    block_devices,
)
from .ways import PATIENCE

# GRUB asks for the passphrase of a volume with /boot in it, and then the initramfs does. A second volume is opened by a
# TPM, which is another one after the recovery.
VAULT = "1c7d5e90-83b2-4f6a-a04d-92e6f1b8c375"
LAPTOP = Design(
    name="laptop",
    loader="GRUB, which asks for the passphrase",
    root="ext4 on LUKS1, with /boot",
    about="LUKS2 with data, opened by a TPM",
    drives=[Drive("system", 4608)],
    passphrase="correct horse battery",
    asked_by_grub=True,
    tpm=True,
    packages=["libtss2-esys-3.0.2-0", "libtss2-mu0", "libtss2-rc0", "libtss2-tcti-device0"],
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: dos
label-id: 0x5d1e7a04
start=2048, size=8388608, type=83, bootable
type=83
END
udevadm settle
encrypt() {{
    printf '%s' 'correct horse battery' | cryptsetup luksFormat -q --pbkdf-force-iterations 1000 --key-file - "$@"
    printf '%s' 'correct horse battery' | cryptsetup open --key-file - "${{@: -1}}" $name
}}
name=crypt encrypt --type luks1 --uuid e2f40b87-61d9-4c3a-b5a7-30d8c9f61e24 /dev/vda1
name=vault encrypt --type luks2 --pbkdf pbkdf2 --uuid {VAULT} /dev/vda2
mkfs.ext4 -q -L vault -U 7b90d3c1-4e5f-4a28-96d7-c1f0e8a2b653 /dev/mapper/vault
cryptsetup close vault
put_root /dev/mapper/crypt -U 90a6b3d5-1f72-4e8c-8d49-5c2e7f0a1b68
""",
    files={
        "/etc/default/grub": f"{GRUB}GRUB_ENABLE_CRYPTODISK=y\n",
        "/etc/fstab": """\
UUID=90a6b3d5-1f72-4e8c-8d49-5c2e7f0a1b68  /  ext4  errors=remount-ro  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
    },
    initramfs={
        "/etc/crypttab": "crypt UUID=e2f40b87-61d9-4c3a-b5a7-30d8c9f61e24 none luks,discard,initramfs\n",
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ndm_crypt\nxts\naes_generic\nsha256_generic\n",
    },
    settle="grub-install /dev/vda; update-grub",
    prepare=f"""
PASSWORD='correct horse battery' systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7 /dev/disk/by-uuid/{VAULT}
echo 'vault UUID={VAULT} none luks,tpm2-device=auto,headless' >>/etc/crypttab
echo 'LABEL=vault /srv/vault ext4 defaults 0 2' >>/etc/fstab
mkdir /srv/vault
systemctl daemon-reload
systemctl start systemd-cryptsetup@vault srv-vault.mount
echo kept >/srv/vault/kept
""",
    facts=[
        *COMMON, FILES, "sfdisk --dump /dev/vda", block_devices("/dev/vda"),
        "cryptsetup luksDump /dev/vda1 | grep -E '^(Version|UUID|Cipher|Hash|Payload)|Iterations'",
        f"cryptsetup luksDump /dev/disk/by-uuid/{VAULT} | grep -E '^(Version|UUID)|cipher|PBKDF|systemd-tpm2|pcrs:'",
        f"cryptsetup open --test-passphrase --token-only /dev/disk/by-uuid/{VAULT} && echo opened",
        "grep -c cryptomount /boot/grub/grub.cfg", "cat /srv/vault/kept",
    ],
)  # fmt: skip

# The TPM opens the root file system, if firmware, its keys and the loaders are those that it was enrolled with: rear
# enrolls the other TPM of the new machine in the rescue system, which shim and GRUB of the machine have started.
CRYPT = "5f8e2a91-c07d-4b36-9e42-7a1d0c85f3b6"
TPM = Design(
    name="tpm",
    loader="shim, GRUB",
    root="ext4 on LUKS2, opened by a TPM (PCR 7)",
    about="dracut",
    drives=[Drive("system", 4608)],
    firmware="secureboot",
    release=FORKY,
    dracut=True,
    passphrase="correct horse battery",
    tpm=True,
    opened_by_tpm=True,
    packages=["systemd-cryptsetup", "tpm2-tools", "libtss2-tcti-device0t64"],
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: gpt
size=128MiB, type=uefi
size=384MiB, type=linux
type=linux
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -n ESP /dev/vda1
mkfs.ext4 -q -L boot /dev/vda2
printf '%s' 'correct horse battery' | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf argon2id \
    --pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 1 --uuid {CRYPT} --key-file - /dev/vda3
printf '%s' 'correct horse battery' | cryptsetup open --key-file - /dev/vda3 crypt
put_root /dev/mapper/crypt -U 3d0b6f84-92e1-4c57-a8d3-e51f7c9042ab
put_boot /dev/vda2
mkdir -p /mnt/boot/efi
mount /dev/vda1 /mnt/boot/efi
""",
    files={
        **PATIENCE,
        "/etc/default/grub": GRUB.replace(
            'LINUX="', f'LINUX="rd.luks.name={CRYPT}=crypt rd.luks.options=tpm2-device=auto '
        ),
        "/etc/crypttab": f"crypt UUID={CRYPT} none luks,discard,tpm2-device=auto,x-initrd.attach\n",
        "/etc/fstab": """\
UUID=3d0b6f84-92e1-4c57-a8d3-e51f7c9042ab  /  ext4  errors=remount-ro  0  1
LABEL=boot  /boot  ext4  defaults  0  2
LABEL=ESP  /boot/efi  vfat  umask=0077  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
    },
    initramfs={
        "/etc/dracut.conf.d/machine.conf": """\
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
do_strip="no"
add_dracutmodules+=" crypt systemd-cryptsetup tpm2-tss "
add_drivers+=" virtio_blk virtio_pci nvme ext4 dm_crypt xts "
omit_dracutmodules+=" bcache btrfs dmraid i18n lvm mdraid multipath nvdimm overlay-root qemu terminfo "
"""
    },
    settle="""
grub-install --target=x86_64-efi --efi-directory=/boot/efi --uefi-secure-boot --force-extra-removable
update-grub
""",
    prepare="PASSWORD='correct horse battery' systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7"
    f" /dev/disk/by-uuid/{CRYPT}",
    facts=[
        *COMMON, FILES, block_devices("$(blkid --label ESP | sed 's/p\\?1$//')", IDENTIFIERS), "mokutil --sb-state",
        # What follows the words of systemd's plugin comes on the standard error.
        f"cryptsetup luksDump /dev/disk/by-uuid/{CRYPT} 2>&1 |"
        " grep -E '^(Version|UUID)|cipher|PBKDF|systemd-tpm2|pcrs:'",
        f"cryptsetup open --test-passphrase --token-only /dev/disk/by-uuid/{CRYPT} && echo opened",
        "cat /proc/cmdline",
    ],
    new_drives=[Drive("larger", 8192, "nvme")],
)  # fmt: skip

ALL = (LAPTOP, TPM)
