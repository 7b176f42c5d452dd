# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of docs/how-to that are marked with this file, typed line by line on a small machine and its rescue system.

What is below a heading "Recover", and the whole of when-a-recovery-fails.md, is typed in the rescue system.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lab import archives, docs, guests, methods, servers, small, small_methods
from lab.docs import ROOT, Block

NEEDED = ("borg", "rclone", "restic", "rsync")
pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"{' '.join(NEEDED)} are not all installed"),
]

# A machine with room for its media, and a card.
DESIGN = replace(small_methods.DESIGN, name="how-to", backup=768)
STICK, OTHER, ANOTHER = "0e02", "0e03", "0d01"
LOADERS = ("grub-efi-amd64-bin", "grub-efi-amd64-signed", "shim-signed", "shim-signed-common", "shim-unsigned")
KEY = "/root/.ssh/id_ed25519"
OUTPUT = "/var/lib/rear/output"
# Where the lab's servers are, and the disk that a machine without a server has.
LISTENS = "until (: </dev/tcp/10.0.2.2/8000) 2>/dev/null; do sleep 0.1; done"
HOSTS = "10.0.2.2 backup.example.org\n"
# What is for other readers than this machine: alternatives, policies that remove backups of one day, placeholders.
NOT_SET = re.compile(r"=\.\.\.|_KEEP=|_ATTRIBUTES=|BACKUP_KEY_FILE=|OUTPUT_URL=|^RESCUE_\w+\+=", re.M)
# What is asked, and what somebody answers.
ANSWERS = {
    r"Remove the \w+ [^:]*: ": "yes",
    r"Type (/dev/\S+) or yes to continue: ": "yes",
    r"Is .*[^:]*\? yes, \[no\][^:]*: ": "yes",
}
# The exit status tells what was found, which is another thing than whether the command ran.
VERDICTS = ("rear status",)


def type_line(vm: guests.Machine, line: str) -> str:
    """What a line prints that somebody types, and who answers what it asks; it must end well."""
    # In one piece: what is typed before a question does not count.
    vm.send(f"{{ {line}\n}}; echo ended with $?.\n")
    ends = r"ended with (?P<status>\d+)\.\r*\n"
    said = ""
    while True:
        found = vm.expect("|".join([ends, *(f"(?:{question})" for question in ANSWERS)]), 900)
        said += found.string[: found.end()] if found.string else ""
        if found["status"]:
            assert found["status"] == "0" or line.startswith(VERDICTS), f"{line} ended with {found['status']}:\n{said}"
            return said
        answer = next(answer for question, answer in ANSWERS.items() if re.fullmatch(question, found[0]))
        vm.send(f"{answer}\n")


def follow(vm: guests.Machine, blocks: Sequence[Block], replaced: Mapping[str, str]) -> str:
    """Do what blocks of a page say, with what they have as examples replaced; what was printed."""
    said = ""
    for block in blocks:
        if not block.mark.endswith("test_how_to.py"):
            continue
        text = block.text
        for example, real in replaced.items():
            text = text.replace(example, real)
        here = Block(**{**block.__dict__, "text": text})
        if here.settings:
            if not NOT_SET.search(text):
                vm.check(f"cat >>/etc/rear/local.conf <<'END-OF-BLOCK'\n{text}END-OF-BLOCK")
        elif here.file:
            vm.check(f"mkdir -p {here.file.rpartition('/')[0]}")
            vm.put(here.file.rstrip(":"), text.encode())
            vm.check(f"chmod 755 {here.file.rstrip(':')}")
        else:
            for line in here.lines():
                if not line.startswith(("apt-get ", "vi ")):
                    said += type_line(vm, line)
    return said


def page(name: str) -> tuple[list[Block], list[Block]]:
    """What a page has typed on the machine, and what in the rescue system."""
    found = docs.blocks(ROOT / f"docs/how-to/{name}")
    there = [block for block in found if block.heading == "Recover" or name == "when-a-recovery-fails.md"]
    return [block for block in found if block not in there], there


