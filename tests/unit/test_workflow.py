# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of all plugins and scripts run in one order, and cleanup runs whatever happens."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from rear_core import builtin
from rear_core.builtin.scripts import (
    RESCUE_PHASES,
    SCRIPT_NAME,
    _proper_name,
    check_scripts,
    copy_skeletons,
    take_scripts,
)
from rear_core.contents import Contents
from rear_core.errors import ConfigurationError, ExitCode, Interrupted, PluginError, Problems, RearError, Refused
from rear_core.hookspecs import hookimpl
from rear_core.plugins import Found, Plugins
from rear_core.report import Report, explain
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.settings.files import load
from rear_core.shell import Shell
from rear_core.step import Step
from rear_core.workflow import WORKFLOWS, execute, notify, plan

WORKFLOW = "savelayout"


def plugin(kind: str, name: str, **hooks: Callable[..., object]) -> Found:
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return Found(kind, name, name, f"rear-{kind}-{name}", "1", module=module)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with the core's settings, without any of its steps."""
    declared = Plugins(builtin.modules()).call("rear_settings")
    local = tmp_path / "rear" / "local.conf"
    local.parent.mkdir()
    local.write_text(f"SHARE_DIR={tmp_path}/share\nTMPDIR={tmp_path}\n")
    settings = evaluate(load(tmp_path / "rear", ["local.conf"]), declared, {})
    report = Report(terminal=io.StringIO())
    run = Run(settings, Plugins([]), Options(config_dir=tmp_path / "rear"), report, Shell(report.log))
    run.build_dir = tmp_path / "build"
    run.rootfs_dir.mkdir(parents=True)
    return run


def fail(run: Run) -> None:
    raise RearError("broken")


def script(run: Run, folder: str, name: str, code: str) -> Path:
    path = run.config_dir / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nset -eu\n{code}\n")
    path.chmod(0o755)
    return path


def test_steps_are_ordered_by_number_then_kind_then_title(run: Run) -> None:
    def steps(*titles: str) -> Callable[[], list[Step]]:
        return lambda: [Step(int(title[:2]), title, print) for title in titles]

    run.plugins.take(plugin("output", "o", rear_analyse_dr=steps("50 output", "10 output")))
    run.plugins.take(plugin("backup", "b", rear_analyse_dr=steps("50 backup b", "50 backup a")))
    run.plugins.take(plugin("os", "s", rear_analyse_dr=steps("50 os")))
    run.plugins.take(plugin("core", "c", rear_analyse_dr=steps("50 core", "90 core")))
    path = script(run, "analyse_dr", "50_mine.sh", "true")
    assert [planned.step.title for planned in plan(run, ["analyse_dr"])] == [
        "10 output",
        "50 core",
        "50 os",
        "50 backup a",
        "50 backup b",
        "50 output",
        str(path),
        "90 core",
    ]


def test_a_phase_is_asked_only_when_it_is_reached(run: Run) -> None:
    def later(run: Run) -> Iterable[Step]:
        return [Step(10, "seen", print)] if run.results else []

    def found(run: Run) -> None:
        run.results.append(Path("something"))

    run.plugins.take(plugin("extra", "e", rear_analyse_dr=lambda: [Step(10, "find", found)], rear_cleanup=later))
    execute(run, WORKFLOW)
    assert [planned.step.title for planned in plan(run, ["cleanup"])] == ["seen"]


def test_cleanup_runs_after_a_failure_and_survives_its_own(run: Run) -> None:
    done: list[str] = []

    run.plugins.take(
        plugin(
            "extra",
            "e",
            rear_analyse_dr=lambda: [Step(10, "fail", fail), Step(20, "never", lambda run: done.append("never"))],
            rear_cleanup=lambda: [Step(10, "fail too", fail), Step(20, "last", lambda run: done.append("last"))],
        )
    )
    with pytest.raises(RearError, match="broken"):
        execute(run, WORKFLOW)
    assert done == ["last"]
    assert run.report.warnings == ["fail too: broken"]


