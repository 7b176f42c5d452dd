# SPDX-License-Identifier: GPL-3.0-or-later
"""A report of a recorded machine: it is replayed as the same storage, and tells no secret and, on request, no name."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rear_core import builtin
from rear_core.bundle import archive, contents, masking
from rear_core.bundle.contents import Bundle
from rear_core.doctor.examination import Finding
from rear_core.health.checks import State
from rear_core.plugins import Plugins
from rear_core.recordings import FakeShell
from rear_core.records import Record, keep
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.storage.capture import capture
from rear_core.storage.layout import dumps
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.bundle import make_machine

ROOT = Path(__file__).parents[2] / "machines"
MACHINES = sorted(path.parent for path in ROOT.glob("*/commands"))


def run_of(commands: Path, folder: Path, lines: str = "") -> Run:
    """A run of the core alone on a recorded machine."""
    plugins = Plugins(builtin.modules())
    found = parse(f"VAR_DIR={folder}/var\nTMPDIR={folder}\n{lines}", "/etc/rear/local.conf")
    values = evaluate(Sources(assignments=tuple(found)), plugins.settings(), {}, strict=False)
    report = Report(quiet=True)
    for name, setting in values.declared.items():
        if setting.secret:
            report.mask(str(values[name]))
    run = Run(values, plugins, Options(config_dir=folder / "etc"), report, FakeShell(commands))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-40-amd64", Firmware("bios"))
    return run


def included(machine: Path) -> list[str]:
    named = machine / "include.txt"
    return named.read_text().split() if named.exists() else []


def sizes(layout: Any) -> list[tuple[str, int]]:
    return sorted((item["type"], item.get("size", 0)) for item in layout["items"])


@pytest.mark.parametrize("anonymize", [False, True])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_a_machine_is_made_from_its_report(machine: Path, anonymize: bool, tmp_path: Path) -> None:
    run = run_of(machine / "commands", tmp_path, f"INCLUDE_DEVICES=( {' '.join(included(machine))} )\n")
    bundle = contents.collect(run, [], anonymize=anonymize, logs=tmp_path, here=["web1"])
    assert bundle.problems == []
    archive.write(tmp_path / "report.tar.gz", bundle.files)
    assert "layout.json" in make_machine(tmp_path / "report.tar.gz", tmp_path / "made")
    layout = dumps(capture(FakeShell(tmp_path / "made/commands"), include=included(tmp_path / "made")))
    assert layout == (tmp_path / "made/layout.json").read_text()
    was, now = json.loads((machine / "layout.json").read_text()), json.loads(layout)
    assert sizes(was) == sizes(now)
    assert anonymize or was == now


# Names that stand nowhere by chance; capitals and letters beyond ASCII are letters, too.
NAME = st.text("bcdfghjkmpqtvwxzßµ", min_size=5, max_size=9).map(lambda name: name[0].upper() + name[1:])
# What the recorded machine calls its volumes, arrays, labels, disks and mount points.
RECORDED = ("vault", "debian12", "mdboot", "five", "lab5", "lab6", "lab7", "grown")
OTHERS = ("user", "person", "folder", "server", "domain", "share", "prefix", "volume", "subsystem")


# To look for the smallest example would take minutes, and the names of any tell as much.
@settings(
    deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)  # fmt: skip
@given(st.lists(NAME, min_size=len(RECORDED) + len(OTHERS), max_size=len(RECORDED) + len(OTHERS), unique_by=str.lower))
def test_no_name_is_left_in_an_anonymized_report(made: list[str]) -> None:
    recorded, others = dict(zip(RECORDED, made)), dict(zip(OTHERS, made[len(RECORDED) :]))
    with TemporaryDirectory() as name:
        folder = Path(name)
        commands = renamed(ROOT / "debian-raid-luks/commands", recorded, folder / "commands")
        run = run_of(
            commands, folder, f"BACKUP_PREFIX={others['prefix']}\nEXCLUDE_MOUNTPOINTS=( /srv/{others['volume']} )\n"
        )
        told = talk(others, recorded, folder)
        here = [f"{others['server']}.{others['domain']}.example", others["user"], f"Linux {others['person']}"]
        finding = Finding("names", State.CRITICAL, told, told)
        bundle = contents.collect(run, [finding], anonymize=True, logs=folder / "logs", here=here)
        assert bundle.problems == []
        assert survivors(bundle, [*made, *identifiers(commands), *ADDRESSES]) == []
        assert "machine/layout.json" in bundle.files and "logs/2026-11-22T183000Z-mkbackup.log" in bundle.files


ADDRESSES = (
    "192.168.77.23", "10.61.72.83", "203.0.113.99", "2001:db8:61:72::99", "52:54:00:61:72:83", "525400617283",
    "nmqbfvsdkjhgtrwpzxcvbnmklrtzpsdfghjkqwxy7QX",
)  # fmt: skip


def talk(others: Mapping[str, str], recorded: Mapping[str, str], folder: Path) -> str:
    """Words of a run about all that there is, in its log and record."""
    server = f"{others['server']}.{others['domain']}.example"
    told = (
        f"mount {server}:/{others['share']} nfs://{server}/{others['share']}/{others['folder']} {' '.join(ADDRESSES)}"
        f" enx525400617283 //{others['server'].upper()}/{others['share']} {others['user']}@{others['server']}:/x"
        f" /home/{others['user']}/{others['folder']}/a.txt '/srv/{others['volume']}/My\\040{others['folder']}'"
        f" /dev/mapper/{recorded['vault']}--{recorded['five']} LABEL={others['subsystem']}"
        f" iqn.2020-01.example.{others['domain']}:{others['volume']} sftp://{others['user']}@{server}/srv"
    )
    (folder / "logs").mkdir()
    (folder / "logs/2026-11-22T183000Z-mkbackup.log").write_text(f"18:30:00 {told}\n18:30:01 tar: {told}\n")
    keep(
        folder / "var", Record("mkbackup", "2026-11-22T183000Z", 60, "failed", 1, error=told, hostname=others["server"])
    )
    return told


def renamed(commands: Path, names: Mapping[str, str], folder: Path) -> Path:
    """A recording in which things have other names."""
    folder.mkdir()
    for path in commands.glob("*.txt"):
        text = path.read_text()
        for old, new in names.items():
            text = re.sub(rf"(?<![A-Za-z]){old}(?![A-Za-z0-9])", new, text)
        (folder / path.name).write_text(text)
    return folder


def identifiers(commands: Path) -> set[str]:
    """Serial numbers and UUIDs of a recording, with and without dashes."""
    text = "\n".join(path.read_text() for path in commands.glob("*.txt"))
    found = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)) - {f"{0:08}-0000-0000-0000-{0:012}"}
    disks = set(re.findall(r'"(?:PTUUID|ptuuid|id)": "0x([0-9a-f]{8})"|PTUUID=([0-9a-f]{8})', text))
    return found | {uuid.replace("-", "") for uuid in found} | {number for pair in disks for number in pair if number}


def survivors(bundle: Bundle, tokens: Iterable[str]) -> list[tuple[str, str]]:
    """Where a token still stands, as such or as JSON has it."""
    forms = {token: {token.lower(), json.dumps(token)[1:-1].lower()} for token in tokens}
    texts = {name: f"{name}\n{data.decode()}".lower() for name, data in bundle.files.items()}
    return [
        (name, token) for name, text in texts.items() for token in forms if any(form in text for form in forms[token])
    ]


QUOTED = "it's my own secret"


@pytest.mark.parametrize("text", ["." * 200000, "token" * 40000, "a1" * 100000, "'" * 50000, '"\\' * 50000])
def test_what_a_log_is_full_of_takes_no_time(text: str) -> None:
    """A pattern that begins anywhere and goes on for ever would take hours."""
    for pattern, instead in masking.PATTERNS:
        text = pattern.sub(instead, text)


@pytest.mark.parametrize("anonymize", [False, True])
def test_no_secret_is_in_a_report(anonymize: bool, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of the key file\n")
    (tmp_path / "credentials").write_text("username=anna\npassword=of-the-credentials\n")
    lines = (
        f"BACKUP_KEY='of the setting itself'\nCIFS_CREDENTIALS={tmp_path}/credentials\n"
        f"RSYNC_PASSWORD_FILE={tmp_path}/key\nSSH_ROOT_PASSWORD='$6$salt$ofthehashofthehash'\n"
    )
    secrets = (
        "of the setting itself", "of the key file", "of-the-credentials", "ofthehashofthehash", "of-the-fstab",
        "of-the-url", "of/the@url", "of-the-option", "of-the-header", "of-the-variable", "OFTHEPRIVATEKEY",
        "of-the-seal", "of-a-field", "my own secret", "of-the-tab", "of a c style", "of-curl", "of a share", "of-ssh",
        "of-a-database",
    )  # fmt: skip
    log = (
        "rclone https://anna:of-the-url@nas/x rsync://u:of/the@url@nas/m --password of-the-option\n"
        "RESTIC_PASSWORD=of-the-variable restic\nAuthorization: Bearer of-the-header\n"
        "-----BEGIN OPENSSH PRIVATE KEY-----\nOFTHEPRIVATEKEY\n-----END OPENSSH PRIVATE KEY-----\n"
        '"tpm2-blob": "of-the-seal"\n'
        "curl -u anna:of-curl x; smbclient -U 'anna%of a share' x\n"
        "sshpass -p of-ssh ssh nas; mysqldump -A -pof-a-database\n"
        '{"user": "anna", "api-key": "of-a-field"} --password\tof-the-tab\n'
        f'BORG_PASSPHRASE={shlex.quote(QUOTED)} PRESHARED_KEY="of \\"a\\" of a c style"\n'
        "opened with 'of the key file' and of-the-credentials of the setting itself\n"
    )
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/2026-11-22T183000Z-mkbackup.log").write_text(log)
    keep(tmp_path / "var", Record("mkbackup", "2026-11-22T183000Z", 60, "failed", 1, error=log))
    commands = tmp_path / "commands"
    renamed(ROOT / "debian-raid-luks/commands", {}, commands)
    for path in commands.glob("findmnt-fstab*"):
        path.write_text(path.read_text().replace("errors=remount-ro", "errors=remount-ro,password=of-the-fstab"))
    run = run_of(commands, tmp_path, lines)
    finding = Finding("nfs", State.CRITICAL, log, log)
    bundle = contents.collect(run, [finding], anonymize=anonymize, logs=tmp_path / "logs", here=["web1"])
    assert bundle.problems == [] and bundle.cleaner.masking.masked >= len(secrets)
    assert survivors(bundle, secrets) == []


def test_a_disk_that_only_a_log_knows_is_not_known_by_it(tmp_path: Path) -> None:
    """The log has what lsblk printed of it; the disk is gone by now."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/2026-11-22T183000Z-mkbackup.log").write_text(
        "18:30:00   mounted /dev/disk/by-label/Ledgers of WX41A8801\n"
        '18:30:00         "label": "Ledgers",\n18:30:00         "serial": "WX41A8801",\n'
    )
    run = run_of(renamed(ROOT / "debian-raid-luks/commands", {}, tmp_path / "commands"), tmp_path)
    bundle = contents.collect(run, [], anonymize=True, logs=tmp_path / "logs", here=["web1"])
    assert "logs/2026-11-22T183000Z-mkbackup.log" in bundle.files
    assert survivors(bundle, ["Ledgers", "WX41A8801"]) == []


