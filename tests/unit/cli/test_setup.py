# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rear setup` asks, refuses to take for an answer, shows and writes."""

from __future__ import annotations

import io
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rear_backup_nfs
import rear_backup_restic
import rear_output_iso
from rear_core import Ask, Refused, SecretFile, SecretLine, Setting, builtin, hookimpl
from rear_core.cli import setup, setup_asking, setup_writing
from rear_core.cli.session import read_sources
from rear_core.cli.setup_asking import Answers, ask_all
from rear_core.errors import Absent, Interrupted
from rear_core.plugins import Found, Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.system.os_release import read_os_release

URL = "nfs://nas/backup"
Type = Callable[..., list[str]]


def made(*modules: object, conf: str = "") -> Run:
    """A run with these plugins, and this configuration."""
    plugins = Plugins(builtin.modules())
    for module in modules:
        name = getattr(module, "__name__", "acme")
        plugins.take(Found("backup", name, name, "rear-backup-one", "1", module=module))  # type: ignore[arg-type]
    settings = evaluate(Sources(assignments=tuple(parse(conf, "local.conf"))), plugins.settings(), {})
    return Run(settings, plugins, report=Report(terminal=io.StringIO()))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types these lines, one for each question; returns the questions. After the last line the terminal is closed."""

    def answers(*lines: str) -> list[str]:
        left: Iterator[str] = iter(lines)
        asked: list[str] = []

        def line(_run: Run, question: str, *, secret: bool = False) -> str:
            asked.append(question)
            try:
                return next(left)
            except StopIteration:
                raise Interrupted("the input ended before an answer") from None

        monkeypatch.setattr("rear_core.questions._line", line)
        return asked

    return answers


def asked(run: Run, folder: Path, before: Answers | None = None) -> Answers:
    answers = before or Answers()
    ask_all(run, run.plugins.call("rear_setup"), answers, folder)
    return answers


def test_a_place_is_needed_and_has_to_be_one(typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = typed("", "nas:/backup", "http://nas/backup", f"{URL} ", "")
    answers = asked(made(rear_backup_nfs), tmp_path)
    assert answers.typed == {"BACKUP_URL": URL, "BACKUP_KEY_FILE": ""}
    assert [question.split()[0] for question in questions] == ["BACKUP_URL:"] * 4 + ["BACKUP_KEY_FILE"]
    said = capsys.readouterr().err
    assert "needs an answer" in said and "BACKUP_URL is 'nas:/backup'" in said
    assert "http:// is not supported" in said


def test_a_passphrase_is_typed_twice_and_lands_in_a_file(
    typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(URL, "new", "short", "several words 1", "several words 2", "several words 1", "several words 1")
    answers = asked(made(rear_backup_nfs), tmp_path)
    path = tmp_path / "backup.key"
    assert answers.typed["BACKUP_KEY_FILE"] == str(path) and answers.files == {path: "several words 1\n"}
    assert not path.exists() and "several" not in repr(answers)
    said = capsys.readouterr().err
    assert "is shorter than" in said and "not the same" in said and "several words" not in said


def test_a_share_with_a_password_is_asked_for_it(typed: Type, tmp_path: Path) -> None:
    typed("cifs://nas/backup", "new", "ada", "secret", "secret", "", "none")
    answers = asked(made(rear_backup_nfs), tmp_path)
    assert answers.files == {tmp_path / "cifs.credentials": "username=ada\npassword=secret\n"}


def test_what_was_answered_before_is_what_enter_takes(typed: Type, tmp_path: Path) -> None:
    typed(URL, "none")
    run = made(rear_backup_nfs)
    first = asked(run, tmp_path)
    first.begin()
    questions = typed("", "")
    assert asked(run, tmp_path, first).typed == {"BACKUP_URL": URL, "BACKUP_KEY_FILE": ""}
    assert questions[0] == f"BACKUP_URL [{URL}]: "
    questions = typed("", "")
    asked(made(rear_backup_nfs, conf="BACKUP_URL=nfs://old/x\n"), tmp_path)
    assert questions[0] == "BACKUP_URL [nfs://old/x]: "


def test_a_question_depends_on_the_answers_before(typed: Type, tmp_path: Path) -> None:
    questions = typed("sftp:ada@nas:/restic", "new", "password", "password")
    answers = asked(made(rear_backup_restic), tmp_path)
    assert "BACKUP_URL" not in answers.typed and len(questions) == 4
    typed("s3:https://s3/bucket", "AWS_ACCESS_KEY_ID=1 AWS_SECRET_ACCESS_KEY='2 3'", "new", "password", "password")
    run = made(rear_backup_restic)
    answers = asked(run, tmp_path)
    text = setup_writing.part(run, run, answers)
    assert "RESTIC_ENVIRONMENT=( 'AWS_ACCESS_KEY_ID=1' 'AWS_SECRET_ACCESS_KEY=2 3' )" in text
    assert "AWS" not in run.report.masked(text)


def test_what_is_not_asked_any_more_gives_way(typed: Type, tmp_path: Path) -> None:
    conf = "BACKUP=RESTIC\nBACKUP_URL=nfs://old/backup\n"
    run = made(rear_backup_restic, conf=conf)
    typed("sftp:ada@nas:/restic", "new", "password", "password")
    answers = asked(run, tmp_path)
    assert '\nBACKUP_URL=""\n' in setup_writing.part(run, run, answers)
    answers.begin()
    questions = typed("none", URL, f"{tmp_path}/restic.password")
    asked(run, tmp_path, answers)
    assert questions[1] == "BACKUP_URL [nfs://old/backup]: "
    text = setup_writing.part(run, run, answers)
    assert f"\nBACKUP_URL={URL}\n" in text and "RESTIC_REPOSITORY" not in text and "ENVIRONMENT" not in text


@pytest.mark.parametrize("secret", ['it\'s "so" $ecret', "b\\ck`s", "plain-word", "tw'o $words"])
def test_a_secret_is_not_shown_in_any_quotes(typed: Type, tmp_path: Path, secret: str) -> None:
    run = made(rear_backup_restic)
    run.options = Options(config_dir=tmp_path)
    typed("s3:https://s3/bucket", shlex.join([f"AWS_SECRET_ACCESS_KEY={secret}"]), "new", "password", "password")
    written = setup_writing.proposed(run, run, asked(run, tmp_path))
    assert "AWS_SECRET_ACCESS_KEY" in written.text
    shown = "\n".join(written.shown())
    assert "RESTIC_ENVIRONMENT=..." in shown and secret not in shown and shlex.quote(secret) not in shown
    assert "AWS" not in run.report.masked(written.text)


@pytest.mark.parametrize("line", ["nfs://nas/\x1b[2J", "nfs://nas/'\x07"])
def test_control_characters_are_no_answer(
    typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    typed(line, URL, "none")
    assert asked(made(rear_backup_nfs), tmp_path).typed["BACKUP_URL"] == URL
    assert "\x1b" not in capsys.readouterr().err


class Acme:
    """A plugin of somebody else."""

    @hookimpl
    def rear_settings(self) -> list[Setting]:
        return [
            Setting("ACME_WORDS", list, help="x"), Setting("ACME_ON", bool, help="x"),
            Setting("ACME_MODE", choices=("a", "b"), help="x"), Setting("ACME_KEY", help="x"),
        ]  # fmt: skip

    @hookimpl
    def rear_setup(self) -> list[Ask]:
        key = SecretFile("acme.key", (SecretLine("Key", "key="), SecretLine("Realm", "realm=", shown=True)))
        return [
            Ask("ACME_WORDS", "Words", lambda run: f"{len(run.plugins.active)} 'x y'"), Ask("ACME_ON", "On", "yes"),
            Ask("ACME_MODE", "Mode"), Ask("ACME_KEY", "Key", needed=True, file=key),
        ]  # fmt: skip


def test_a_plugin_of_somebody_else_is_asked_for_by_its_own_hook(
    typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = type("Module", (), {})()
    acme = Acme()
    plugin.rear_settings, plugin.rear_setup = acme.rear_settings, acme.rear_setup
    run = made(plugin)
    typed("'unfinished", "", "sure", "no", "c", "b", "", "k", "k", "r")
    answers = asked(run, tmp_path)
    assert answers.files == {tmp_path / "acme.key": "key=k\nrealm=r\n"}
    lines = setup_writing.part(run, run, answers).splitlines()[1:-1]
    words = f"( {len(run.plugins.active)} 'x y' )"
    assert lines == [f"ACME_WORDS={words}", "ACME_ON=no", "ACME_MODE=b", f"ACME_KEY={tmp_path}/acme.key"]
    said = capsys.readouterr().err
    assert "No closing quotation" in said and "not one of the choices" in said


def test_the_closed_terminal_ends_it_at_each_question(typed: Type, tmp_path: Path) -> None:
    lines = ["cifs://nas/backup", "new", "ada", "secret", "secret", "", "new", "several words 1", "several words 1"]
    for number in range(len(lines)):
        typed(*lines[:number])
        with pytest.raises(Interrupted):
            asked(made(rear_backup_nfs), tmp_path)
    assert [*tmp_path.iterdir()] == []


def proposal(folder: Path, **answered: str) -> setup_writing.Written:
    run = made(rear_backup_nfs, rear_output_iso)
    run.options = Options(config_dir=folder)
    files = {folder / "backup.key": "several words 1\n"} if "BACKUP_KEY_FILE" in answered else {}
    return setup_writing.proposed(run, run, Answers({"OUTPUT": "ISO", "BACKUP": "NFS", **answered}, files=files))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o700)
    return folder


def test_a_first_configuration_is_for_root_alone_with_its_secrets(etc: Path) -> None:
    written = proposal(etc, BACKUP_URL=URL, BACKUP_KEY_FILE=str(etc / "backup.key"))
    assert not any(etc.iterdir()) and "several" not in repr(written) + "\n".join(written.shown())
    written.write()
    assert (etc / "local.conf").read_text().splitlines()[1:-1] == [
        "OUTPUT=ISO", "BACKUP=NFS", f"BACKUP_URL={URL}", f"BACKUP_KEY_FILE={etc}/backup.key",
    ]  # fmt: skip
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in etc.iterdir()} == {
        "local.conf": 0o600, "backup.key": 0o600,
    }  # fmt: skip
    assert not proposal(etc, BACKUP_URL=URL, BACKUP_KEY_FILE="").files


def test_what_somebody_has_written_stays_and_the_old_file_is_kept(etc: Path) -> None:
    conf = etc / "local.conf"
    conf.write_text("# ours\nEXCLUDE_DEVICES=( /dev/sdz )\n")
    conf.chmod(0o640)
    for number, url in enumerate(("nfs://a/x", "nfs://b/x")):
        before = conf.read_text()
        written = proposal(etc, BACKUP_URL=url)
        assert f"  +BACKUP_URL={url}" in [*written.shown()]
        written.write()
        text = conf.read_text()
        assert text.startswith("# ours\nEXCLUDE_DEVICES=( /dev/sdz )\n") and text.count("BACKUP_URL") == 1
        assert before in [path.read_text() for path in etc.glob("local.conf.*")]
        assert len([*etc.glob("local.conf.*")]) == number + 1
    assert stat.S_IMODE(conf.stat().st_mode) == 0o640
    assert not proposal(etc, BACKUP_URL="nfs://b/x").changes


def test_a_configuration_that_gets_a_secret_is_for_root_alone(etc: Path) -> None:
    (etc / "local.conf").write_text("# ours\n")
    (etc / "local.conf").chmod(0o644)
    proposal(etc, BACKUP_URL=URL, BACKUP_KEY="several words 1").write()
    assert {stat.S_IMODE(path.stat().st_mode) for path in etc.iterdir()} == {0o600}


def test_lines_of_somebody_are_not_shown_and_never_taken_for_a_part(etc: Path) -> None:
    conf, begin, end = etc / "local.conf", setup_writing.BEGIN, setup_writing.END
    hand = f"{begin}\nOUTPUT=ISO\nTOKEN='a secret\nof two lines'\n"
    conf.write_text(f"{hand}{begin}\nBACKUP_PASS=hushed\n# KEY=hushed\n{end}\nLAST=hushed\n")
    written = proposal(etc, BACKUP_URL=URL)
    assert written.text.startswith(f"{hand}LAST=hushed\n{begin}\n")
    shown = "\n".join(written.shown())
    assert "hushed" not in shown and "secret" not in shown and "lines'" not in shown
    assert "  -BACKUP_PASS=..." in shown and f"  +BACKUP_URL={URL}" in shown


def test_a_link_to_the_configuration_stays_one(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/local.conf").write_text("")
    (etc / "local.conf").symlink_to(tmp_path / "tree/local.conf")
    proposal(etc, BACKUP_URL=URL).write()
    assert (etc / "local.conf").is_symlink() and URL in (tmp_path / "tree/local.conf").read_text()


def test_nothing_is_written_over_what_has_come_meanwhile(etc: Path) -> None:
    written = proposal(etc, BACKUP_URL=URL, BACKUP_KEY_FILE=str(etc / "backup.key"))
    (etc / "local.conf").write_text("OUTPUT=USB\n")
    with pytest.raises(Refused, match="changed meanwhile"):
        written.write()
    os.unlink(etc / "local.conf")
    (etc / "backup.key").write_text("theirs")
    with pytest.raises(Refused, match="is there by now"):
        written.write()
    assert {path.name: path.read_text() for path in etc.iterdir()} == {"backup.key": "theirs"}


def test_a_file_with_a_secret_that_is_there_is_used_and_never_replaced(
    typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backup.key").write_text("theirs")
    (tmp_path / "backup.key").chmod(0o644)
    typed(URL, "new", "relative", "", "none")
    assert asked(made(rear_backup_nfs), tmp_path).typed["BACKUP_KEY_FILE"] == ""
    said = " ".join(capsys.readouterr().err.split())
    assert "is there already" in said and "no absolute path" in said and "can be read by others" in said


def test_nobody_is_advised_to_change_what_is_no_file_for_secrets(
    typed: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a key").write_text("several words\n")
    (tmp_path / "a key").chmod(0o644)
    typed(URL, "/dev/null", str(tmp_path), str(tmp_path / "a key"), "none")
    asked(made(rear_backup_nfs), tmp_path)
    said = " ".join(capsys.readouterr().err.split())
    assert "/dev/null is a device, where a file should be: name a file;" in said
    assert f"{tmp_path} is a folder, where a file should be: name a file;" in said
    assert "chmod 600 /" not in said and f"chmod 600 '{tmp_path}/a key'" in said


def test_one_method_is_told_by_its_package_with_all_its_names() -> None:
    found = {choice.name: choice for choice in setup_asking.choices(Sources(), "output", "OUTPUT")}
    assert found["ISO"].others == ("CDROM",) and not found["ISO"].problem
    assert found["ISO"].summary.startswith("a rescue ISO")


@pytest.mark.parametrize(("conf", "status"), [("OUTPUT=ISO\nOS_FAMILY=debian\n", 0), ("OUTPUT=NOSUCH\n", 2)])
def test_what_is_offered_is_the_command_itself(
    etc: Path, capsys: pytest.CaptureFixture[str], conf: str, status: int
) -> None:
    (etc / "local.conf").write_text(conf)
    assert setup.perform(Options(config_dir=etc), "config", "check") == status
    told = capsys.readouterr()
    assert "# rear config check\n" in told.err
    assert ("is valid" in told.out) == (not status) and ("ERROR: " in told.err) == bool(status)


def test_only_yes_makes_media(typed: Type) -> None:
    questions = typed("yeah", "no")
    assert setup.make(made(), "as asked") is None
    assert len(questions) == 2


def test_a_machine_with_several_methods_is_left_to_its_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rear_core.questions.is_interactive", lambda _run: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Refused, match=r"several methods \(NFS RESTIC\)"):
        setup.check_terminal(made(conf="BACKUP=( NFS RESTIC )\n"))


def test_a_repository_that_nobody_wants_created_is_told_without_advice_that_cannot_be_followed(
    typed: Type, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (etc / "site.conf").write_text(f"TMPDIR={tmp_path}\nVAR_DIR={tmp_path}\nOS_FAMILY=debian\n")
    run = made(rear_backup_nfs, rear_output_iso)
    run.options = Options(config_dir=etc)
    written = setup_writing.proposed(run, run, Answers({"OUTPUT": "ISO", "BACKUP": "NFS", "BACKUP_URL": URL}))

    def absent(*_: object) -> None:
        raise Absent("there is no repository yet", "restic init --password-file /tmp/rear.1/secrets/password", list)

    for name in ("check", "check_plugins", "check_folders"):
        monkeypatch.setattr(setup, name, absent if name == "check" else lambda *_: None)
    typed("no")
    with pytest.raises(Refused, match="there is no repository yet") as error:
        setup.try_out(run, read_sources(run.options, read_os_release()), written)
    assert "password" not in error.value.hint and not isinstance(error.value, Absent)