def test_nobody_who_cannot_be_told_of_a_run_fails_it(run: Run) -> None:
    told: list[str] = []

    def odd(run: Run) -> Iterable[Step]:
        raise ValueError("odd")

    steps = [Step(10, "Tell Ada", fail), Step(20, "Tell Bob", lambda run: told.append("Bob"))]
    run.plugins.take(plugin("extra", "messages", rear_notify=lambda: steps))
    notify(run)
    assert (told, run.report.warnings) == (["Bob"], ["Tell Ada: broken"])
    run.plugins.take(plugin("extra", "odd", rear_notify=odd))
    notify(run)
    assert "rear_notify of the plugin extra odd (rear-extra-odd) failed: ValueError: odd" in run.report.warnings[-1]


def test_whatever_fails_in_verify_is_a_reason_not_to_begin(run: Run) -> None:
    run.plugins.take(plugin("extra", "e", rear_verify=lambda: [Step(10, "look", fail)]))
    with pytest.raises(Refused, match="broken"):
        execute(run, "recover")


def test_verify_goes_on_after_a_problem_and_tells_all(run: Run) -> None:
    def refuse(run: Run) -> None:
        raise Refused("no disk", "add one")

    steps = [Step(10, "one", refuse), Step(20, "two", fail), Step(30, "three", lambda run: run.results.append(Path()))]
    run.plugins.take(plugin("extra", "e", rear_verify=lambda: steps, rear_recreate=lambda: [Step(1, "never", print)]))
    with pytest.raises(Problems) as caught:
        execute(run, "recover")
    assert run.results == [Path()]
    assert caught.value.exit_code == ExitCode.REFUSED
    where = "  What to do: see the log: it failed in the step 'two' of extra e"
    assert explain(caught.value).splitlines() == ["ERROR: no disk", "  What to do: add one", "ERROR: broken", where]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RearError("x", "y"), Refused),
        (Refused("x", "y"), Refused),
        (ConfigurationError("x", "y"), ConfigurationError),
        (Interrupted("x", "y"), Interrupted),
    ],
)
def test_one_problem_is_told_as_what_it_is_and_nothing_is_changed(
    run: Run, error: RearError, kind: type[RearError]
) -> None:
    def harm(run: Run) -> None:
        raise error

    never = [Step(1, "never", fail)]
    run.plugins.take(plugin("extra", "e", rear_verify=lambda: [Step(1, "h", harm)], rear_recreate=lambda: never))
    with pytest.raises(kind) as caught:
        execute(run, "recover")
    assert (caught.value.message, caught.value.hint) == ("x", "y")


@pytest.mark.parametrize("phase", ["recreate", "restore", "finalize"])
def test_after_the_first_write_nothing_is_called_refused(run: Run, phase: str) -> None:
    def refuse(run: Run) -> None:
        run.writing = phase == "recreate"
        raise Refused("cannot mount it", "try by hand")

    run.plugins.take(plugin("extra", "e", **{f"rear_{phase}": lambda: [Step(1, "refuse", refuse)]}))
    with pytest.raises(RearError, match="cannot mount it") as caught:
        execute(run, "recover")
    assert (caught.value.exit_code, caught.value.hint) == (ExitCode.FAILED, "try by hand")


@pytest.mark.parametrize(
    ("phase", "status"), [("prep", ExitCode.CONFIGURATION), ("backup", ExitCode.FAILED)], ids=["before", "after"]
)
def test_what_was_begun_does_not_end_as_a_wrong_setting(run: Run, phase: str, status: ExitCode) -> None:
    def refuse(run: Run) -> None:
        raise ConfigurationError("this script may not set FOO")

    run.plugins.take(plugin("extra", "e", **{f"rear_{phase}": lambda: [Step(1, "refuse", refuse)]}))
    with pytest.raises(RearError, match="may not set FOO") as caught:
        execute(run, "mkbackuponly")
    assert caught.value.exit_code == status


