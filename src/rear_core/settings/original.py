# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of Relax-and-Recover's configuration that mean nothing here, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

_COMPUTED = "each plugin adds what it needs; add what is missing to RESCUE_FILES or RESCUE_BINARIES"
_STORAGE = "rear describes the storage below what is mounted; `rear savelayout` lists what it leaves out and why"
_FORMAT = "the backup plugin chooses the archive format"
_RETENTION = "the backup plugin has a setting for the number of backups to keep"
_QUESTIONS = "a question waits for an answer; an unattended recovery stops at the first one, before any write"
_BUILD = "rear always removes the work area; -d keeps it"
_SCRIPTS = "put an executable script into the directory of its phase, below the configuration directory"
_NETWORK = "rear records the running network and sets it up again by hardware address"
_BOOT_LOADER = "rear detects the boot loaders of this machine and reinstalls them on every boot disk"
_INITRAMFS = "rear rebuilds the initramfs only if the new hardware needs it, and then checks it"
_UDEV = "plugging in a stick starts nothing; call `rear` from your own udev rule or timer"
_MEDIA = "xorriso and mtools create media with fixed options"
_PXE = "it belongs to PXE media, created by rear-output-pxe"
_USB = "rear-output-usb creates USB media; `rear format` sets up partitions and file systems"
_RAWDISK = "rear-output-rawdisk creates disk images with GRUB, uncompressed, for BIOS and UEFI, with fixed labels"
_TAPE = "it belongs to tape media, created by rear-output-obdr"
_MAIL = "rear sends no mail; it prints the names of its results at the end of a run"
_OPAL = "rear creates no pre-boot image for self-encrypting disks"
_SERIAL = "rear takes consoles from the kernel command line, and always offers a serial console"
_TRUST = "configuration is never executed; rear always checks that its files belong to root"
_USERS = "users and groups come from the backup; the rescue system has root and system accounts only"
_LOADER = "the dynamic loader finds libraries; add others to RESCUE_FILES by full path"
_BORG = "write ssh://user@host:port/path into BORG_REPOSITORY"
_LAYOUT_CHANGE = "the recovery's plan grows and shrinks storage, and is shown before anything is done"


def _method(name: str) -> str:
    return f"it belongs to backups with {name}: `rear plugins list` shows whether there is a plugin for it"


