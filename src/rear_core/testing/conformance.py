# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests that every plugin has to pass, whoever wrote it.

A plugin takes them into a file tests/test_conformance.py of its own, with what it needs to be tried:

    from rear_core.testing.conformance import *
    from rear_core.testing.harness import Supply

    DISTRIBUTION = "rear-backup-acme"


    @pytest.fixture
    def supply(tmp_path):
        return Supply(settings=f"ACME_DIR={tmp_path}/backups")

A check that does not apply to a plugin is skipped with the reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from inspect import isfunction
from pathlib import Path

import pytest

from .. import builtin
from ..contents import merge
from ..media.tape import STAND_INS
from ..packages import distribution_for
from ..plugins import Plugins, hook_problem, load
from ..rescue.programs import base_contents
from ..settings import Setting, Sources, evaluate, parse, render
from ..shell import Shell
from ..step import MAKING
from . import conformance_backup, conformance_boot, conformance_places, conformance_storage
from .conformance_backup import *  # noqa: F403
from .conformance_boot import *  # noqa: F403
from .conformance_places import *  # noqa: F403
from .conformance_storage import *  # noqa: F403
from .harness import RECOVERING, Ended, Harness, Subject, installed, make_tree
from .performing import can_run, is_line, performed, recovery, skip, successful, unchanged
from .source import misspelled_hooks, settings_read
from .watch import differences, picture

__all__ = [
    *conformance_backup.__all__, *conformance_boot.__all__, *conformance_places.__all__, *conformance_storage.__all__,
    "harness", "test_a_failed_program_in_a_recovery_is_told_and_undone",
    "test_a_failed_program_is_told_and_undone", "test_each_setting_it_reads_is_declared",
    "test_finalize_leaves_a_system_that_fits_as_it_is", "test_its_hooks_are_those_of_the_contract",
    "test_its_import_is_cheap_and_changes_nothing", "test_its_install_advice_names_every_program",
    "test_its_media_are_there_when_it_says_so", "test_its_name_selects_it", "test_its_programs_are_declared",
    "test_its_settings_are_documented_and_valid", "test_no_program_is_told_a_secret_by_its_arguments",
    "test_prep_changes_nothing", "test_rear_setup_can_ask_what_it_wants_to_know", "test_verify_changes_nothing",
    "test_what_is_restored_equals_what_was_saved",
]  # fmt: skip

# What takes long to import, or does what a plugin should leave to the core.
HEAVY = {
    "asyncio", "blkinfo", "concurrent.futures", "ctypes", "http.client", "jinja2", "multiprocessing", "pyroute2",
    "requests", "sqlite3", "ssl", "tkinter", "unittest", "urllib.request", "xml.etree.ElementTree",
}  # fmt: skip
MODULES = 60
# Run in an interpreter of its own, which has what every run of rear has.
IMPORT = """\
import importlib, json, sys
import rear_core.cli.session, rear_core.builtin
rear_core.builtin.modules()
done = []
writes = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink"}
def note(event, arguments):
    if event == "open" and (arguments[2] or 0) & 0o1103 and not isinstance(arguments[0], int):
        event = "write"
    elif event not in writes and event not in {"subprocess.Popen", "os.system", "os.exec", "socket.connect"}:
        return
    if "__pycache__" not in str(arguments[0]) and "/dev/null" not in str(arguments[0]):
        done.append(f"{event} {arguments[0]}")
sys.addaudithook(note)
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps({"modules": sorted(set(sys.modules) - before), "done": done}))
"""


@pytest.fixture
def harness(request: pytest.FixtureRequest, subject: Subject, tmp_path: Path) -> Harness:
    """Runs the plugin's steps, with what the fixture `supply` beside these tests gives."""
    supply = request.getfixturevalue("supply") if hasattr(request.module, "supply") else None
    return Harness(subject, supply, tmp_path)


def test_its_name_selects_it(subject: Subject) -> None:
    """Every name is found, is claimed by no other distribution, and leads to the package that messages name."""
    kind, own = subject.found.kind, subject.found.distribution
    for name in subject.names:
        claims = [f for f in installed() if (f.kind, f.name.lower()) == (kind, name.lower())]
        assert {found.distribution for found in claims} == {own}, f"other plugins are called {kind} {name}, too"
    expected = [distribution_for(kind, name) for name in subject.names]
    if kind != "extra":
        assert own in expected, f"who lacks it is told to install {expected[0]}, but it is called {own}"


def test_its_hooks_are_those_of_the_contract(subject: Subject) -> None:
    """Each hook is known, marked, and asks for arguments that it gets; no function is only nearly called like one."""
    loaded = load(subject.found)
    assert loaded.module is not None, loaded.problem
    functions = [name for name, value in vars(loaded.module).items() if isfunction(value)]
    assert misspelled_hooks(functions) == []
    assert hook_problem(loaded.module) == ""


