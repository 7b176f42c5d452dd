# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of Relax-and-Recover's configuration that mean nothing here, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

_COMPUTED = "what a plugin needs it brings along; add what is missing to RESCUE_FILES or RESCUE_BINARIES"
_STORAGE = "storage follows from what is mounted; `rear savelayout` lists what is left out and why"
_FORMAT = "the format of the archive is chosen by the backup plugin"
_RETENTION = "how many backups are kept is a setting of the backup plugin"
_QUESTIONS = "a question waits; an unattended recovery ends at the first one, before any write"
_BUILD = "the work area is always removed; -d keeps it"
_SCRIPTS = "put an executable script into the directory of its phase, below the configuration directory"
_NETWORK = "the network is recorded from the running system and set up again by hardware address"
_BOOT_LOADER = "boot loaders are detected on this machine and installed again on every boot disk"
_INITRAMFS = "the initramfs is rebuilt only when the new hardware needs it, and checked afterwards"
_UDEV = "nothing happens when a stick is plugged in; call `rear` from a rule or timer of your own"
_MEDIA = "media are made by xorriso and mtools with fixed options"
_PXE = "it belongs to PXE media, made by rear-output-pxe"
_USB = "rear-output-usb makes USB media; `rear format` decides about partitions and file systems"
_RAWDISK = "raw disk images are not made; the ISO image can be written to a disk as it is"
_TAPE = "it belongs to tape media, made by rear-output-obdr"
_MAIL = "results are not mailed; the file's name is printed at the end of a run"
_OPAL = "the pre-boot image of self-encrypting disks is not made"
_SERIAL = "consoles are taken from the kernel command line, and a serial console is always offered"
_TRUST = "configuration is never executed; its files must belong to root, which is always checked"
_USERS = "users and groups come from the backup; the rescue system has root and system accounts only"
_LOADER = "libraries are found by the dynamic loader; add others with full path to RESCUE_FILES"
_LAYOUT_CHANGE = "growing and shrinking is part of the recovery's plan, shown before anything is done"


def _method(name: str) -> str:
    return f"it belongs to backups by {name}: `rear plugins list` tells whether there is a plugin for them"