@dataclass
class Lab:
    """A machine with disks for backups, for keys and to spare, and the folder of its server backup.example.org."""

    folder: Path
    name: str
    disks: list[guests.Disk] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = small.saved(DESIGN)
        self.disks = [made.copy(DESIGN.serials("0a")[0], self.folder), made.copy(small.BACKUP, self.folder)]
        (self.folder / "server").mkdir()
        (self.folder / "server/rear").mkdir(mode=0o700)
        (self.folder / "sshd").mkdir()
        for serial, label, size in ((STICK, "KEY", 16), (OTHER, "spare", 1536)):
            disk = guests.Disk(guests.blank(self.folder / serial, size), serial)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, disk.path], check=True)
            self.disks.append(disk)

    @property
    def server(self) -> Path:
        return self.folder / "server"

    @contextmanager
    def serving(self, network: Path) -> Iterator[None]:
        """sshd, and a REST server for restic, where guests find backup.example.org."""
        work = self.folder / "sshd"
        argv = ["nsenter", f"--net={network}", "setpriv", "--pdeathsig", "KILL", "rclone", "serve", "restic", "--quiet"]
        argv += ["--config=/dev/null", "--addr=10.0.2.2:8000", str(self.server)]
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        with servers.sshd(work, port=22, address="10.0.2.2", network=network), started as rest:
            try:
                subprocess.run(["nsenter", f"--net={network}", "bash", "-c", LISTENS], check=True, timeout=60)
                yield
            finally:
                rest.kill()

    @contextmanager
    def machine(self) -> Iterator[guests.Machine]:
        """The machine, in use, with nothing configured but what belongs to the laboratory."""
        with small.running(DESIGN, self.disks, self.name) as vm:
            small.start(vm, DESIGN)
            vm.put("/run/network", methods.NETWORK.encode())
            vm.check("bash /run/network; rm -f /etc/rear/local.conf; mkdir -p -m 700 /etc/rear /root/.ssh /home/ada")
            vm.put("/etc/rear/site.conf", small.in_guest().encode())
            vm.check(f"echo '{HOSTS}' >>/etc/hosts; echo mine >/home/ada/letter")
            # Its cables are there by now. What a page makes on the server is made here.
            vm.check(f"mkdir -p {self.server}")
            with self.serving(vm.network):
                for name in (KEY, "/root/.ssh/borg", "/root/.ssh/rear"):
                    vm.put(name, (self.folder / "sshd/user").read_bytes())
                    vm.check(f"chmod 600 {name}")
                known = (self.folder / "sshd/host.pub").read_text()
                vm.put("/root/.ssh/known_hosts", f"backup.example.org {known}".encode())
                yield vm
            (self.folder / "rescue.iso").write_bytes(vm.get(f"{OUTPUT}/rear-debian12.iso"))
            vm.power_off()

    @contextmanager
    def rescue(self, *disks: guests.Disk) -> Iterator[guests.Machine]:
        """The rescue system that the machine has made, on new disks, beside these of the old ones."""
        initramfs = small.take_initramfs(self.folder / "rescue.iso", self.folder / "initramfs.img")
        recovery = small.Recovery(DESIGN, initramfs, self.folder, self.name)
        with recovery.rescue(*disks) as vm, self.serving(vm.network):
            yield vm


def dates(vm: guests.Machine) -> list[str]:
    """Those of the backups, oldest first."""
    return re.findall(r"^(20\S+Z) ", vm.check("rear backup list 2>/dev/null", 120), re.M)


def on_dates(date: str) -> dict[str, str]:
    """The dates of the examples, and that of a backup which is there."""
    return {"2026-11-22T183000Z": date, "2026-11-22T1830": date, "2026-11-22": date}


@dataclass(frozen=True)
class Tool:
    """A program that keeps the backups, and what its page has where the laboratory has something else.

    A file of the machine becomes that one of the stick, and `more` are settings for the recovery without a question.
    """

    packages: Sequence[str]
    replaced: Mapping[str, str]
    stick: Mapping[str, str]
    more: str = ""