def test_its_import_is_cheap_and_changes_nothing(subject: Subject) -> None:
    """Importing it starts no program, writes no file, and brings no heavy modules along."""
    search = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    said = Shell(environment=search).json(sys.executable, "-c", IMPORT, subject.found.target)
    assert said["done"] == [], "importing it does more than define what it has"
    heavy = sorted(HEAVY & set(said["modules"]))
    assert heavy == [], "import these inside the functions that need them"
    others = [name for name in said["modules"] if not name.startswith(subject.found.target.partition(".")[0])]
    assert len(others) <= MODULES, f"importing it brings {len(others)} other modules along"


def test_its_settings_are_documented_and_valid(subject: Subject) -> None:
    """Each has a name, a sentence of help and a default that its own checks accept, and fits in default.conf."""
    if not subject.settings:
        skip(subject, "declares no settings")
    module = load(subject.found).module
    if getattr(module, "rear_carried", lambda: True)() is False:
        pytest.fail("a plugin that the rescue system does not carry declares settings, which are not known there")
    for setting in subject.settings:
        assert setting.name.isidentifier() and setting.name.isupper(), f"{setting.name} is not written as NAME_OF_IT"
        assert len(setting.help) > 20 and setting.help.endswith("."), f"the help of {setting.name} is no sentence"
        assert _problem(setting, setting.default) == "", f"the default of {setting.name} is not valid"
    taken = Plugins(builtin.modules())
    taken.take(load(subject.found))
    declared = taken.settings()
    text = render({subject.found.distribution: declared})
    again = evaluate(Sources(assignments=tuple(parse(text, "default.conf"))), declared, {})
    assert {name: again[name] for name in again} == {setting.name: setting.default for setting in declared}


def _problem(setting: Setting, value: object) -> str:
    """What is wrong with a default; one that is empty means that nothing was chosen."""
    if not value:
        return ""
    if not isinstance(value, tuple if setting.type is list else setting.type):
        return f"{value!r} is no {setting.type.__name__}"
    words = value if isinstance(value, tuple) else (value,)
    if setting.choices and any(word not in setting.choices for word in words):
        return f"{value!r} is not among its choices"
    return setting.check(value) if setting.check else ""


def test_each_setting_it_reads_is_declared(subject: Subject) -> None:
    """`run.settings["NAME"]` in its source is declared by itself or by the core."""
    known = {s.name for s in (*Plugins(builtin.modules()).call("rear_settings"), *subject.settings)}
    undeclared = [f"{name} ({place})" for name, place in settings_read(subject.sources) if name not in known]
    assert undeclared == [], "these settings are read and declared neither here nor by the core"


def test_rear_setup_can_ask_what_it_wants_to_know(subject: Subject) -> None:
    """Its questions are about settings that are declared, and files with secrets have names of their own."""
    alone = Plugins([])
    alone.take(load(subject.found))
    asks = alone.call("rear_setup")
    if not asks:
        skip(subject, "has no questions for `rear setup`")
    known = {s.name for s in (*Plugins(builtin.modules()).call("rear_settings"), *subject.settings)}
    assert [ask.setting for ask in asks if ask.setting not in known] == [], "these are asked for and not declared"
    ends = [ask.question for ask in asks if not ask.question or ask.question.endswith((".", "?", ":"))]
    assert ends == [], "`rear setup` ends a question itself, with how it is answered"
    names = [ask.file.name for ask in asks if ask.file]
    assert all(name == Path(name).name for name in names), "such a file lies beside local.conf: give its name alone"


def test_its_programs_are_declared(harness: Harness) -> None:
    """What its steps start is in its rescue contents; what only makes media, in rear_missing or looked for first."""
    made = performed(harness, *MAKING)
    run = harness.run("mkbackup", bare=True)
    contents = merge([base_contents(), *run.plugins.call("rear_rescue_contents", run=run)])
    carried = {Path(name).name for name in (*contents.programs, *contents.optional_programs)}
    named = {Path(name).name for name in run.plugins.call("rear_missing", run=run)} | made.looked_for
    undeclared = sorted({Path(name).name for name in made.started} - carried - named)
    assert undeclared == [], "these are started for media and backup, and neither in Contents nor in rear_missing"
    if harness.has_steps(*RECOVERING):
        recovered = recovery(harness)
        undeclared = sorted({Path(name).name for name in recovered.started} - carried)
        assert undeclared == [], "these programs are started in a recovery and not in rear_rescue_contents"