_ADVICE = {
    "AUTOEXCLUDE_*": _STORAGE,
    "AUTOEXCLUDE_DISKS": "rear always leaves a disk alone if nothing of it is saved; DISK_MAPPING overrides that",
    "AUTOINCREASE_DISK_SIZE_THRESHOLD_PERCENTAGE": _LAYOUT_CHANGE,
    "AUTORESIZE_*": _LAYOUT_CHANGE,
    "AUTOSHRINK_DISK_SIZE_LIMIT_PERCENTAGE": _LAYOUT_CHANGE,
    "ARCH": "the kernel reports the architecture",
    "AVA_*": _method("AVA"),
    "BACKUP_DUPLICITY_*": _method("DUPLICITY"),
    "BACKUP_INTEGRITY_CHECK": "rear always checks a backup before it writes to a disk",
    "BACKUP_ONLY_EXCLUDE": "all mounted file systems of the description are saved, but for BACKUP_PROG_EXCLUDE",
    "BACKUP_ONLY_INCLUDE": "all mounted file systems of the description are saved; EXCLUDE_MOUNTPOINTS leaves one out",
    "BACKUP_MOUNTCMD": "set BACKUP_URL instead; the backup plugin mounts shares",
    "BACKUP_PROG": _FORMAT,
    "BACKUP_PROG_*": _FORMAT,
    "BACKUP_RESTORE_MOVE_AWAY_*": "rear restores files as they were saved",
    "BACKUP_RSYNC_*": _method("RSYNC"),
    "BACKUP_RSYNC_OPTIONS": "rear chooses the options by which rsync saves; add others with RSYNC_OPTIONS",
    "BACKUP_SELINUX_DISABLE": "rear saves and restores security labels",
    "BACKUP_TYPE": "archives of rear are complete; BACKUP=RESTIC, BORG or RSYNC save only what is new",
    "BACKUP_UMOUNTCMD": "the backup plugin unmounts shares",
    "BACULA_*": _method("BACULA"),
    "BAREOS_*": _method("BAREOS"),
    "BEXTRACT_*": _method("BACULA"),
    "BLOCKCLONE_*": _method("BLOCKCLONE"),
    "BOOTLOADER": _BOOT_LOADER,
    "BOOT_OVER_SAN": _STORAGE,
    "BORG_*": _method("BORG"),
    "BORGBACKUP_*": "the settings of BACKUP=BORG begin with BORG_",
    "BORGBACKUP_COMPRESSION": "it is BORG_COMPRESSION now",
    "BORGBACKUP_HOST": _BORG,
    "BORGBACKUP_PASSPHRASE": "write it into a file for root, and name that file in BORG_PASSPHRASE_FILE",
    "BORGBACKUP_PORT": _BORG,
    "BORGBACKUP_PRUNE_*": "it is BORG_KEEP now, as BORG_KEEP=( daily 7 weekly 4 )",
    "BORGBACKUP_REPO": _BORG,
    "BORGBACKUP_USERNAME": _BORG,
    "CDROM_SIZE": "an ISO image may have any size",
    "CHECK_CONFIG_FILES_*": "CHECK_CONFIG_FILES lists the files that `rear checklayout` looks at",
    "CLONE_*": _USERS,
    "COPY_AS_IS_*": _COMPUTED,
    "COPY_KERNEL_PARAMETERS": "write what the rescue system's kernel needs into KERNEL_CMDLINE",
    "DIRECTORY_ENTRIES_TO_RECOVER": "directories come from the backup, and rear always creates mount points",
    "DISABLE_DEPRECATION_ERRORS": "nothing is deprecated yet",
    "DISKS_TO_BE_WIPED": "the recovery's plan chooses disks by their identity",
    "DP_*": _method("DP"),
    "DRLM_*": "rear does not manage many machines from a server",
    "DUPLICITY_*": _method("DUPLICITY"),
    "DUPLY_PROFILE": _method("DUPLICITY"),
    "EFI_STUB": _BOOT_LOADER,
    "EFI_STUB_*": _BOOT_LOADER,
    "EFIBOOTMGR_*": _BOOT_LOADER,
    "ELILO_BIN": _BOOT_LOADER,
    "EXCLUDE_IP_ADDRESSES": _NETWORK,
    "EXCLUDE_MD5SUM_VERIFICATION": "the checksum beside the media covers all of it",
    "EXCLUDE_NETWORK_INTERFACES": _NETWORK,
    "EXCLUDE_RUNTIME_LOGFILE": "LOGFILE names the log, and no log is ever part of the rescue system",
    "EXTERNAL_*": _method("EXTERNAL"),
    "EXTERNAL_IGNORE_ERRORS": "list these statuses in EXTERNAL_WARN_STATUS; a recovery with one ends with status 1",
    "FDRUPSTREAM_*": _method("FDRUPSTREAM"),
    "FILES_TO_PATCH_PATTERNS": "rear keeps identifiers, and checks every reference to them after a recovery",
    "FIRMWARE_FILES": "rear takes the firmware that the kernel modules name; list other files in RESCUE_FILES",
    "FORMAT_DASDS": "rear does not recreate DASD disks",
    "FULLBACKUPDAY": _RETENTION,
    "FULLBACKUP_OUTDATED_DAYS": _RETENTION,
    "GALAXY*": _method("GALAXY"),
    "GRUB2_*": _BOOT_LOADER,
    "HOSTNAME": "the machine keeps its name; only references to $HOSTNAME see this value",
    "ISO_DEFAULT": 'the menu waits; KERNEL_CMDLINE+=" rear.auto=recover" recovers unattended',
    "ISO_FILE_SIZE_LIMIT": "an ISO image may hold files of any size",
    "ISO_FILES": "rear puts nothing but the rescue system onto its media; RESCUE_FILES goes into that",
    "ISO_ISOLINUX_BIN": _MEDIA,
    "ISO_MAX_SIZE": "it splits the backup of BACKUP=CDROM",
    "ISO_MKISOFS_*": _MEDIA,
    "ISO_RECOVER_MODE": "the boot menu offers an automatic recovery (kernel parameter rear.auto=recover)",
    "ISO_SYSLINUX_TIMEOUT": "the boot menu starts its first entry after some seconds",
    "KEEP_BUILD_DIR": _BUILD,
    "KERNEL_FILE": "the rescue system uses the running kernel; -r VERSION selects another",
    "KERNEL_VERSION": "the rescue system uses the running kernel; -r VERSION selects another",
    "KEYMAP": "the rescue system has the keyboard layout of the machine's consoles",
    "KEYMAPS_*": "the rescue system has the keyboard layout of the machine's consoles",
    "LANG_RECOVER": "the rescue system uses C.UTF-8",
    "LD_LIBRARY_PATH_FOR_BACKUP_TOOL": _LOADER,
    "LIBS": _LOADER,
    "LOCKLESS_WORKFLOWS": "commands that only read need no lock",
    "LUKS_CRYPTSETUP_OPTIONS": "rear recreates containers with their recorded parameters",
    "MACHINE": "the kernel reports the architecture",
    "MANUAL_INCLUDE": _STORAGE,
    "MESSAGE_PREFIX": "lines on the terminal have a fixed form",
    "MIGRATION_MODE": "rear recognizes a different disk by its identity, and never asks about exact matches",
    "MKFS_XFS_OPTIONS": "rear recreates file systems with their recorded parameters",
    "NBKDC_*": _method("NBKDC"),
    "NBU_*": _method("NBU"),
    "NETFS_KEEP_OLD_BACKUP_COPY": _RETENTION,
    "NETFS_OPTIONS": "it is BACKUP_OPTIONS now",
    "NETFS_PREFIX": "the backup plugin chooses the place of a backup below BACKUP_URL",
    "NETFS_URL": "it is BACKUP_URL now",
    "NETFS_*": "BACKUP_URL and BACKUP_OPTIONS describe network shares",
    "NETWORKING_PREPARATION_COMMANDS": _SCRIPTS,
    "NFS4SERVER_*": _method("NFS4SERVER"),
    "NON_FATAL_BINARIES_WITH_MISSING_LIBRARY": "a library is missing only if the dynamic loader says so",
    "NSR*": _method("NSR"),
    "NSR_CLIENT_MODE": "the client itself must be allowed to recover; rear does not wait for restores that a server"
    " starts",
    "NSR_DEFAULT_POOL_NAME": "it is NSR_POOL_NAME, which is used whenever it is set",
    "OBDR_*": _TAPE,
    "OPAL_*": _OPAL,
    "OS": "the kernel reports its name",
    "OS_VENDOR": "OS_FAMILY chooses the family of operating systems",
    "OS_VERSION": "the version is read from /etc/os-release",
    "OUTPUT_EFISTUB_*": _BOOT_LOADER,
    "OUTPUT_LFTP_*": "give user and place in OUTPUT_URL",
    "OUTPUT_MOUNTCMD": "give OUTPUT_URL instead",
    "OUTPUT_PREFIX_PXE": "PXE_PREFIX names the folder of this machine below rear/",
    "OUTPUT_UMOUNTCMD": "give OUTPUT_URL instead",
    "OUTPUT_URL_FILES_PATTERNS": "media and their checksums are all that goes to OUTPUT_URL",
    "PING": "rear asks servers for the service itself",
    "POST_BACKUP_SCRIPT": _SCRIPTS,
    "POST_RECOVERY_*": _SCRIPTS,
    "PPDM_*": _method("PPDM"),
    "PRE_BACKUP_SCRIPT": _SCRIPTS,
    "PRE_RECOVERY_*": _SCRIPTS,
    "PROGRESS_*": "a terminal always shows the progress",
    "PROGS_*": _COMPUTED,
    "PXE_*": _PXE,
    "PXE_TFTP_URL": "it is OUTPUT_URL now, with OUTPUT=PXE",
    "PYTHON_*": "the rescue system always carries Python",
    "RAWDISK_*": _RAWDISK,
    "RAWDISK_INSTALL_GPT_PARTITION_NAME": "rear writes no image to a disk; dd does that",
    "RBME_*": _method("RBME"),
    "REAR_CAPATH": "add the certificates to RESCUE_FILES",
    "REAR_INITRD_*": "rear compresses the initramfs with zstd if this machine's kernel can read it",
    "REAL_*": "the kernel reports the architecture",
    "REAR_MAX_RETRIES": "commands have time limits and are not retried",
    "REAR_SLEEP_DELAY": "commands have time limits and are not retried",
    "REBOOT_COMMANDS": _SCRIPTS,
    "REBOOT_COMMANDS_LABEL": _SCRIPTS,
    "REBUILD_INITRAMFS": _INITRAMFS,
    "RECOVERY_COMMANDS": _SCRIPTS,
    "RECOVERY_COMMANDS_LABEL": _SCRIPTS,
    "RECOVERY_UPDATE_URL": "the rescue system downloads no changes; create it again",
    "RECREATE_USERS_GROUPS": _USERS,
    "REQUESTRESTORE_*": _method("REQUESTRESTORE"),
    "REQUESTRESTORE_ABORT_TEXT": "only REQUESTRESTORE_TEXT is shown; rear says itself what is missing",
    "REQUESTRESTORE_FINISHED_TEXT": "only REQUESTRESTORE_TEXT is shown; rear looks at the files itself",
    "REQUIRED_PROGS_*": _COMPUTED,
    "RESTORE_ESP_FROM_RESCUE_SYSTEM": "the EFI system partition is restored from the backup",
    "RESULT_FILES": "results are the media and its checksum",
    "RESULT_*": _MAIL,
    "ROOT_HOME_DIR": "root's home in the rescue system is /root",
    "RSYNC_*": _method("RSYNC"),
    "RSYNC_PREFIX": "it is BACKUP_PREFIX now",
    "SECRET_VARIABLES": "rear knows the secret settings and masks them",
    "SECURE_BOOT_BOOTLOADER": _BOOT_LOADER,
    "SERIAL_CONSOLE_*": _SERIAL,
    "SIMPLIFY_*": "rear sets up bonds, bridges and teams as they were",
    "SIMULTANEOUS_RUNNABLE_WORKFLOWS": "one run at a time changes this machine; others may look",
    "SSH_FILES": "the rescue system takes root's authorized_keys and makes host keys of its own",
    "SSH_UNPROTECTED_PRIVATE_KEYS": "rear never puts private keys on the media",
    "TAPE_BLOCKSIZE": _TAPE,
    "TIMESYNC": "the rescue system uses the clock of the machine",
    "TIMESYNC_SOURCE": "the rescue system uses the clock of the machine",
    "TRUSTED_*": _TRUST,
    "TSM_*": _method("TSM"),
    "TSM_RESULT_FILE_PATH": "archived media keep the path that OUTPUT gives them",
    "TSM_RM_ISOFILE": "finished media stay where OUTPUT puts them",
    "TTY_ROOT_PASSWORD": "whoever is at the console of the rescue system is root; SSH_ROOT_PASSWORD is for ssh",
    "UDEV_*": _UDEV,
    "UEFI_BOOTLOADER": _BOOT_LOADER,
    "USB_*": _USB,
    "USER_INPUT_*": _QUESTIONS,
    "USE_CFG2HTML": "run it separately; rear does not create its report",
    "USE_RAMDISK": "the rescue system always runs in memory",
    "USE_RESOLV_CONF": "rear records the resolver of the running system",
    "USE_SERIAL_CONSOLE": _SERIAL,
    "USE_DHCLIENT": _NETWORK,
    "USE_STATIC_NETWORKING": _NETWORK,
    "USING_UEFI_BOOTLOADER": _BOOT_LOADER,
    "VEEAM_*": _method("VEEAM"),
    "WAIT_SECS": _QUESTIONS,
    "WARN_MISSING_VOL_ID": "lsblk identifies volumes",
    "WORKFLOWS": "plugins declare commands of their own",
    "YUM_*": _method("YUM"),
    "ZYPPER_*": _method("ZYPPER"),
}