def test_until_the_first_write_a_refusal_stays_one(run: Run) -> None:
    def refuse(run: Run) -> None:
        raise Refused("the disk is in use", "look at lsblk")

    run.plugins.take(plugin("extra", "e", rear_recreate=lambda: [Step(1, "refuse", refuse)]))
    with pytest.raises(Refused, match="in use"):
        execute(run, "recover")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE])
def test_a_disk_that_fails_is_no_fault_of_rear(run: Run, number: int) -> None:
    def look(run: Run) -> None:
        raise OSError(number, os.strerror(number), "/mnt/local/boot/grub")

    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", look)]))
    with pytest.raises(RearError, match=rf"Prove: {os.strerror(number)} \(/mnt/local/boot/grub\)") as caught:
        execute(run, "recover")
    assert "dmesg" in caught.value.hint


class Odd(BaseException):
    """What no `except Exception` sees."""


class Mute(Exception):
    """One that has no words."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize("error", [GeneratorExit(), Odd("x"), Mute(), RearError("")])
def test_whatever_a_step_raises_is_told_with_its_plugin(run: Run, error: BaseException) -> None:
    def end(run: Run) -> None:
        raise error

    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", end)]))
    with pytest.raises(RearError, match=rf"the step 'Prove' .*\(rear-extra-x\) failed: {type(error).__name__}"):
        execute(run, "recover")


def test_an_error_without_advice_says_in_which_step_it_was(run: Run) -> None:
    def fail(run: Run) -> None:
        run.sh.run("false")

    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", fail)]))
    with pytest.raises(RearError) as caught:
        execute(run, "recover")
    assert caught.value.hint == "see the log: it failed in the step 'Prove' of extra x"


@pytest.mark.parametrize("error", [ValueError("odd"), AssertionError("never"), ZeroDivisionError(), SystemExit(0)])
def test_a_fault_in_a_step_or_hook_is_told_with_its_plugin(run: Run, error: BaseException) -> None:
    def fail(run: Run) -> None:
        raise error

    def hook() -> Iterable[Step]:
        raise error

    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", fail)]))
    with pytest.raises(RearError, match=r"the step 'Prove' of the plugin extra x \(rear-extra-x\) failed"):
        execute(run, "recover")
    run.plugins.take(plugin("extra", "y", rear_recreate=hook))
    with pytest.raises(PluginError, match=r"rear_recreate of the plugin extra y \(rear-extra-y\) failed"):
        execute(run, "recover")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Prove: Too many open files"),
        (MemoryError(), "Prove: there is not enough memory"),
        (RuntimeError("can't start new thread"), "Prove: can't start new thread"),
    ],
)
def test_a_machine_that_has_no_more_to_give_is_no_fault_of_rear(run: Run, error: Exception, said: str) -> None:
    def look(run: Run) -> None:
        raise error

    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", look)]))
    with pytest.raises(RearError, match=said) as caught:
        execute(run, "recover")
    assert "ulimit" in caught.value.hint


def test_a_file_that_nobody_made_is_one_and_the_log_says_where(run: Run, tmp_path: Path) -> None:
    def look(run: Run) -> None:
        Path("/nonexistent/file").read_text()

    run.report.open_log(tmp_path / "log")
    run.plugins.take(plugin("extra", "x", rear_finalize=lambda: [Step(10, "Prove", look)]))
    with pytest.raises(
        RearError, match=r"step 'Prove' of the plugin extra x \(rear-extra-x\) failed: FileNotFoundError"
    ):
        execute(run, "recover")
    run.report.close()
    assert 'Path("/nonexistent/file").read_text()' in (tmp_path / "log").read_text()


def test_a_hook_that_meets_a_missing_file_is_told_with_its_plugin(run: Run) -> None:
    def hook() -> Iterable[Step]:
        yield Step(1, Path("/nonexistent/file").read_text(), fail)

    run.plugins.take(plugin("extra", "x", rear_recreate=hook))
    with pytest.raises(PluginError, match=r"rear_recreate of the plugin extra x \(rear-extra-x\) failed: FileNotFound"):
        execute(run, "recover")


def _later(run: Run) -> Iterable[None]:
    yield
    fail(run)


async def _some_time(run: Run) -> None:
    fail(run)


@pytest.mark.parametrize("action", [_later, _some_time, lambda run: map(str, "x")])
def test_a_step_that_only_promises_is_no_success(run: Run, action: Callable[[Run], None]) -> None:
    """A backup whose function has a `yield` would save nothing, and rear would call it done."""
    run.plugins.take(plugin("backup", "ACME", rear_backup=lambda: [Step(50, "Save", action)]))
    with pytest.raises(RearError, match=r"the step 'Save' of the plugin backup ACME .*nothing of it was done"):
        execute(run, "mkbackuponly")


def test_simulation_lists_the_steps_and_runs_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.options = Options(simulate=True, config_dir=run.config_dir)
    run.plugins.take(plugin("extra", "e", rear_analyse_dr=lambda: [Step(7, "Describe", fail)]))
    execute(run, WORKFLOW)
    assert capsys.readouterr().out == "analyse_dr      07  Describe  [extra e]\n"


@pytest.mark.parametrize(
    ("typed", "status", "ran"),
    [
        ("yes\n" * 4, ExitCode.DONE, ["prep", "backup"]),
        ("\n" * 4, ExitCode.INTERRUPTED, ["prep"]),
        ("no\n", ExitCode.INTERRUPTED, []),
        ("yes\nno\n", ExitCode.INTERRUPTED, ["prep"]),
        ("skip\n", ExitCode.REFUSED, []),
        ("yes\nskip\n", ExitCode.FAILED, ["prep"]),
        ("quit\n", ExitCode.INTERRUPTED, []),
        ("", ExitCode.INTERRUPTED, []),
    ],
    ids=["yes", "the Enter key", "no", "no at last", "skip", "skip at last", "quit", "nobody"],
)
def test_step_by_step_a_step_runs_when_its_user_agrees(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, status: ExitCode, ran: list[str]
) -> None:
    """Without a word only what writes nothing runs, and what was left out is no success."""
    done: list[str] = []
    steps = {f"rear_{phase}": lambda p=phase: [Step(10, p, lambda run: done.append(p))] for phase in ("prep", "backup")}
    run.plugins.take(plugin("backup", "ACME", **steps))
    run.options = replace(run.options, step_by_step=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    try:
        execute(run, "mkbackuponly")
        ended = ExitCode.DONE
    except RearError as error:
        ended = error.exit_code
    assert (ended, done) == (status, ran)


def test_a_hook_that_returns_no_steps_is_named(run: Run) -> None:
    run.plugins.take(plugin("extra", "e", rear_analyse_dr=lambda: ["not a step"]))
    with pytest.raises(
        PluginError, match=r"rear_analyse_dr of the plugin extra e \(rear-extra-e\) returned str, not Step"
    ):
        execute(run, WORKFLOW)


def test_a_script_sees_the_run_and_extends_its_lists(run: Run, tmp_path: Path) -> None:
    script(
        run,
        "analyse_dr",
        "10_tools.sh",
        f'env >{tmp_path}/seen\ntouch "$ROOTFS_DIR/made"\necho \'RESCUE_BINARIES+=( strace "a b" )\' >>"$REAR_RETURN"',
    )
    execute(run, WORKFLOW)
    assert run.settings["RESCUE_BINARIES"][-2:] == ("strace", "a b")
    assert (run.rootfs_dir / "made").exists()
    seen = (tmp_path / "seen").read_text().splitlines()
    for line in (
        f"CONFIG_DIR={run.config_dir}",
        f"BUILD_DIR={run.build_dir}",
        f"ROOTFS_DIR={run.rootfs_dir}",
        f"SHARE_DIR={run.share_dir}",
        "REAR_PHASE=analyse_dr",
        "OUTPUT=ISO",
    ):
        assert line in seen


def test_a_script_cannot_move_the_run(run: Run) -> None:
    path = script(run, "analyse_dr", "10_bad.sh", 'echo "ROOTFS_DIR=/" >>"$REAR_RETURN"')
    with pytest.raises(ConfigurationError, match="ROOTFS_DIR") as caught:
        execute(run, WORKFLOW)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('rm "$REAR_RETURN"', "returned cannot be read: .*No such file"),
        ('rm -r "$BUILD_DIR"/*', "returned cannot be read: .*No such file"),
        ('rm "$REAR_RETURN"; mkfifo "$REAR_RETURN"', "is a named pipe, where a file should be"),
        ('ln -sf /dev/zero "$REAR_RETURN"', "is a device, where a file should be"),
        ("printf '\\377' >\"$REAR_RETURN\"", "returned cannot be read: .*invalid start byte"),
    ],
)
def test_what_a_script_leaves_in_the_place_of_its_answer_is_named(run: Run, text: str, said: str) -> None:
    script(run, "analyse_dr", "10_bad.sh", text)
    with pytest.raises(RearError, match=said):
        execute(run, WORKFLOW)


def test_a_script_that_fails_ends_the_run(run: Run) -> None:
    script(run, "analyse_dr", "10_bad.sh", "exit 4")
    with pytest.raises(RearError, match="exit status 4"):
        execute(run, WORKFLOW)


def test_a_script_that_others_can_change_is_refused(run: Run) -> None:
    script(run, "analyse_dr", "10_open.sh", "true").chmod(0o777)
    with pytest.raises(ConfigurationError, match="others can change"):
        execute(run, WORKFLOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_script_in_a_folder_of_another_user_is_refused(run: Run) -> None:
    """A link of root's leads there, and the script itself is root's."""
    theirs = run.config_dir.parent / "theirs"
    (theirs / "scripts").mkdir(parents=True)
    script(run, "../theirs/scripts", "10_x.sh", "true")
    (run.config_dir / "analyse_dr").symlink_to(theirs / "scripts")
    execute(run, WORKFLOW)
    os.chown(theirs, 65534, 65534)
    with pytest.raises(ConfigurationError, match=r"others can change .*theirs belongs to another user"):
        execute(run, WORKFLOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("inside", [".", "etc/motd"])
def test_a_skeleton_tree_that_others_can_change_is_refused(run: Run, inside: str) -> None:
    path = run.share_dir / "skel/default/etc/motd"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    os.chown(run.share_dir / "skel/default" / inside, 65534, 65534)
    with pytest.raises(ConfigurationError, match=r"others can change .* belongs to another user"):
        copy_skeletons(run)
    assert not list(run.rootfs_dir.iterdir())


def test_skeleton_trees_are_laid_down_special_over_general(run: Run) -> None:
    for flavour in ("default", "NFS"):
        path = run.share_dir / "skel" / flavour / "etc" / "motd"
        path.parent.mkdir(parents=True)
        path.write_text(flavour)
    copy_skeletons(run)
    assert (run.rootfs_dir / "etc" / "motd").read_text() == "NFS"


def test_skeleton_trees_of_the_original_are_left_alone(run: Run) -> None:
    (run.share_dir / "lib").mkdir(parents=True)
    (run.share_dir / "lib" / "framework-functions.sh").touch()
    (run.share_dir / "skel" / "default" / "var" / "run").mkdir(parents=True)
    copy_skeletons(run)
    assert not list(run.rootfs_dir.iterdir())
    assert "Relax-and-Recover" in run.report.warnings[0]


def test_a_listed_file_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    from rear_core.builtin.rescue import check_files

    (tmp_path / "there.conf").touch()
    given = f"RESCUE_FILES=( {tmp_path}/there.conf {tmp_path}/*.conf {tmp_path}/gone '{tmp_path}/*.key' etc/x )\n"
    declared = Plugins(builtin.modules()).call("rear_settings")
    run.settings = evaluate(Sources(assignments=tuple(parse(given, "local.conf"))), declared, {})
    check_files(run)
    named = [line.split(": ")[1] for line in run.report.warnings]
    assert [line.split(" ", 1)[0] for line in named] == [f"{tmp_path}/gone", f"{tmp_path}/*.key", "'etc/x'"]


def test_what_is_listed_by_default_is_no_warning(run: Run) -> None:
    from rear_core.builtin.rescue import check_files

    check_files(run)
    assert run.report.warnings == []


def test_all_that_is_missing_is_named_at_once(run: Run) -> None:
    from rear_core.builtin.rescue import check_programs

    run.phases = WORKFLOWS["mkrescue"]
    contents = Contents(programs=["no-such-program", "sh"])
    run.plugins.take(plugin("backup", "b", rear_rescue_contents=lambda: contents))
    run.plugins.take(plugin("output", "o", rear_missing=lambda: ["no-such-tool"]))
    run.plugins.take(plugin("os", "s", rear_install_advice=lambda programs: f"install {' '.join(programs)}"))
    with pytest.raises(Refused, match="not installed: no-such-program, no-such-tool") as caught:
        check_programs(run)
    assert caught.value.hint == "install no-such-program no-such-tool"


def test_scripts_of_the_recovery_are_taken_to_the_rescue_system(run: Run) -> None:
    assert set(RESCUE_PHASES) == set(WORKFLOWS["recover"])
    script(run, "verify", "30_mount.sh", "mount LABEL=BACKUP /srv/backup")
    script(run, "verify", "31_off.sh", "exit 1").chmod(0o644)
    script(run, "build", "10_only-here.sh", "exit 1")
    take_scripts(run)
    taken = [path for path in (run.rootfs_dir / "etc/rear").rglob("*") if path.is_file()]
    assert taken == [run.rootfs_dir / "etc/rear/verify/30_mount.sh"]
    assert os.access(taken[0], os.X_OK) and "LABEL=BACKUP" in taken[0].read_text()


def test_what_editors_and_packages_leave_is_no_script(run: Run) -> None:
    for name in ("README", "10_mine.sh~", "10_mine.sh.dpkg-old", ".10_mine.sh.swp", "10_off.sh.disabled", "notes.md"):
        script(run, "analyse_dr", name, "exit 1").chmod(0o644)
    assert list(plan(run, ["analyse_dr"])) == []
    check_scripts(run)


@pytest.mark.parametrize(
    ("folder", "name", "advice"),
    [
        ("prep", "100_mine.sh", "named like a script of Relax-and-Recover"),
        ("prep", "10-mine.sh", "a script is named NN_name.sh"),
        ("prep", "10_mine", "a script is named NN_name.sh"),
        ("prep", "mine.sh", "a script is named NN_name.sh"),
        ("dr", "10_mine.sh", "move it to {config}/analyse_dr"),
        ("rescue", "100_mine.sh", "move it to {config}/analyse_rescue"),
        ("wrapup", "10_mine.sh", "move it to {config}/finalize"),
        ("before", "10_mine.sh", "move it to {config}/<phase>/10_mine.sh; the phases are: prep analyse_dr"),
        (".", "50_mine.sh", "move it to {config}/<phase>"),
        ("layout/save", "100_mine.sh", "move it to {config}/<phase>"),
        ("prep", "50_a\nb.sh", "a script is named NN_name.sh"),
        ("prep", "50_a.sh\n", "a script is named NN_name.sh"),
        ("prep/NFS", "10_mine.sh", "move it to {config}/prep/10_mine.sh"),
        ("finalize", "fix-network", "rename it to {config}/finalize/50_fix-network.sh"),
        ("finalize", "fix.pl", "rename it to {config}/finalize/50_fix.sh"),
        ("finalize", "A10_fix", "rename it to {config}/finalize/10_fix.sh"),
        ("finalize", "010fix", "rename it to {config}/finalize/01_fix.sh"),
        ("finalize", "7_fix.py", "rename it to {config}/finalize/07_fix.py"),
        ("dr", "10-fix.sh", "move it to {config}/analyse_dr/10_fix.sh"),
        ("dr", "fix.sh", "move it to {config}/analyse_dr/50_fix.sh"),
        ("rescue", "build.sh", "move it to {config}/analyse_rescue/50_build.sh"),
        ("rescue", "10_fix", "move it to {config}/analyse_rescue/10_fix.sh"),
        ("finalize.d", "10_fix", "move it to {config}/finalize/10_fix.sh"),
        ("a/b/c/d", "fix", "move it to {config}/<phase>/50_fix.sh"),
        ("../share/finalize", "10_fix.sh", "/share/finalize/default/10_fix.sh"),
        ("../share/dr/default", "10_fix.sh", "/share/analyse_dr/default/10_fix.sh"),
        ("../share/rescue/default", "110_fix.sh", "/share/analyse_rescue/default/11_fix.sh"),
        ("../share/finalize/GNU/Linux", "10_fix.sh", "/share/finalize/default/10_fix.sh"),
        ("../share/finalize/GNU", "10_fix.sh", "/share/finalize/default/10_fix.sh"),
        ("../share/finalize/debian", "10_fix.sh", "their folders are default, <arch>, <OS>_<VER>, <BACKUP>, <OUTPUT>"),
        ("../share/finalize/Default", "fix", "/share/finalize/default/50_fix.sh"),
        ("../share/finalize/NFS/more", "10_fix.sh", "/share/finalize/"),
        ("../share", "10_fix.sh", "/share/<phase>/default/10_fix.sh"),
        ("../share/prep/default", "100_mine.sh", "named like a script of Relax-and-Recover"),
    ],
)
def test_what_looks_like_a_script_and_is_not_run_is_named(run: Run, folder: str, name: str, advice: str) -> None:
    path = script(run, folder, name, "true")
    with pytest.raises(ConfigurationError, match=f"{name} would not be run") as caught:
        check_scripts(run)
    assert advice.format(config=run.config_dir) in caught.value.hint
    path.unlink()
    check_scripts(run)


def test_what_needs_no_name_of_a_script_is_none(run: Run) -> None:
    for folder, name in [
        ("finalize", "README"), ("finalize", "10_notes.conf"), ("finalize", "#10_mine.sh#"), (".", "local.conf"),
        ("debian", "12.conf"), ("templates", "make.sh"), ("recovery", "10_x.sh"), (".git/hooks", "pre-commit.sample"),
        (".git/hooks", "pre-push"), ("cert", "ca.pem"), ("../share/skel/default/bin", "tool"),
        ("../share/skel/default/etc", "10_x.sh"), ("../share/templates", "x.sh"),
        # Of other machines that have the same folder.
        ("../share/finalize/ubuntu_24.04", "10_fix.sh"), ("../share/finalize/aarch64", "10_fix.sh"),
        ("../share/finalize/TAPE", "10_fix.sh"), ("../share/finalize/opensuse-leap_15.6", "10_fix.sh"),
    ]:  # fmt: skip
        script(run, folder, name, "exit 1")
    check_scripts(run)


def test_a_program_that_may_not_be_run_is_named(run: Run) -> None:
    script(run, "finalize", "fix-network", "true").chmod(0o644)
    (run.config_dir / "finalize/notes").write_text("what it does\n")
    with pytest.raises(ConfigurationError, match="fix-network would not be run"):
        check_scripts(run)


def test_the_proper_name_of_anything_is_one_that_runs() -> None:
    for name in ("mine", "-", "100", "2024-01-31.sh", "a b\n.sh", "x.py", "A", "é.pl", "10__x", "\udcff"):
        assert SCRIPT_NAME.fullmatch(_proper_name(name)), name


def test_a_link_that_leads_nowhere_is_named(run: Run) -> None:
    path = script(run, "prep", "10_mine.sh", "true")
    path.unlink()
    path.symlink_to("/gone")
    with pytest.raises(ConfigurationError, match=r"10_mine\.sh would not be run"):
        check_scripts(run)


@pytest.mark.parametrize("place", ["build", "templates", "../share", "../share/skel/default", "../share/build"])
def test_a_folder_that_is_a_link_to_nowhere_is_named(run: Run, place: str) -> None:
    path = run.config_dir / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/mnt/gone")
    with pytest.raises(ConfigurationError, match=rf"{path.name} links to /mnt/gone, which is not there"):
        check_scripts(run)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("echo hello\n", "begin it with #!"),
        ("", "begin it with #!"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}#!/bin/sh\n", "begin it with #!"),
        ("#!/bin/sh\r\necho hello\r\n", "names '/bin/sh\\\\r', which is not a program here"),
        ("#!/usr/bin/gone -x\n", "names '/usr/bin/gone', which is not a program here"),
        ("#!/bin/sh", ""),
        ("#! /bin/sh -e\n", ""),
        ("\x7fELF", ""),
    ],
)
def test_a_script_that_nothing_can_start_is_named_before_it_is_needed(run: Run, text: str, advice: str) -> None:
    """Those of Relax-and-Recover are sourced, and have no first line: one in finalize would end a recovery."""
    script(run, "finalize", "10_mine.sh", "").write_bytes(text.encode())
    if advice:
        with pytest.raises(ConfigurationError, match=r"10_mine\.sh would not be run") as caught:
            check_scripts(run)
        assert re.search(advice, caught.value.hint)
    else:
        check_scripts(run)


def test_a_script_that_is_not_executable_is_named(run: Run) -> None:
    path = script(run, "verify", "10_mine.sh", "true")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"10_mine\.sh would not be run") as caught:
        check_scripts(run)
    assert f"chmod +x {path}" in caught.value.hint


def test_the_scripts_of_relax_and_recover_itself_are_none_of_ours(run: Run) -> None:
    mark = run.share_dir / "lib/framework-functions.sh"
    mark.parent.mkdir(parents=True)
    mark.touch()
    script(run, "../share/analyse_dr/default", "100_theirs.sh", "exit 1")
    script(run, "../share/analyse_dr/default", "10_theirs.sh", "exit 1")
    check_scripts(run)
    assert list(plan(run, ["analyse_dr"])) == []


def test_scripts_of_one_number_run_in_the_order_of_their_folders(run: Run) -> None:
    wanted = [
        script(run, "../share/analyse_dr/default", "50_z.sh", "true"),
        script(run, f"../share/analyse_dr/{run.system.machine}", "50_a.sh", "true"),
        script(run, "analyse_dr", "50_a.sh", "true"),
        script(run, "analyse_dr", "50_b.sh", "true"),
    ]
    steps = [Path(planned.step.title).resolve() for planned in plan(run, ["analyse_dr"])]
    assert steps == [path.resolve() for path in wanted]


@pytest.mark.parametrize(("code", "told"), [("exit 4", "failed"), ("true", "done")], ids=["a failure", "a success"])
def test_cleanup_is_told_what_it_cleans_up_after(run: Run, tmp_path: Path, code: str, told: str) -> None:
    script(run, "analyse_dr", "10_mine.sh", code)
    script(run, "cleanup", "10_tell.sh", f'echo "$REAR_COMMAND $REAR_RESULT $REAR_ERROR" >{tmp_path}/told')
    with suppress(RearError):
        execute(run, WORKFLOW)
    words = (tmp_path / "told").read_text().split(maxsplit=2)
    assert words[:2] == [WORKFLOW, told]
    assert ("exit status 4" in words[2]) if told == "failed" else len(words) == 2