def test_no_program_is_told_a_secret_by_its_arguments(harness: Harness) -> None:
    """Every user of the machine sees these: a password goes into a file, or is fed by a pipe."""
    exposing = performed(harness, *MAKING).exposing
    exposing |= recovery(harness).exposing if harness.has_steps(*RECOVERING) else frozenset()
    assert sorted(exposing) == [], "these get the value of a setting that is `secret` as an argument"


def test_prep_changes_nothing(harness: Harness) -> None:
    """Neither files of this machine nor the plugin's places are other than before, but for a probe that is gone."""
    if not harness.has_steps("prep"):
        skip(harness.subject, "has no step in prep")
    can_run(harness)
    with unchanged(harness):
        ended = harness.go("prep")
    successful(harness, ended)


def test_verify_changes_nothing(harness: Harness) -> None:
    """Nor does verify change them, with a backup that was just made."""
    if not harness.has_steps("verify"):
        skip(harness.subject, "has no step in verify")
    performed(harness, *MAKING)
    with unchanged(harness):
        ended = harness.go("config", "verify")
    if ended.error:
        pytest.fail(f"verify refuses a backup that was just made: {ended.error}")


def test_a_failed_program_is_told_and_undone(harness: Harness) -> None:
    """Each program in turn ends with status 99: one line tells the user, and nothing half-done is left."""
    good = performed(harness, *MAKING)
    fail_each(harness, good, harness.make)


def test_a_failed_program_in_a_recovery_is_told_and_undone(harness: Harness) -> None:
    """Likewise while files are brought back; what is below the target then counts for nothing."""
    if not harness.has_steps(*RECOVERING):
        skip(harness.subject, "has no step in config, verify or restore")
    performed(harness, *MAKING)
    fail_each(harness, recovery(harness), harness.recover)


def fail_each(harness: Harness, good: Ended, again: Callable[..., Ended]) -> None:
    """Do again what went well, with one of its programs failing after the other."""
    if not good.started:
        skip(harness.subject, "starts no program there")
    passing = (*harness.passing, harness.restored)
    for program in good.started:
        if again == harness.make:
            harness.supply.renew()
        before = picture(harness.folder, passing)
        ended = again(replaced={program: harness.fail})
        assert program in ended.started, f"{program} is not started again: Supply.renew can make a first run of it"
        assert set(ended.told) - set(good.told), f"{program} failed, and neither an error nor a warning tells of it"
        assert program == "umount" or not ended.mounted, f"{program} failed, and these are mounted: {ended.mounted}"
        if ended.error:
            assert is_line(ended.error.message), f"{program} failed: {ended.error.message!r} is no line"
            left = differences(before, picture(harness.folder, passing))
            assert left == [], f"{program} failed, and this is left of it"


def test_what_is_restored_equals_what_was_saved(harness: Harness) -> None:
    """A small tree comes back with contents, modes, owners, times, links and attributes."""
    if not harness.has_steps("restore"):
        skip(harness.subject, "restores nothing")
    make_tree(harness.tree)
    performed(harness, *MAKING)
    recovery(harness)
    came = Path(f"{harness.restored}{harness.tree}")
    assert came.is_dir(), f"nothing came back at {came}"
    assert differences(picture(harness.tree), picture(came)) == []


def test_its_media_are_there_when_it_says_so(harness: Harness) -> None:
    """What it names as results of the run is there, with something in it."""
    if harness.subject.found.kind != "output":
        skip(harness.subject, "is no output")
    results = performed(harness, *MAKING).run.results
    assert results, "rear_output leaves nothing in run.results"
    for path in results:
        assert path.exists() or path in STAND_INS, f"{path} is not there"
        # What a device holds its plugin has to prove itself.
        assert not path.is_file() or path.stat().st_size, f"{path} is empty"


def test_its_install_advice_names_every_program(subject: Subject) -> None:
    """It has an answer for each program of the rescue system, and does not lose one that it does not know."""
    advise = getattr(load(subject.found).module, "rear_install_advice", None)
    if advise is None:
        skip(subject, "gives no advice on packages")
    for program in (*base_contents().programs, "no-such-program"):
        said = advise(programs=[program])
        assert said and "\n" not in said, f"of {program} it says {said!r}"
    assert "no-such-program" in advise(programs=["tar", "no-such-program"]), "it loses what it does not know"


def test_finalize_leaves_a_system_that_fits_as_it_is(harness: Harness) -> None:
    """Where nothing was rewritten and the machine is the same, finalize changes nothing and finds no problem."""
    if not harness.has_steps("finalize"):
        skip(harness.subject, "has no step in finalize")
    harness.restored.mkdir()
    with unchanged(harness):
        ended = harness.go("finalize")
    assert successful(harness, ended).run.recovery.problems == []