# What becomes of a name: another way leads there, nobody needs it here, or there is no such thing.
OTHERWISE, NEEDLESS, MISSING = "otherwise", "needless", "missing"
_USE = {
    **dict.fromkeys(
        (
            "AVA_*", "BACKUP_DUPLICITY_*", "BACKUP_ONLY_*", "BACKUP_RESTORE_MOVE_AWAY_*", "BEXTRACT_*", "BLOCKCLONE_*",
            "BOOT_OVER_SAN", "DP_*", "DRLM_*", "DUPLICITY_*", "DUPLY_PROFILE", "EXCLUDE_MD5SUM_VERIFICATION",
            "FDRUPSTREAM_*", "FORMAT_DASDS", "GALAXY*", "ISO_FILES",
            "LANG_RECOVER", "NBKDC_*", "NBU_*", "NFS4SERVER_*", "OPAL_*",
            "OUTPUT_PREFIX_PXE", "OUTPUT_URL_FILES_PATTERNS", "PPDM_*", "RAWDISK_INSTALL_GPT_PARTITION_NAME", "RBME_*",
            "RECOVERY_UPDATE_URL",
            "RESULT_*", "TTY_ROOT_PASSWORD", "UDEV_*", "USE_CFG2HTML", "VEEAM_*", "YUM_*", "ZYPPER_*",
        ),
        MISSING,
    ),
    **dict.fromkeys(
        (
            "AUTOEXCLUDE_*", "AUTOEXCLUDE_DISKS", "AUTOINCREASE_DISK_SIZE_THRESHOLD_PERCENTAGE", "AUTORESIZE_*",
            "AUTOSHRINK_DISK_SIZE_LIMIT_PERCENTAGE", "BACKUP_INTEGRITY_CHECK", "BACKUP_MOUNTCMD", "BACKUP_PROG",
            "BACKUP_PROG_*", "BACKUP_SELINUX_DISABLE", "BACKUP_UMOUNTCMD", "BOOTLOADER", "CDROM_SIZE", "CLONE_*",
            "COPY_AS_IS_*", "COPY_KERNEL_PARAMETERS", "DIRECTORY_ENTRIES_TO_RECOVER", "DISABLE_DEPRECATION_ERRORS",
            "DISKS_TO_BE_WIPED", "EFI_STUB", "EFI_STUB_*", "EFIBOOTMGR_*", "ELILO_BIN", "EXCLUDE_IP_ADDRESSES",
            "EXCLUDE_NETWORK_INTERFACES", "EXCLUDE_RUNTIME_LOGFILE", "FILES_TO_PATCH_PATTERNS", "FIRMWARE_FILES",
            "GRUB2_*", "ISO_FILE_SIZE_LIMIT", "ISO_ISOLINUX_BIN", "ISO_MKISOFS_*", "ISO_SYSLINUX_TIMEOUT",
            "KEEP_BUILD_DIR", "KERNEL_*", "KEYMAP", "KEYMAPS_*",
            "LD_LIBRARY_PATH_FOR_BACKUP_TOOL", "LIBS",
            "LOCKLESS_WORKFLOWS", "LUKS_CRYPTSETUP_OPTIONS", "MANUAL_INCLUDE", "MESSAGE_PREFIX", "MIGRATION_MODE",
            "MKFS_XFS_OPTIONS", "NON_FATAL_BINARIES_WITH_MISSING_LIBRARY", "OS", "ARCH", "MACHINE", "OS_VERSION",
            "OUTPUT_EFISTUB_*", "PING", "PROGRESS_*", "PROGS_*", "PYTHON_*", "RAWDISK_*", "REAL_*",
            "REAR_INITRD_*", "REAR_MAX_RETRIES", "REAR_SLEEP_DELAY", "REBUILD_INITRAMFS", "RECREATE_USERS_GROUPS",
            "REQUIRED_PROGS_*", "RESTORE_ESP_FROM_RESCUE_SYSTEM", "RESULT_FILES", "ROOT_HOME_DIR", "SECRET_VARIABLES",
            "SECURE_BOOT_BOOTLOADER", "SERIAL_CONSOLE_*", "SIMPLIFY_*", "SIMULTANEOUS_RUNNABLE_WORKFLOWS", "TIMESYNC",
            "TIMESYNC_SOURCE", "TRUSTED_*", "UEFI_BOOTLOADER", "USER_INPUT_*", "USE_DHCLIENT", "USE_RAMDISK",
            "USE_RESOLV_CONF", "USE_SERIAL_CONSOLE", "USE_STATIC_NETWORKING", "USING_UEFI_BOOTLOADER", "WAIT_SECS",
            "WARN_MISSING_VOL_ID", "WORKFLOWS",
        ),
        NEEDLESS,
    ),
}  # fmt: skip

