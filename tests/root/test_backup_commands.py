# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands on a healthy machine: `rear mkbackuponly` saves, `rear recover --demo` restores into a folder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pexpect
import pytest

from lab import servers
from lab.archives import flip

pytestmark = pytest.mark.root

Rear = Callable[..., "subprocess.CompletedProcess[str]"]
Typed = Callable[..., "tuple[int, str]"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    (path / "folder").mkdir(parents=True)
    (path / "folder" / "file").write_text("text")
    (path / "noise").write_bytes(os.urandom(5_000_000))
    return path


@pytest.fixture
def command(tmp_path: Path, tree: Path) -> Callable[[str], list[str]]:
    """The words of the command, after lines of local.conf were written.

    Only a small tree is saved, as this machine's root is named as not wanted.
    """
    config, backups = tmp_path / "etc", tmp_path / "backups"
    config.mkdir()
    backups.mkdir()
    listed = json.loads(subprocess.run(["findmnt", "--json", "--list"], capture_output=True, check=True).stdout)
    mounts = " ".join(f"'{row['target']}'" for row in listed["filesystems"])
    base = (
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        f"OS_FAMILY=debian\nBACKUP_URL=file://{backups}\nBACKUP_PREFIX=web1\n"
        f"EXCLUDE_MOUNTPOINTS=( {mounts} )\nBACKUP_PROG_EXCLUDE=()\nBACKUP_PROG_INCLUDE=( {tree} )\n"
    )

    def words(conf: str) -> list[str]:
        (config / "local.conf").write_text(base + conf)
        return [sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(config)]

    return words


@pytest.fixture
def rear(command: Callable[[str], list[str]]) -> Rear:
    """Run the command without a terminal, after words that start it."""

    def run(*arguments: str, conf: str = "", before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *command(conf), *arguments],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture
def typed(command: Callable[[str], list[str]]) -> Typed:
    """Run the command at a terminal, and give its question an answer; its exit status, and what was on the screen."""

    def run(answer: str, *arguments: str) -> tuple[int, str]:
        python, *words = [*command(""), *arguments]
        child = pexpect.spawn(python, words, encoding="utf-8", timeout=60)
        asked = child.expect([r"quit: ", pexpect.EOF]) == 0
        shown = child.before
        if asked:
            child.sendline(answer)
            shown += child.read()
        child.close()
        return child.exitstatus if child.exitstatus is not None else -1, shown

    return run


def test_a_healthy_machine_saves_and_restores_into_a_folder(rear: Rear, tmp_path: Path, tree: Path) -> None:
    ended = rear("mkbackuponly", "--json-progress")
    assert ended.returncode == 0, ended.stderr
    assert f"\nSaving {tree}\n" in ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["event"] == "done"
    (generation,) = (tmp_path / "backups" / "web1").iterdir()
    covered = {entry["name"]: entry for entry in json.loads((generation / "coverage.json").read_text())["covered"]}
    assert covered["/"]["verdict"] == "excluded"
    assert covered["/"]["reason"] == "EXCLUDE_MOUNTPOINTS names it"
    assert all(entry["reason"] or entry["verdict"] == "saved" for entry in covered.values())
    assert "EXCLUDE_MOUNTPOINTS names it" in (tmp_path / "log").read_text()

    ended = rear("recover", "--demo", str(tmp_path / "demo"))
    assert ended.returncode == 0, ended.stderr
    assert "complete and authentic" in ended.stderr
    # Not as the root directory, which everybody may enter.
    assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o700
    restored = Path(f"{tmp_path}/demo{tree}")
    assert (restored / "folder" / "file").read_text() == "text"
    assert (restored / "noise").read_bytes() == (tree / "noise").read_bytes()


def test_a_demonstration_never_goes_where_something_is(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    for place in ("/", "/usr", str(tmp_path), str(tmp_path / "log")):
        ended = rear("recover", "--demo", place)
        assert ended.returncode == 3, ended.stderr
        assert "What to do" in ended.stderr
    (tmp_path / "link").symlink_to("/")
    assert rear("recover", "--demo", str(tmp_path / "link")).returncode == 3


@pytest.mark.parametrize("place", ["log/x", "loop", "loop/x", "dangling", "a" * 256, "a/" * 3000])
def test_a_demonstration_is_refused_by_name_where_there_can_be_no_folder(
    rear: Rear, tmp_path: Path, place: str
) -> None:
    assert rear("mkbackuponly").returncode == 0
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    ended = rear("recover", "--demo", f"{tmp_path}/{place}")
    assert ended.returncode == 3, ended.stderr
    assert "choose an empty folder, or a new one" in ended.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_demonstration_that_cannot_make_its_folder_says_so(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    (tmp_path / "dangling").symlink_to("nowhere")
    ended = rear("recover", "--demo", f"{tmp_path}/dangling/x")
    assert ended.returncode == 1, ended.stderr
    assert f"cannot create {tmp_path}/dangling/x: " in ended.stderr
    assert "BUG" not in ended.stderr


def test_a_damaged_description_is_no_reason_to_believe_a_backup(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    for text in ("", "{", "[]", "{}", '{"signers": 5}', "[" * 100_000):
        (tmp_path / "etc/recovery/system.json").write_text(text)
        for command in (["checkbackup"], ["recover", "--demo", str(tmp_path / "demo")]):
            ended = rear(*command)
            assert ended.returncode == 2, ended.stderr
            assert "system.json, which says whose backups to believe" in ended.stderr
    assert rear("mkbackuponly").returncode == 0
    assert "complete and authentic" in rear("checkbackup").stderr


def test_a_damaged_backup_ends_a_demonstration_before_it_begins(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    (archive,) = (tmp_path / "backups" / "web1").glob("*/backup.tar.zst")
    os.truncate(archive, 1000)
    ended = rear("recover", "--demo", str(tmp_path / "demo"))
    assert ended.returncode == 3
    assert "truncated: it has 1000 of" in ended.stderr
    assert not (tmp_path / "demo").exists()


def test_an_encrypted_backup_needs_its_key_which_no_log_knows(rear: Rear, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("correct horse battery\n")
    key.chmod(0o600)
    conf = f"BACKUP_KEY_FILE={key}\n"
    assert rear("-v", "mkbackuponly", conf=conf).returncode == 0
    assert "correct horse" not in (tmp_path / "log").read_text()
    ended = rear("recover", "--demo", str(tmp_path / "demo"))
    assert ended.returncode == 3
    assert "no key is configured" in ended.stderr
    ended = rear("recover", "--demo", str(tmp_path / "demo"), conf="BACKUP_KEY='battery horse correct'\n")
    assert ended.returncode == 3
    assert "wrong key" in ended.stderr
    ended = rear("recover", "--demo", str(tmp_path / "demo"), conf=conf)
    assert ended.returncode == 0, ended.stderr
    assert "complete and authentic" in ended.stderr


@pytest.mark.parametrize("line", [b"correct horse battery\r\n", b"\xef\xbb\xbfcorrect horse battery\n"])
def test_no_backup_is_made_with_a_passphrase_that_a_recovery_could_not_be_given(
    rear: Rear, tmp_path: Path, line: bytes
) -> None:
    key = tmp_path / "key"
    key.write_bytes(line)
    key.chmod(0o600)
    ended = rear("mkbackuponly", conf=f"BACKUP_KEY_FILE={key}\n")
    assert ended.returncode == 2, ended.stderr
    assert f"the passphrase in {key}" in ended.stderr
    assert "correct horse" not in ended.stderr
    assert not (tmp_path / "backups" / "web1").exists()


@pytest.mark.parametrize("harm", ["umount {0}", "umount {0}; rm -r {0}", "mount -t tmpfs tmpfs {0}/web1"])
def test_a_place_that_is_unmounted_after_it_was_checked_gets_no_backup(rear: Rear, tmp_path: Path, harm: str) -> None:
    """What would be saved to the folder behind it, on the disk of the system, or in memory, is nothing to restore."""
    place, script = tmp_path / "place", tmp_path / "etc" / "analyse_dr" / "90_harm.sh"
    (place / "web1").mkdir(parents=True)
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{harm.format(place)}\n")
    script.chmod(0o755)
    ready = f'mkdir -p {place}; mount -t tmpfs tmpfs {place}; mkdir {place}/web1; "$@"; s=$?; find {place}; exit $s'
    ended = rear(
        "mkbackuponly", conf=f"BACKUP_URL=file://{place}\n",
        before=["unshare", "--mount", "--propagation", "private", "sh", "-c", ready, "sh"],
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert f"file://{place} was on what is mounted on {place} when this run began, and is now on" in ended.stderr
    assert "backup.tar" not in ended.stdout


@pytest.mark.parametrize("named", ["link", "link/folder"])
def test_what_is_named_by_a_link_is_not_saved_without_what_is_behind_it(
    rear: Rear, tmp_path: Path, tree: Path, named: str
) -> None:
    """Of the first only the link was saved. Nothing could be restored of the second, as the link was there as well."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(tree)
    ended = rear("mkbackuponly", conf=f"BACKUP_PROG_INCLUDE=( {top} {top}/{named} )\n")
    assert ended.returncode == 2, ended.stderr
    assert f"BACKUP_PROG_INCLUDE names {top}/{named}, which leads over a link to {tree}" in ended.stderr
    assert rear("mkbackuponly", conf=f"BACKUP_PROG_INCLUDE=( {top} {tree} )\n").returncode == 0


def test_a_folder_of_which_all_is_left_out_is_no_success(rear: Rear, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "file").write_text("text")
    ended = rear("mkbackuponly", conf=f"BACKUP_URL=file://{folder}\nBACKUP_PROG_INCLUDE=( {tmp_path}/data {folder} )\n")
    assert ended.returncode == 1, ended.stderr
    assert f"nothing in {folder} can be saved: rear leaves out {folder}/*" in ended.stderr
    assert not list(tmp_path.glob("*/web1/*"))


def test_a_backup_is_checked_where_it_is_kept(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "backups" in path.parts}
    ended = rear("checkbackup")
    assert ended.returncode == 0, ended.stderr
    assert "complete and authentic" in ended.stderr
    (archive,) = (tmp_path / "backups").rglob("backup.tar*")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    flip(archive)
    ended = rear("checkbackup")
    assert ended.returncode == 3
    assert "is damaged: its checksum is wrong" in ended.stderr


def test_a_place_that_is_not_there_has_no_empty_list(rear: Rear, tmp_path: Path) -> None:
    ended = rear("backup", "list", conf=f"BACKUP_URL=file://{tmp_path}/absent\n")
    assert ended.returncode == 3
    assert "absent: there is no such folder" in ended.stderr and "mount its disk" in ended.stderr


def test_restoring_over_a_running_machine_is_refused(rear: Rear) -> None:
    ended = rear("restoreonly")
    assert ended.returncode == 3
    assert "this is not the rescue system" in ended.stderr


def test_steps_are_listed_without_making_media(rear: Rear) -> None:
    listed = rear("-s", "mkbackuponly").stdout
    assert "Save the files  [backup NFS]" in listed
    assert "ISO" not in listed
    assert {line.split()[0] for line in listed.splitlines()} <= {"prep", "analyse_dr", "backup", "cleanup"}
    assert [line.split()[0] for line in rear("-s", "recover", "--demo", "/tmp/x").stdout.splitlines()] == [
        "verify", "verify", "verify", "restore", "restore", "restore", "restore",
    ]  # fmt: skip


def after(*commands: str) -> list[str]:
    """Starts a program after these commands, whose mounts it alone sees."""
    script = "".join(f"{command} && " for command in commands) + 'exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh"]


@pytest.fixture
def disk(loop: Callable[..., str]) -> Callable[[str], str]:
    """Makes a disk with an ext4 file system."""

    def make(name: str) -> str:
        device = loop(name, 64)
        subprocess.run(["mkfs.ext4", "-q", device], check=True)
        return device

    return make


# Where BACKUP_URL leads to the disk of /boot, with what was done before.
DOOMED: dict[str, tuple[str, list[str]]] = {
    "a folder": ("file:///boot/backups", []),
    "in capitals": ("FILE:///boot//backups", []),
    "a disk": ("usb://{}", []),
    "a disk, in capitals after a blank": (" USB://{}", []),
    "a link in the place of the machine's folder": ("file:///mnt", ["ln -s /boot/backups /mnt/web1"]),
    "a bind mount": ("file:///mnt/b", ["mkdir /mnt/b", "mount --bind /boot/backups /mnt/b"]),
    "below a mount that covers another": (
        "file:///mnt/a/b",
        ["mkdir -p /mnt/a/b /boot/b", "mount -t tmpfs tmpfs /mnt/a/b", "mount --bind /boot /mnt/a"],
    ),
    "an image in a file": (
        "file:///mnt", ["truncate -s 20M /boot/image", "mkfs.ext4 -q /boot/image", "mount -o loop /boot/image /mnt"],
    ),
    "an overlay": (
        "file:///mnt",
        [
            "mkdir /boot/u /boot/w",
            "mount -t overlay overlay -o lowerdir=/boot/backups,upperdir=/boot/u,workdir=/boot/w /mnt",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", DOOMED)
def test_a_backup_on_a_disk_of_the_system_is_refused(rear: Rear, disk: Callable[[str], str], place: str) -> None:
    device = disk("system")
    url, commands = DOOMED[place]
    before = after(f"mount {device} /boot", "mkdir -p /boot/backups", "mount -t tmpfs tmpfs /mnt", *commands)
    conf = f"INCLUDE_DEVICES=( {device} )\nBACKUP_URL='{url.format(device)}'\n"
    ended = rear("mkbackuponly", conf=conf, before=before)
    assert ended.returncode == 3, ended.stderr
    assert f"lies on disk {device}, which a recovery of this machine erases" in ended.stderr
    assert "BACKUP_ALLOW_SYSTEM_DISK=yes" in ended.stderr


@pytest.mark.parametrize("place", [*DOOMED, "elsewhere"])
def test_the_mount_that_holds_the_backups_is_noted_by_whatever_way_the_url_leads_there(
    rear: Rear, disk: Callable[[str], str], tmp_path: Path, place: str
) -> None:
    """A recovery has none of these links and mounts, and perhaps another BACKUP_URL."""
    held, other = disk("held"), disk("other")
    url, commands = DOOMED.get(place, (f"file://{tmp_path}/backups", []))
    mounts = f"mount {held} /srv", f"mount {other} /opt", "mkdir -p /srv/backups", "mount -t tmpfs tmpfs /mnt"
    before = after(*mounts, *(command.replace("/boot", "/srv") for command in commands))
    conf = f"INCLUDE_DEVICES=( {held} {other} )\nBACKUP_URL='{url.format(held).replace('/boot', '/srv')}'\n"
    ended = rear("savelayout", conf=conf, before=before)
    assert ended.returncode == 0, ended.stderr
    items = json.loads((tmp_path / "etc/recovery/layout.json").read_text())["items"]
    noted = [item["target"] for item in items if item.get("holds_backups")]
    assert noted == ([] if place == "elsewhere" else ["/srv"])


def test_a_backup_that_is_copied_elsewhere_may_be_on_any_disk(rear: Rear, disk: Callable[[str], str]) -> None:
    device = disk("system")
    conf = f"INCLUDE_DEVICES=( {device} )\nBACKUP_URL=file:///boot\nBACKUP_ALLOW_SYSTEM_DISK=yes\n"
    ended = rear("mkbackuponly", conf=conf, before=after(f"mount {device} /boot"))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("url", ["usb://{}", "file:///mnt/private/backups"])
def test_a_backup_does_not_save_itself(rear: Rear, disk: Callable[[str], str], tmp_path: Path, url: str) -> None:
    """Its disk is mounted twice, and saved where the backup is not written to."""
    own = disk("own")
    # More than what is not even looked at.
    before = after(
        "mount -t tmpfs tmpfs /mnt", "mkdir /mnt/saved /mnt/private", f"mount {own} /mnt/saved",
        "mkdir -p /mnt/saved/backups /mnt/saved/rear", "mount --bind /mnt/saved /mnt/private",
    )  # fmt: skip
    conf = f"BACKUP_URL={url.format(own)}\nBACKUP_PROG_INCLUDE=( /mnt/saved {tmp_path}/data )\n"
    for _ in range(3):
        ended = rear("mkbackuponly", conf=conf, before=before)
        assert ended.returncode == 0, ended.stderr
    assert "Saved 8 files, 4.9 MiB" in ended.stderr, ended.stderr


@pytest.mark.parametrize("url", ["file:///mnt/backups", "usb://{}"])
def test_a_disk_of_its_own_is_a_good_place(rear: Rear, disk: Callable[[str], str], url: str) -> None:
    system, own = disk("system"), disk("own")
    before = after(f"mount {system} /boot", f"mount {own} /mnt", "mkdir /mnt/backups")
    conf = f"INCLUDE_DEVICES=( {system} {own} )\nBACKUP_URL='{url.format(own)}'\n"
    ended = rear("mkbackuponly", conf=conf, before=before)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("line", ["LABEL=BACKUP {}/backup ext4 noauto 0 0", "/dev/sdx1 {}/link xfs defaults 0 0"])
def test_a_folder_whose_disk_is_not_mounted_is_refused(rear: Rear, tmp_path: Path, line: str) -> None:
    fstab, place = tmp_path / "fstab", tmp_path / "srv" / "backup" / "web"
    place.mkdir(parents=True)
    (tmp_path / "srv" / "link").symlink_to("backup")
    fstab.write_text(line.format(tmp_path / "srv") + "\n")
    conf, with_fstab = f"BACKUP_URL=file://{place}\n", f"mount --bind {fstab} /etc/fstab"
    ended = rear("mkbackuponly", conf=conf, before=after(with_fstab))
    assert ended.returncode == 3, ended.stderr
    assert f"is not mounted on {tmp_path}/srv/" in ended.stderr
    assert not any(place.iterdir())
    mounting = f"mount -t tmpfs tmpfs {place.parent}"
    ended = rear("mkbackuponly", conf=conf, before=after(with_fstab, mounting, f"mkdir {place}"))
    assert ended.returncode == 0, ended.stderr


def listed(rear: Rear) -> list[dict[str, str]]:
    """What `rear backup list --json` prints."""
    ended = rear("backup", "list", "--json")
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, str]] = json.loads(ended.stdout)
    return found


def test_backups_are_listed_with_what_is_known_of_each(rear: Rear, tmp_path: Path) -> None:
    ended = rear("backup", "list")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "BACKUP=NFS has no backup of this machine" in ended.stderr
    assert rear("mkbackuponly").returncode == rear("mkbackuponly", conf="BACKUP_READ_BACK=no\n").returncode == 0
    first, second = listed(rear)
    assert first["name"] < second["name"] and first["method"] == "NFS"
    assert {first["state"], first["signed"], second["state"], second["signed"]} == {"complete", "yes"}
    assert first["checked"] >= first["name"] and second["checked"] == ""
    assert int(first["size"]) > 5_000_000 and int(first["files"]) == 4
    assert rear("backup", "check").returncode == 0
    assert listed(rear)[1]["checked"]

    os.truncate(tmp_path / "backups/web1" / first["name"] / "backup.tar.zst", 1000)
    (tmp_path / "backups/web1" / second["name"] / "manifest.json").write_text("{")
    lines = rear("backup", "list").stdout.splitlines()
    assert lines[0].split() == ["DATE", "SIZE", "FILES", "SIGNED", "CHECKED", "STATE"]
    states = {line.split()[0]: line for line in lines[1:]}
    assert "its archive has 1000 bytes, not" in states[first["name"]]
    assert "the manifest is damaged" in states[second["name"]]


def test_chosen_files_are_restored_from_the_backup_of_a_date(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    (first,) = listed(rear)
    (tree / "folder" / "file").write_text("changed")
    (tree / "folder" / "[odd] *\n").write_text("odd")
    assert rear("mkbackuponly").returncode == 0

    ended = rear("backup", "restore", "--to", f"{tmp_path}/new", f"{tree}/folder")
    assert ended.returncode == 0, ended.stderr
    restored = Path(f"{tmp_path}/new{tree}")
    assert {path.name for path in restored.iterdir()} == {"folder"}
    assert (restored / "folder" / "file").read_text() == "changed"
    assert (restored / "folder" / "[odd] *\n").read_text() == "odd"

    words = (first["name"], f"/{tree}/folder/../folder/file", f"{tree}/noise")
    ended = rear("backup", "restore", *words, "--to", f"{tmp_path}/old")
    assert ended.returncode == 0, ended.stderr
    assert "Restored 2 files, to" in ended.stderr
    assert Path(f"{tmp_path}/old{tree}/folder/file").read_text() == "text"
    assert Path(f"{tmp_path}/old{tree}/noise").read_bytes() == (tree / "noise").read_bytes()


def test_a_file_that_no_backup_has_is_named_and_all_others_come(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    ended = rear("backup", "restore", f"{tree}/nothing", f"{tree}/noise", f"{tree}/fold*", "--to", f"{tmp_path}/some")
    assert ended.returncode == 1, ended.stderr
    assert f"2 files were not restored, the first is .{tree}/nothing: Not found in archive" in ended.stderr
    assert [path.name for path in Path(f"{tmp_path}/some{tree}").iterdir()] == ["noise"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["/", "--to", "new"], 2, "`rear recover --demo DIR` restores all files"),
        (["2026", "--to", "new"], 2, "say which files to restore"),
        (["2026", "etc/fstab", "--to", "new"], 2, "say which files to restore"),
        (["2026-99", "/etc", "--to", "new"], 2, "is not a valid date"),
        (["2026", "/etc", "--to", "new"], 3, "there is no backup"),
        (["/etc", "--to", "/usr"], 3, "/usr is not an empty folder"),
        (["/etc"], 2, "--to"),
    ],
)
def test_a_restore_of_files_that_cannot_be_is_refused(rear: Rear, words: list[str], status: int, said: str) -> None:
    ended = rear("backup", "restore", *words)
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr


def test_a_damaged_archive_gives_back_no_single_file(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    (archive,) = (tmp_path / "backups" / "web1").glob("*/backup.tar.zst")
    flip(archive)
    ended = rear("backup", "restore", f"{tree}/folder", "--to", f"{tmp_path}/new")
    assert ended.returncode == 3, ended.stderr
    assert not (tmp_path / "new").exists()


def test_a_backup_is_removed_by_its_full_name_and_only_when_somebody_agrees(
    rear: Rear, tmp_path: Path, typed: Typed
) -> None:
    assert rear("mkbackuponly").returncode == rear("mkbackuponly").returncode == 0
    first, second = (found["name"] for found in listed(rear))
    ended = rear("backup", "forget", first)
    assert ended.returncode == 3
    assert "only if somebody agrees at a terminal" in ended.stderr
    for name, answer, status, said in (
        (first[:10], "yes", 3, "there is no backup"),
        (first, "no", 3, "the backup stays"),
        (first, "", 3, "the backup stays"),
        (first, "quit", 130, "nothing was removed"),
    ):
        ended_with, shown = typed(answer, "backup", "forget", name)
        assert ended_with == status, shown
        assert said in shown
        assert len(listed(rear)) == 2
    ended_with, shown = typed("yes", "backup", "forget", first)
    assert ended_with == 0, shown
    assert [found["name"] for found in listed(rear)] == [second]
    assert "no other complete backup" in typed("no", "backup", "forget", second)[1]
    assert {path.name for path in (tmp_path / "backups/web1").iterdir()} == {second}


def test_completion_offers_the_backups_that_were_there(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly").returncode == 0
    (found,) = listed(rear)
    for words in ("rear -c {} backup check ", "rear -c {} recover --backup "):
        line = words.format(tmp_path / "etc")
        env = {"_REAR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()))}
        assert found["name"] in rear(before=["env", *(f"{name}={value}" for name, value in env.items())]).stdout


def test_only_what_rear_itself_has_cached_is_left_out(rear: Rear, tmp_path: Path, tree: Path) -> None:
    (tree / "folder" / "modules-1.cpio").write_text("segment")
    (tree / "folder" / "restic").mkdir()
    (tree / "folder" / "restic" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    assert rear("mkbackuponly", conf=f"CACHE_DIR={tree}/folder\n").returncode == 0
    assert rear("recover", "--demo", str(tmp_path / "demo")).returncode == 0
    came = Path(f"{tmp_path}/demo{tree}/folder").rglob("*")
    assert [path.name for path in came if path.is_file()] == ["file"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, servers.Sshd]]:
    """The configuration for a place on an ssh server, the folder there, and the server."""
    folder, work = tmp_path / "on the server", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    with servers.sshd(work) as running:
        url = f"sshfs://127.0.0.1:{running.port}{folder}".replace(" ", "%20")
        yield f"BACKUP_URL={url}\nBACKUP_OPTIONS={running.options}\nBACKUP_KEEP=1\n", folder, running


def test_backups_behind_an_ssh_server_are_made_listed_restored_and_replaced(
    rear: Rear, tmp_path: Path, tree: Path, server: tuple[str, Path, servers.Sshd]
) -> None:
    conf, folder, _ = server
    for _ in range(2):
        ended = rear("mkbackuponly", conf=conf)
        assert ended.returncode == 0, ended.stderr
    assert rear("backup", "list", conf=conf).stdout.count("complete") == 1
    ended = rear("recover", "--demo", str(tmp_path / "demo"), conf=conf)
    assert ended.returncode == 0, ended.stderr
    assert Path(f"{tmp_path}/demo{tree}/noise").read_bytes() == (tree / "noise").read_bytes()
    (generation,) = (folder / "web1").iterdir()
    assert generation.stat().st_mode & 0o77 == 0
    assert "fuse.sshfs" not in Path("/proc/mounts").read_text()
    assert not list(tmp_path.glob("rear.*"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("IdentityFile=", "IdentityFile=/nonexistent"), "Permission denied"),
        (("UserKnownHostsFile=", "UserKnownHostsFile=/nonexistent"), "Host key verification failed"),
        pytest.param(("%20server", "%20moon"), "No such file or directory", marks=pytest.mark.long),
        pytest.param(("sshfs://127.0.0.1:", "sshfs://127.0.0.1:1/"), "Connection refused", marks=pytest.mark.long),
    ],
    ids=["key", "server", "folder", "port"],
)
def test_an_ssh_server_that_does_not_let_one_in_is_named_with_its_reason(
    rear: Rear, server: tuple[str, Path, servers.Sshd], changed: tuple[str, str], said: str
) -> None:
    conf, folder, _ = server
    ended = rear("mkbackuponly", conf=conf.replace(*changed, 1))
    assert ended.returncode == 3, ended.stderr
    assert "cannot mount sshfs://127.0.0." in ended.stderr and said in ended.stderr
    assert not list(folder.iterdir())


def test_an_ssh_server_that_dies_ends_the_backup_and_leaves_the_old_one(
    rear: Rear, command: Callable[[str], list[str]], tree: Path, server: tuple[str, Path, servers.Sshd]
) -> None:
    conf, folder, running_server = server
    assert rear("mkbackuponly", conf=conf).returncode == 0
    (before,) = folder.glob("web1/*Z")
    (tree / "more").write_bytes(os.urandom(150_000_000))
    with subprocess.Popen(
        [*command(conf), "mkbackuponly"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        while not any(path.stat().st_size > 1 << 20 for path in folder.glob("web1/*.partial/backup*")):
            assert running.poll() is None
            time.sleep(0.01)
        running_server.drop()
        said = running.communicate(timeout=120)[1]
    assert running.returncode == 1, said
    assert "cannot write" in said and "fault of rear" not in said, said
    assert list(folder.glob("web1/*Z")) == [before]
