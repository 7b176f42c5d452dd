# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a LUKS volume is kept with an encrypted backup, and comes back with all its keys where it fits."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core import builtin
from rear_core.archive import encryption, headers
from rear_core.archive.manifest import Header, Manifest
from rear_core.archive.repository import FolderRepository, FolderTarget
from rear_core.builtin import recreate
from rear_core.errors import ConfigurationError, Refused
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import evaluate
from rear_core.settings.files import load
from rear_core.settings.shared import LUKS_HEADER_BACKUP
from rear_core.shell import Shell
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.execute import execute
from rear_core.storage.layout import make
from rear_core.storage.plan import Plan, commands, with_headers
from rear_core.storage.survey import Survey
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.luks.capture import described

pytestmark = pytest.mark.root

WORDS = ("the first words", "the second words")
NAME = "2026-11-22T183000Z"
MakeLoop = Callable[..., str]


def cryptsetup(*argv: str, word: str) -> int:
    return subprocess.run(["cryptsetup", *argv], input=word.encode(), capture_output=True).returncode


def opens(device: str, word: str) -> bool:
    return cryptsetup("open", "--test-passphrase", "--key-file=-", device, word=word) == 0


def volume(device: str, kind: str, folder: Path) -> Luks:
    """A volume with two passphrases, as it is described."""
    options = ["--type", kind, "--pbkdf-force-iterations=1000", *(["--pbkdf=pbkdf2"] if kind == "luks2" else [])]
    assert cryptsetup("luksFormat", "--batch-mode", *options, "--key-file=-", device, word=WORDS[0]) == 0
    (folder / "more").write_text(WORDS[1])
    more = ["--pbkdf-force-iterations=1000", "--key-file=-", device, str(folder / "more")]
    assert cryptsetup("luksAddKey", "--batch-mode", *options[3:], *more, word=WORDS[0]) == 0
    return described(Survey(Shell(), {}, [], [], print), device, {"needs": ("disk:1",)})


def run_of(folder: Path, conf: str = "") -> Run:
    (folder / "etc").mkdir(exist_ok=True)
    text = f"BACKUP_PREFIX=web1\nLUKS_HEADER_BACKUP=yes\nVAR_DIR={folder}/var\n{conf}"
    (folder / "etc/local.conf").write_text(text)
    plugins = Plugins(builtin.modules())
    declared = [*plugins.call("rear_settings"), LUKS_HEADER_BACKUP]
    settings = evaluate(load(folder / "etc", ["local.conf"]), declared, {})
    return Run(settings, plugins, Options(config_dir=folder / "etc", unattended=True), Report(terminal=io.StringIO()))


class Kept:
    """A volume whose header was kept with a backup, and a recovery of it to another device."""

    def __init__(self, folder: Path, loop: MakeLoop, kind: str) -> None:
        old, self.new = loop("old", 24), loop("new", 24)
        self.item = volume(old, kind, folder)
        self.keys = encryption.new("some words of a backup", 1 << 10)[1]
        self.place = folder / "backups/web1" / NAME
        self.place.mkdir(parents=True)
        run = run_of(folder)
        run.layout = make([Disk("disk:1", (), 24 << 20, old), self.item])
        with (folder / "archive").open("wb") as file:
            self.made = headers.save(run, FolderTarget(NAME, 1, self.place, file, None), self.keys)
        self.folder = folder

    def recovery(
        self, item: Luks | None = None, size: int = 24 << 20, made: tuple[Header, ...] | None = None, conf: str = ""
    ) -> Run:
        """A run that has looked at the backup."""
        run = run_of(self.folder, conf)
        item = item or self.item
        site = Site(make([Disk("disk:1", (), size, self.new), item]), {"disk:1": self.new})
        run.plan = Plan(site, {"disk:1": self.new}, build=tuple(commands(site, CORE_KINDS, lambda it: it is item)))
        found = Manifest(
            NAME, "web1", "backup.tar.enc", 0, "", "none", 0, 0, headers=self.made if made is None else made
        )
        headers.load(run, FolderRepository(run, self.folder / "backups"), NAME, found, self.keys)
        return run


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_all_its_passphrases_open_the_recovered_volume(tmp_path: Path, loop: MakeLoop, kind: str) -> None:
    kept = Kept(tmp_path, loop, kind)
    (header,) = kept.made
    assert header.live == "key slots 0 1"
    assert header.file == f"header-luks-{kept.item.uuid}-key-slots-0-1.enc"
    saved = kept.place / header.file
    assert saved.stat().st_mode & 0o777 == 0o600 and b"LUKS" not in saved.read_bytes()[:4096]
    run = kept.recovery()
    assert run.plan is not None
    with run.undo:
        path = run.headers[kept.item.id]
        assert path.stat().st_mode & 0o777 == 0o600
        execute(run.sh, with_headers(run.plan, run.headers, CORE_KINDS).build)
    assert not path.exists()
    assert all(opens(kept.new, word) for word in WORDS)
    assert described(Survey(Shell(), {}, [], [], print), kept.new, {"needs": ("disk:1",)}) == kept.item


def test_a_passphrase_of_the_old_header_is_wanted_before_anything_is_written(tmp_path: Path, loop: MakeLoop) -> None:
    kept = Kept(tmp_path, loop, "luks2")
    item = replace(kept.item, name="vault")
    run = kept.recovery(item, conf="LUKS_PASSPHRASE='neither of them'\n")
    with run.undo, pytest.raises(Refused, match="LUKS_PASSPHRASE does not open it") as refused:
        recreate.get_passphrases(run)
    assert "LUKS_HEADER_BACKUP=no" in refused.value.hint
    run = kept.recovery(item, conf=f"LUKS_PASSPHRASE='{WORDS[1]}'\n")
    with run.undo:
        recreate.get_passphrases(run)
        # Where what an earlier run has built turns out to be of no use, they are got once more.
        recreate.get_passphrases(run)
        assert run.passphrases == {kept.item.id: WORDS[1]}
        assert run.plan is not None and [command.argv[1] for command in run.plan.build] == ["luksHeaderRestore", "open"]


def test_one_that_does_not_fit_is_named_and_the_volume_gets_a_new_one(tmp_path: Path, loop: MakeLoop) -> None:
    kept = Kept(tmp_path, loop, "luks2")

    def reason(run: Run) -> str:
        assert run.headers == {}
        return run.report.warnings[0]

    assert "its offset is 16777216, that of the volume" in reason(kept.recovery(replace(kept.item, offset=1 << 20)))
    assert "the volume needs more than 16777216 bytes" in reason(kept.recovery(size=16 << 20))
    assert "the backup has none" in reason(kept.recovery(made=()))
    path = kept.place / kept.made[0].file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "it was changed, or is damaged" in reason(kept.recovery())
    path.unlink()
    assert "No such file" in reason(kept.recovery())


def test_without_encryption_it_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"LUKS_HEADER_BACKUP .* not encrypted") as refused:
        headers.check(run_of(tmp_path), encrypted=False)
    assert "BACKUP_KEY_FILE" in refused.value.hint