# What kept something from being written must not be passed over.
_PROTECTS = {
    "EXCLUDE_DEVICE_MAPPING": "write EXCLUDE_DEVICES=( /dev/sdb ) for disks that a recovery must not touch",
    "EXCLUDE_RECREATE": "write EXCLUDE_COMPONENTS for what is neither saved nor recreated, EXCLUDE_DEVICES for disks",
    "EXCLUDE_RESTORE": "write EXCLUDE_COMPONENTS for what is neither saved nor recreated, BACKUP_PROG_EXCLUDE for"
    " files",
    "WRITE_PROTECTED_*": "write EXCLUDE_DEVICES=( /dev/sdb ) for disks that a recovery must not touch; rear always"
    " locks a disk with rescue media or the backup",
}


def advice(name: str) -> str:
    """What to do instead of assigning this name; "" when it is not one of the original's."""
    return _found(_ADVICE, name)


def is_known(name: str) -> bool:
    """Whether this very name has advice, and not all of its kind."""
    return name in _ADVICE


def use(name: str) -> str:
    """What becomes of a name for which there is advice."""
    return _found(_USE, name) or OTHERWISE


def protection(name: str) -> str:
    """What to write instead of a name that kept something from being overwritten; "" for all others."""
    return _found(_PROTECTS, name)


def _found(known: Mapping[str, str], name: str) -> str:
    if name in known:
        return known[name]
    patterns = [key for key in known if key.endswith("*") and name.startswith(key[:-1])]
    return known[max(patterns, key=len)] if patterns else ""