_ADVICE = {
    "AUTOEXCLUDE_*": _STORAGE,
    "AUTOEXCLUDE_DISKS": "a disk of which nothing is saved is always left alone; DISK_MAPPING takes it all the same",
    "AUTOINCREASE_DISK_SIZE_THRESHOLD_PERCENTAGE": _LAYOUT_CHANGE,
    "AUTORESIZE_*": _LAYOUT_CHANGE,
    "AUTOSHRINK_DISK_SIZE_LIMIT_PERCENTAGE": _LAYOUT_CHANGE,
    "AVA_*": _method("AVA"),
    "BACKUP_DUPLICITY_*": _method("DUPLICITY"),
    "BACKUP_INTEGRITY_CHECK": "a backup is always checked before anything is written to a disk",
    "BACKUP_MOUNTCMD": "give BACKUP_URL instead; shares are mounted by their plugin",
    "BACKUP_PROG": _FORMAT,
    "BACKUP_PROG_*": _FORMAT,
    "BACKUP_RESTORE_MOVE_AWAY_*": "files are restored as they were saved",
    "BACKUP_RSYNC_*": _method("RSYNC"),
    "BACKUP_SELINUX_DISABLE": "security labels are saved and restored",
    "BACKUP_TYPE": "incremental backups are a matter of the backup plugin",
    "BACKUP_UMOUNTCMD": "shares are unmounted by their plugin",
    "BACULA_*": _method("BACULA"),
    "BAREOS_*": _method("BAREOS"),
    "BEXTRACT_*": _method("BACULA"),
    "BLOCKCLONE_*": _method("BLOCKCLONE"),
    "BOOTLOADER": _BOOT_LOADER,
    "BOOT_OVER_SAN": _STORAGE,
    "BORG_*": _method("BORG"),
    "BORGBACKUP_*": _method("BORG"),
    "CDROM_SIZE": "an ISO image may have any size",
    "CHECK_CONFIG_FILES": "`rear checklayout` compares what was recorded of this machine",
    "CHECK_CONFIG_FILES_*": "`rear checklayout` compares what was recorded of this machine",
    "CLONE_*": _USERS,
    "COPY_AS_IS_*": _COMPUTED,
    "COPY_KERNEL_PARAMETERS": "write what the rescue system's kernel needs into KERNEL_CMDLINE",
    "DIRECTORY_ENTRIES_TO_RECOVER": "directories come from the backup, and mount points are always made",
    "DISABLE_DEPRECATION_ERRORS": "nothing is deprecated yet",
    "DISKS_TO_BE_WIPED": "disks are chosen by their identity in the plan of the recovery",
    "DP_*": _method("DP"),
    "DRLM_*": "managing many machines from a server is not part of this program",
    "DUPLICITY_*": _method("DUPLICITY"),
    "DUPLY_PROFILE": _method("DUPLICITY"),
    "EFI_STUB": _BOOT_LOADER,
    "EFI_STUB_*": _BOOT_LOADER,
    "EFIBOOTMGR_*": _BOOT_LOADER,
    "ELILO_BIN": _BOOT_LOADER,
    "EXCLUDE_IP_ADDRESSES": _NETWORK,
    "EXCLUDE_MD5SUM_VERIFICATION": "the media is checked as a whole, by the checksum written beside it",
    "EXCLUDE_NETWORK_INTERFACES": _NETWORK,
    "EXCLUDE_RUNTIME_LOGFILE": "LOGFILE names the log, and no log is ever part of the rescue system",
    "EXTERNAL_*": _SCRIPTS,
    "FDRUPSTREAM_*": _method("FDRUPSTREAM"),
    "FILES_TO_PATCH_PATTERNS": "identifiers are kept; every reference to them is checked after a recovery",
    "FIRMWARE_FILES": "firmware is what the kernel modules name; list other files in RESCUE_FILES",
    "FORMAT_DASDS": "DASD disks are not recreated",
    "FULLBACKUPDAY": _RETENTION,
    "FULLBACKUP_OUTDATED_DAYS": _RETENTION,
    "GALAXY*": _method("GALAXY"),
    "GRUB2_*": _BOOT_LOADER,
    "GRUB_RESCUE": "the rescue system is not added to this machine's own boot menu; boot its media",
    "GRUB_RESCUE_USER": "the rescue system is not added to this machine's own boot menu; boot its media",
    "HOSTNAME": "the machine keeps its name; only references to $HOSTNAME see this value",
    "ISO_FILE_SIZE_LIMIT": "an ISO image may hold files of any size",
    "ISO_ISOLINUX_BIN": _MEDIA,
    "ISO_MAX_SIZE": "an ISO image is never split",
    "ISO_MKISOFS_*": _MEDIA,
    "ISO_RECOVER_MODE": "the boot menu offers an automatic recovery (kernel parameter rear.auto=recover)",
    "KEEP_BUILD_DIR": _BUILD,
    "KERNEL_FILE": "the rescue system takes the running kernel; -r VERSION takes another",
    "KERNEL_VERSION": "the rescue system takes the running kernel; -r VERSION takes another",
    "KEYMAP": "keyboard layouts are not configured here",
    "KEYMAPS_*": "keyboard layouts are not configured here",
    "LANG_RECOVER": "the rescue system uses C.UTF-8",
    "LD_LIBRARY_PATH_FOR_BACKUP_TOOL": _LOADER,
    "LIBS": _LOADER,
    "LOCKLESS_WORKFLOWS": "commands that only look need no lock",
    "LUKS_CRYPTSETUP_OPTIONS": "containers are made again with the parameters they were recorded with",
    "MANUAL_INCLUDE": _STORAGE,
    "MESSAGE_PREFIX": "lines on the terminal have a fixed form",
    "MIGRATION_MODE": "a different disk is recognised by its identity; exact matches are never asked about",
    "MKFS_XFS_OPTIONS": "file systems are made again with the parameters they were recorded with",
    "NBKDC_*": _method("NBKDC"),
    "NBU_*": _method("NBU"),
    "NETFS_KEEP_OLD_BACKUP_COPY": _RETENTION,
    "NETFS_OPTIONS": "it is BACKUP_OPTIONS now",
    "NETFS_PREFIX": "the place of a backup below BACKUP_URL is chosen by the backup plugin",
    "NETFS_URL": "it is BACKUP_URL now",
    "NETFS_*": "network shares are described by BACKUP_URL and BACKUP_OPTIONS",
    "NETWORKING_PREPARATION_COMMANDS": _SCRIPTS,
    "NFS4SERVER_*": _method("NFS4SERVER"),
    "NON_FATAL_BINARIES_WITH_MISSING_LIBRARY": "a library is missing only if the dynamic loader says so",
    "NSR*": _method("NSR"),
    "NSR_CLIENT_MODE": "the client itself must be allowed to recover; restores that a server starts are not waited for",
    "NSR_DEFAULT_POOL_NAME": "it is NSR_POOL_NAME, which is used whenever it is set",
    "OBDR_*": _TAPE,
    "OPAL_*": _OPAL,
    "OS_VENDOR": "OS_FAMILY chooses the family of operating systems",
    "OS_VERSION": "the version is read from /etc/os-release",
    "OUTPUT_EFISTUB_*": _BOOT_LOADER,
    "OUTPUT_LFTP_*": "give user and place in OUTPUT_URL",
    "OUTPUT_MOUNTCMD": "give OUTPUT_URL instead",
    "OUTPUT_PREFIX_PXE": _PXE,
    "OUTPUT_UMOUNTCMD": "give OUTPUT_URL instead",
    "PING": "servers are asked for the service itself",
    "POST_BACKUP_SCRIPT": _SCRIPTS,
    "POST_RECOVERY_*": _SCRIPTS,
    "PPDM_*": _method("PPDM"),
    "PRE_BACKUP_SCRIPT": _SCRIPTS,
    "PRE_RECOVERY_*": _SCRIPTS,
    "PROGRESS_*": "progress is shown by itself where a terminal can show it",
    "PROGS_*": _COMPUTED,
    "PXE_*": _PXE,
    "PYTHON_*": "the rescue system always carries Python",
    "RAMDISK_SUFFIX": _MEDIA,
    "RAWDISK_*": _RAWDISK,
    "RBME_*": _method("RBME"),
    "REAR_CAPATH": "add the certificates to RESCUE_FILES",
    "REAR_INITRD_*": "the initramfs is compressed by zstd where this machine's kernel can read it",
    "REAL_*": "the architecture is what the kernel says",
    "REAR_MAX_RETRIES": "commands have time limits and are not repeated",
    "REAR_SLEEP_DELAY": "commands have time limits and are not repeated",
    "REBOOT_COMMANDS": _SCRIPTS,
    "REBOOT_COMMANDS_LABEL": _SCRIPTS,
    "REBUILD_INITRAMFS": _INITRAMFS,
    "RECOVERY_COMMANDS": _SCRIPTS,
    "RECOVERY_COMMANDS_LABEL": _SCRIPTS,
    "RECOVERY_UPDATE_URL": "the rescue system is not changed by what it downloads; make it anew",
    "RECREATE_USERS_GROUPS": _USERS,
    "REQUESTRESTORE_*": _method("REQUESTRESTORE"),
    "REQUIRED_PROGS_*": _COMPUTED,
    "RESTORE_ESP_FROM_RESCUE_SYSTEM": "the EFI system partition is restored from the backup",
    "RESULT_FILES": "results are the media and its checksum",
    "RESULT_*": _MAIL,
    "ROOT_HOME_DIR": "root's home in the rescue system is /root",
    "RSYNC_*": _method("RSYNC"),
    "SECRET_VARIABLES": "secret settings are known and masked",
    "SECURE_BOOT_BOOTLOADER": _BOOT_LOADER,
    "SERIAL_CONSOLE_*": _SERIAL,
    "SIMPLIFY_*": "bonds, bridges and teams are set up as they were",
    "SIMULTANEOUS_RUNNABLE_WORKFLOWS": "one run at a time changes this machine; others may look",
    "SSH_FILES": "the rescue system takes root's authorized_keys and makes host keys of its own",
    "SSH_UNPROTECTED_PRIVATE_KEYS": "private keys are never put on the media",
    "TAPE_BLOCKSIZE": _TAPE,
    "TIMESYNC": "the rescue system uses the clock of the machine",
    "TIMESYNC_SOURCE": "the rescue system uses the clock of the machine",
    "TRUSTED_*": _TRUST,
    "TSM_*": _method("TSM"),
    "TSM_RESULT_FILE_PATH": "archived media keep the path that OUTPUT gives them",
    "TSM_RM_ISOFILE": "finished media stay where OUTPUT puts them",
    "UDEV_*": _UDEV,
    "UEFI_BOOTLOADER": _BOOT_LOADER,
    "USB_*": _USB,
    "USER_INPUT_*": _QUESTIONS,
    "USE_CFG2HTML": "run it beside; its report is not made here",
    "USE_RAMDISK": "the rescue system always runs in memory",
    "USE_RESOLV_CONF": "the resolver is recorded from the running system",
    "USE_SERIAL_CONSOLE": _SERIAL,
    "USE_DHCLIENT": _NETWORK,
    "USE_STATIC_NETWORKING": _NETWORK,
    "USING_UEFI_BOOTLOADER": _BOOT_LOADER,
    "VEEAM_*": _method("VEEAM"),
    "WAIT_SECS": _QUESTIONS,
    "WARN_MISSING_VOL_ID": "volumes are identified by lsblk",
    "WORKFLOWS": "plugins declare commands of their own",
    "YUM_*": _method("YUM"),
    "ZYPPER_*": _method("ZYPPER"),
}