def test_a_key_that_is_cut_by_the_beginning_of_a_log_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LONGEST", 60)
    (tmp_path / "logs").mkdir()
    log = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nOFTHEPRIVATEKEY\n-----END RSA PRIVATE KEY-----\nthe end\n"
    (tmp_path / "logs/2026-11-22T183000Z-mkbackup.log").write_text(log)
    run = run_of(renamed(ROOT / "debian-raid-luks/commands", {}, tmp_path / "commands"), tmp_path)
    bundle = contents.collect(run, [], anonymize=False, logs=tmp_path / "logs", here=["web1"])
    assert survivors(bundle, ["OFTHEPRIVATEKEY"]) == []
    assert b"the end" in bundle.files["logs/2026-11-22T183000Z-mkbackup.log"]


def test_the_name_and_addresses_that_a_machine_had_are_not_told(tmp_path: Path) -> None:
    keep(tmp_path / "var", replace(Record("mkbackup", "2026-11-22T183000Z", 60, "done", 0), hostname="oldname7"))
    (tmp_path / "logs").mkdir()
    log = "sshd: from ::ffff:192.168.178.21 and 64:ff9b::10.20.30.40 to oldname7\n"
    (tmp_path / "logs/2026-11-22T183000Z-mkbackup.log").write_text(log)
    run = run_of(renamed(ROOT / "debian-raid-luks/commands", {}, tmp_path / "commands"), tmp_path)
    bundle = contents.collect(run, [], anonymize=True, logs=tmp_path / "logs", here=["web1"])
    assert {"runs.jsonl", "logs/2026-11-22T183000Z-mkbackup.log"} <= bundle.files.keys()
    assert survivors(bundle, ["oldname7", "168.178.21", "20.30.40"]) == []


def test_a_part_that_fails_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "etc/recovery").mkdir(parents=True)
    (tmp_path / "etc/recovery/layout.json").write_text("half of ")
    os.mkfifo(tmp_path / "etc/recovery/\x1b[2J.json")
    (tmp_path / "2026-11-22T183000Z-mkrescue.log").symlink_to("/dev/zero")
    bundle = contents.collect(run_of(tmp_path / "commands", tmp_path), [], anonymize=False, logs=tmp_path, here=[])
    assert {"versions.json", "configuration.txt", "doctor.json", "problems.txt"} <= {*bundle.files}
    told = bundle.files["problems.txt"].decode()
    assert [line.partition(":")[0] for line in told.splitlines()] == [
        "machine", "recovery/__2J.json", "recovery/layout.json", "logs/2026-11-22T183000Z-mkrescue.log",
    ]  # fmt: skip
    assert "\x1b" not in told
