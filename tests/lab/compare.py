# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored machine must have in common with the original: odd files, a list of all files, and its disks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import qemu

# Whatever a backup can get wrong.
ODD_FILES = r"""
import os, subprocess, sys
folder = sys.argv[1] + "/odd"
os.makedirs(folder + "/dir")
os.chdir(folder)
for name in ("spaced name", "line\nbreak", "ümläut", "-dash", "back\\slash", "*star", "long" + "g" * 230):
    open(name, "w").write(name)
open(b"\xff\xfe not utf-8", "w").write("x")
with open("sparse", "wb") as file:
    file.seek(50 << 20); file.write(b"end"); file.truncate(64 << 20)
open("empty", "w").close()
open("owned", "w").write("x"); os.chown("owned", 12345, 54321); os.chmod("owned", 0o4751)
os.link("owned", "hard link")
os.symlink("nowhere at all", "dangling"); os.symlink("/etc/passwd", "absolute")
os.lchown("dangling", 12345, 54321)
os.mkfifo("fifo", 0o640); os.mknod("null", 0o20666, os.makedev(1, 3))
open("xattr", "w").write("x"); os.setxattr("xattr", "user.note", b"kept \x00 bytes")
os.setxattr("xattr", "trusted.note", b"by root")
subprocess.run(["cp", "/bin/ping", "capable"], check=True)
subprocess.run(["setfacl", "-m", "u:12345:rw,g:54321:r", "empty"], check=True)
subprocess.run(["setfacl", "-d", "-m", "u:12345:rwx", "dir"], check=True)
os.setxattr("capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
os.chmod("dir", 0o2770); open("old", "w").write("x"); os.utime("old", ns=(10**18, 123456789012345678))
"""
# One entry per file: mode, owner, size, time, checksum, links, holes, target, device, attributes. It is the checksum
# that an emulated machine is quick at: nobody deceives here.
LISTING = r"""
import json, os, stat, sys, zlib
skipped = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/rear", "/var/cache",
    "/etc/rear/recovery", "/srv/backup", "/mnt", "/var/lib/systemd", "/var/lib/dhcp")
inodes = {}
buffer = memoryview(bytearray(1 << 18))
def describe(path):
    found = os.lstat(path)
    line = [oct(found.st_mode), found.st_uid, found.st_gid]
    if stat.S_ISREG(found.st_mode):
        checksum = 0
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                checksum = zlib.crc32(buffer[:count], checksum)
        holes = found.st_size > 1 << 20 and found.st_blocks * 512 < found.st_size // 2
        line += [found.st_size, checksum, found.st_mtime_ns, found.st_nlink, holes]
        if found.st_nlink > 1:
            line.append(inodes.setdefault((found.st_dev, found.st_ino), os.fsdecode(path)))
    elif stat.S_ISLNK(found.st_mode):
        line += [os.readlink(path)]
    elif not stat.S_ISDIR(found.st_mode):
        line += [found.st_rdev]
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return line + [[name, os.getxattr(path, name, follow_symlinks=False).hex()] for name in names]
def walk(folder):
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.path in skipped or entry.name == "lost+found" or entry.name.startswith(".bash_history"):
            continue
        listed[os.fsencode(entry.path).decode(errors="backslashreplace")] = describe(entry.path)
        if entry.is_dir(follow_symlinks=False):
            walk(entry.path)
listed = {}
walk("/")
json.dump(listed, open(sys.argv[1], "w"))
"""
TIME = 5
BLOCK = 4096
# Installing GRUB writes its files anew, with the same contents.
GRUB = ("/boot/grub/*", "/boot/efi/*")


def list_files(vm: qemu.Machine, path: str) -> None:
    """Leave the list of all files in a file there."""
    vm.put("/run/listing.py", LISTING.encode())
    vm.check(f"python3 -B /run/listing.py {path} && sync", timeout=1200)


def differences(before: Path, after: Path, may_differ: Iterable[str] = ()) -> dict[str, tuple[Any, Any]]:
    """What two lists tell of each file that they do not agree on; with GRUB's files only contents and owners count."""
    was, now = (_read(path) for path in (before, after))
    paths = (path for path in was.keys() | now.keys() if not any(fnmatch(path, pattern) for pattern in may_differ))
    return {path: (was.get(path), now.get(path)) for path in sorted(paths) if was.get(path) != now.get(path)}


def contents(image: Path) -> str:
    """A checksum of what a disk image holds, and where.

    Most of one is holes, which are not read; but zeroes are the same to it, as space that was only set aside for them
    is a hole to some file systems until somebody has read it.
    """
    found = hashlib.sha256()
    with image.open("rb") as file:
        end = 0
        while (start := _next_data(file.fileno(), end)) is not None:
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            while start < end and (block := file.read(min(BLOCK - start % BLOCK, end - start))):
                if block.count(0) != len(block):
                    found.update(b"%d\n" % start)
                    found.update(block)
                start += len(block)
    return found.hexdigest()


def _next_data(file: int, offset: int) -> int | None:
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _read(path: Path) -> Mapping[str, Any]:
    listed: dict[str, Any] = json.loads(path.read_text())
    for name, line in listed.items():
        if len(line) > TIME and any(fnmatch(name, pattern) for pattern in GRUB):
            del line[TIME]
    return listed