# What kept something from being written must not be passed over.
_PROTECTS = {
    "EXCLUDE_DEVICE_MAPPING": "write EXCLUDE_DEVICES=( /dev/sdb ) for disks that a recovery must not touch",
    "EXCLUDE_RECREATE": "write EXCLUDE_COMPONENTS for what is neither saved nor recreated, EXCLUDE_DEVICES for disks",
    "EXCLUDE_RESTORE": "write EXCLUDE_COMPONENTS for what is neither saved nor recreated, BACKUP_PROG_EXCLUDE for"
    " files",
    "WRITE_PROTECTED_*": "write EXCLUDE_DEVICES=( /dev/sdb ) for disks that a recovery must not touch; one that carries"
    " rescue media or the backup is always locked",
}


def advice(name: str) -> str:
    """What to do instead of assigning this name; "" when it is not one of the original's."""
    return _found(_ADVICE, name)


def protection(name: str) -> str:
    """What to write instead of a name that kept something from being overwritten; "" for all others."""
    return _found(_PROTECTS, name)


def _found(known: Mapping[str, str], name: str) -> str:
    if name in known:
        return known[name]
    patterns = [key for key in known if key.endswith("*") and name.startswith(key[:-1])]
    return known[max(patterns, key=len)] if patterns else ""