TOOLS = {
    "restic.md": Tool(
        ("restic",),
        {"rest:https://backup.example.org:8000/web1": "rest:http://backup.example.org:8000/web1"},
        {"/root/restic.password": "password"},
    ),
    "borg.md": Tool(
        ("borgbackup", "python3-msgpack", "python3-packaging", "python3-pkg-resources", "libxxhash0", "liblz4-1"),
        {"ssh://web1@backup.example.org/./borg": "ssh://root@backup.example.org{server}/borg"},
        {"/root/borg.passphrase": "passphrase", KEY: "id"},
        "BORG_RSH='ssh -i /run/key/id -o BatchMode=yes'\n",
    ),
    "rsync.md": Tool(
        ("rsync", "libpopt0", "libxxhash0", "liblz4-1"),
        {"backup@backup.example.org": "root@backup.example.org", "/srv/rear": "{server}/rear", "=2000 ": "=200000 "},
        {KEY: "id"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_the_page_of_a_tool_saves_and_recovers(name: str, tmp_path: Path) -> None:
    tool, lab = TOOLS[name], Lab(tmp_path, f"how-to-{name[:-3]}")
    replaced = {example: real.format(server=lab.server) for example, real in tool.replaced.items()}
    on_machine, in_rescue = page(name)
    before = [block for block in on_machine if block.heading != "List, fetch and remove"]
    listing = [block for block in on_machine if block not in before]
    with lab.machine() as vm:
        vm.detach(OTHER)
        vm.check("umount /srv/backup; sed -i /BACKUP/d /etc/fstab; rm /etc/rear/config/50_mount.sh")
        vm.put("/var/tmp/tool.tar.gz", archives.packed(*tool.packages))
        vm.check("tar --extract --absolute-names --file=/var/tmp/tool.tar.gz; rm /var/tmp/tool.tar.gz; ldconfig", 60)
        follow(vm, [block for block in before if block.heading != "Recover with nobody there"], replaced)
        vm.check("echo later >/srv/later; rear -n mkbackuponly", 600)
        first, second = dates(vm)
        said = follow(vm, listing, {**replaced, **on_dates(first)})
        assert first in said and dates(vm) == [second]
        vm.check("mount LABEL=KEY /mnt && (cd /mnt; umask 077; " + "; ".join(
            f"cp {path} {file}" for path, file in tool.stick.items()
        ) + "); umount /mnt")  # fmt: skip
        follow(vm, [block for block in before if block.heading == "Recover with nobody there"], replaced)
        vm.check(
            f"cat >>/etc/rear/local.conf <<'END'\n{tool.more}END\nsh /etc/rear/config/60_key.sh; rear -n mkbackup", 600
        )
        assert len(dates(vm)) == 2
    with lab.rescue(*lab.disks[1:3]) as vm:
        said = follow(vm, in_rescue, {**replaced, **on_dates(second)})
        assert said.count("The recovery is complete") == 2 and second in said


def test_the_other_pages_and_the_pictures_are_true(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "how-to")
    replaced = {"nfs://backup.example.org/rear": "file:///srv/backup", "rear-myhost.iso": "rear-debian12.iso"}
    with lab.machine() as vm:
        prepare(vm)
        # They are none of the machine's.
        vm.detach(STICK, OTHER)
        follow(vm, page("from-relax-and-recover.md")[0], replaced)
        backup, _ = page("backup.md")
        said = follow(vm, backup[:2], replaced)
        print(said)
        assert docs.missing(said, docs.recorded("mkbackup")) == []
        (date,) = dates(vm)
        assert date in follow(vm, backup[2:], {**replaced, **on_dates(date)})
        follow(vm, page("configure.md")[0], replaced)
        follow(vm, page("recover.md")[0], replaced)
        said = follow(vm, page("watch.md")[0], replaced)
        print(said)
        assert docs.missing(said, docs.recorded("status")) == [] and vm.check("cat /root/mail")
        (disk,) = vm.attach(lab.disks[-1])
        vm.check(f"cd {OUTPUT}")
        for name in ("boot.md", "usb.md"):
            follow(vm, page(name)[0], {**replaced, "/dev/sdX": disk, "/dev/sdb": disk})
    with lab.rescue(lab.disks[1]) as vm:
        said = menu_and_question(vm, guests.Disk(guests.blank(tmp_path / ANOTHER, 2560), ANOTHER))
        print(said)
        assert docs.missing(said, docs.recorded("recover")) == []
        assert "The recovery is complete" in follow(vm, page("when-a-recovery-fails.md")[1], replaced)


def prepare(vm: guests.Machine) -> None:
    """What the pages take for granted: an old configuration, a way to send mails, the loaders of all firmware."""
    vm.put("/run/loaders", archives.packed(*LOADERS))
    vm.check("tar --extract --absolute-names --file=/run/loaders", 60)
    vm.check("mkdir -p /etc/prometheus /root/rear-old; rm -r /srv/backup/debian12")
    vm.put("/root/rear-old/local.conf", b"OUTPUT=ISO\nBACKUP=NETFS\nBACKUP_URL=nfs://server/export\n")
    vm.put("/root/rear-old/site.conf", b"COPY_AS_IS+=( /opt )\n")
    vm.put("/usr/sbin/sendmail", b"#!/bin/sh\ncat >/root/mail\n")
    vm.put("/etc/rear/stick2.conf", b"USB_DEVICE_FILESYSTEM_LABEL=REAR-002\n")
    vm.check("chmod 755 /usr/sbin/sendmail")


def menu_and_question(vm: guests.Machine, another: guests.Disk) -> str:
    """What the menu of the rescue system and a recovery print where two disks may be taken and nothing says which."""
    vm.attach(another)
    vm.check("cp /etc/rear/local.conf /run/kept; sed -i /DISK_MAPPING/d /etc/rear/local.conf")
    vm.send("exit\n")
    said = vm.expect(r"  1\) Recover this machine.*Choice: ", 60)[0]
    vm.send("1\n")
    said += vm.expect(r".*Which disk becomes [^:]*: ", 300)[0]
    vm.send("quit\n")
    vm.expect("rear recover ended with exit status 130.*Choice: ", 60)
    vm.send("2\n")
    vm.shell(small.RESCUE_PROMPT)
    vm.check("mv /run/kept /etc/rear/local.conf")
    vm.detach(another.serial)
    return said
