# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes another machine of a restored system: name, machine-id, host keys of ssh, no timers that act as the old one."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import recovered
from ..archive.signature import KEY
from ..schedule import INSTALLED, JOBS, is_ours
from ..system.identity import NAME

MACHINE_ID = "/etc/machine-id"
MACHINE_IDS = (MACHINE_ID, "/var/lib/dbus/machine-id")
NAMED = ("/etc/hostname", "/etc/HOSTNAME", "/etc/mailname", "/etc/sysconfig/network", "/etc/conf.d/hostname")
HOST_KEYS = "/etc/ssh/ssh_host_*_key*"
# kernel-install(8) calls entries and folders by it, otherwise by the machine-id.
TOKEN = "/etc/kernel/entry-token"
ENTRIES = ("/boot/loader/entries/{}-*.conf", "/efi/loader/entries/{}-*.conf", "/boot/efi/loader/entries/{}-*.conf")
FOLDERS = ("/boot/{}", "/efi/{}", "/boot/efi/{}")
CRON = (
    "/etc/crontab", "/etc/cron.d/*", "/etc/anacrontab", "/var/spool/cron/crontabs/*", "/var/spool/cron/*",
    "/var/spool/cron/tabs/*",
)  # fmt: skip
SCRIPTS = tuple(f"/etc/cron.{often}/*" for often in ("hourly", "daily", "weekly", "monthly"))
REAR = re.compile(r"(?<![\w.-])(?:/[\w/.-]*/)?rear(?![\w.-])")
OFF = "# Off in this clone: "
# Units that save to where the other machine does, or answer for its addresses.
UNITS = "/etc/systemd/system/*.wants/*"
STARTED = re.compile(r"^Exec\w+=.*", re.MULTILINE)
ACTING = re.compile(
    r"restic|borg|bacula|bareos|urbackup|duplic|rsnapshot|rclone|(?<!dpkg-db-)backup|dsmc|networker|nsr|keepalived|corosync|pacemaker"
    r"|ucarp|vrrp|wg-quick|openvpn|strongswan|ipsec",
    re.IGNORECASE,
)
INITIATORS = {
    "/etc/iscsi/initiatorname.iscsi": "InitiatorName", "/etc/nvme/hostnqn": "the NQN", "/etc/nvme/hostid": "the ID",
}  # fmt: skip
# In words for the kernel: an address, and not ip=dhcp.
STATIC = re.compile(r"(?<![\w.-])(?:ip|IP)=[^\s\"']*(?:\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:]+\])[^\s\"']*")


def names(target: Path, recorded: str) -> list[str]:
    """The names that the restored system has for itself, the longest first."""
    found = {recorded, recorded.partition(".")[0]}
    path = recovered.inside(target, "/etc/hostname")
    if path.is_file():
        found.update(line.strip() for line in recovered.read(path).splitlines() if not line.startswith("#"))
    return sorted(found - {"", "localhost"}, key=len, reverse=True)


def rename(target: Path, old: Sequence[str], new: str, addresses: Sequence[str]) -> Iterator[str]:
    """Give it another name where its own name stands, also in lines of /etc/hosts with old addresses."""
    for name, path in [pair for pattern in NAMED for pair in recovered.find(target, pattern)]:
        text = recovered.read(path)
        whole = new + "\n" if name.lower() == "/etc/hostname" else _renamed(text, old, new)
        if whole != text:
            recovered.replace(path, whole)
            yield f"{name}: the host is called {new}"
    path = recovered.inside(target, "/etc/hosts")
    if path.is_file():
        text = recovered.read(path)
        changed = "".join(_host_line(line, old, new, addresses) for line in text.splitlines(keepends=True))
        if changed != text:
            recovered.replace(path, changed)
            yield f"/etc/hosts: {new} instead of {old[-1] if old else 'the old name'}"


def _renamed(text: str, old: Sequence[str], new: str) -> str:
    """The text with the new name: a short one is a short one again, and a domain stays if the new name has none."""

    def other(found: re.Match[str]) -> str:
        _, dot, domain = found[0].partition(".")
        return new if dot and "." in new else new.partition(".")[0] + dot + domain

    any_of = "|".join(map(re.escape, old)) or "(?!)"
    return re.sub(rf"(?<![\w.-])(?:{any_of})(?![\w-])", other, text)


def _host_line(line: str, old: Sequence[str], new: str, addresses: Sequence[str]) -> str:
    words = line.partition("#")[0].split()
    if not any(word == name or word.startswith(f"{name}.") for word in words[1:] for name in old):
        return line
    # hosts(5) of Debian: the name of a machine without a fixed address.
    own = "127.0.1.1" if words[0] in addresses else words[0]
    return own + _renamed(line.lstrip()[len(words[0]) :], old, new)


def new_machine_id(target: Path) -> Iterator[str]:
    """Another machine-id; kernels that are installed later go on in the folder that is called by the old one."""
    path = recovered.inside(target, MACHINE_ID)
    was, new = recovered.read(path).strip() if path.is_file() else "", uuid.uuid4().hex
    # D-Bus mostly has a link to the first.
    for path, name in {recovered.inside(target, name): name for name in reversed(MACHINE_IDS)}.items():
        if path.is_file():
            recovered.replace(path, f"{new}\n")
            yield f"{name}: new"
    if not re.fullmatch("[0-9a-f]{32}", was):
        return
    entries = [name for pattern in ENTRIES for name, _ in recovered.find(target, pattern.format(was))]
    folders = [name for pattern in FOLDERS if recovered.inside(target, name := pattern.format(was)).is_dir()]
    token = recovered.inside(target, TOKEN)
    if (entries or folders) and not token.exists():
        recovered.create(token, was + "\n")
        yield f"{TOKEN}: {was}, as boot entries are called by the old machine-id and stay"


def new_host_keys(target: Path) -> list[str]:
    """Remove the host keys of the other machine; the names of those that were there."""
    found = list(recovered.find(target, HOST_KEYS))
    for _, path in found:
        path.unlink()
    return [name for name, _ in found]


def switch_off(target: Path) -> Iterator[str]:
    """Switch off what has rear save this machine where the other one saves itself."""
    for job, unit in JOBS.items():
        timer = recovered.inside(target, os.fspath(INSTALLED / f"rear-{unit}.timer"))
        if is_ours(timer):
            timer.unlink()
            recovered.inside(target, os.fspath(INSTALLED / f"rear-{unit}.service")).unlink(missing_ok=True)
            (Path(target) / f"etc/systemd/system/timers.target.wants/rear-{unit}.timer").unlink(missing_ok=True)
            yield f"rear schedule: {job} is off in this clone; change BACKUP_URL and OUTPUT_URL before you enable it"
    for name, path in [pair for pattern in CRON for pair in recovered.find(target, pattern)]:
        lines = recovered.read(path).splitlines(keepends=True)
        changed = [OFF + line if _runs_rear(line) else line for line in lines]
        if changed != lines:
            recovered.replace(path, "".join(changed))
            yield f"{name}: its lines with rear are off in this clone"
    for name, path in [pair for pattern in SCRIPTS for pair in recovered.find(target, pattern)]:
        mode = path.stat().st_mode
        if mode & 0o111 and any(map(_runs_rear, recovered.read(path).splitlines())):
            # run-parts(8) passes over it then.
            path.chmod(mode & 0o7666)
            yield f"{name}: it runs rear, so it is not executable in this clone"
    for timer in sorted(target.glob(f"{UNITS.lstrip('/')}.timer")):
        if re.match(r"rear(?![a-z])", timer.name) or _starts_rear(target, timer.stem):
            timer.unlink()
            yield f"{timer.name}: it runs rear, so it is off in this clone"


def _starts_rear(target: Path, unit: str) -> bool:
    service = recovered.inside(target, os.fspath(INSTALLED / f"{unit}.service"))
    return service.is_file() and any(map(REAR.search, STARTED.findall(recovered.read(service))))


def _runs_rear(line: str) -> bool:
    return bool(REAR.search(line)) and not line.lstrip().startswith("#") and not re.match(r"\s*\w+\s*=", line)


def forget_owner(target: Path, var_dir: Path) -> Iterator[str]:
    """Remove what makes rear believe that this is the other machine: its number, and the key that signs its backups."""
    for name in (NAME, KEY):
        path = recovered.inside(target, os.fspath(var_dir / name))
        if path.is_file():
            path.unlink()
            yield f"{var_dir / name}: removed, it is the other machine's; rear makes a new one"


def lease_early(text: str) -> str:
    """The text in which the kernel and initramfs ask for a lease instead of an address of the other machine."""
    return STATIC.sub(lambda found: f"{found[0][:2]}=dhcp", text)


def remarks(target: Path) -> Iterator[str]:
    """What is still the other machine's, and somebody has to decide."""
    for name, what in INITIATORS.items():
        if recovered.inside(target, name).is_file():
            yield f"{name}: {what} is the other machine's: change it before this clone logs in to storage of both"
    for name in sorted(_wanted_units(target)):
        yield f"{name}: it is on, and may act as the other machine: systemctl disable it if it must not"
    sshd = ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf")
    for name, path in [pair for pattern in sshd for pair in recovered.find(target, pattern)]:
        for key in re.findall(r"^\s*HostKey\s+(\S+)", recovered.read(path), re.MULTILINE | re.IGNORECASE):
            if not key.startswith("/etc/ssh/ssh_host_"):
                yield f"{name}: the host key {key} is the other machine's: make a new one"
    for name, _ in recovered.find(target, "/etc/dropbear/*host_key"):
        yield f"{name}: the host key is the other machine's: make a new one, and the initramfs again"


def _wanted_units(target: Path) -> set[str]:
    """The units that are switched on and may act as the other machine; most are links to where they are."""
    found = set()
    for path in target.glob(UNITS.lstrip("/")):
        if ACTING.search(path.name):
            found.add(path.name)
    return found
