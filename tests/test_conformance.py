# SPDX-License-Identifier: GPL-3.0-or-later
"""The conformance suite itself: a good plugin passes, each check finds the plugin that was made for it, and says why.

Every plugin here is the good one with one fault; only the check that is to find it is run on it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rear_core.new_plugin import describe, files
from rear_core.testing import conformance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GOOD = '''\
"""BACKUP={NAME}: backups in a folder."""
from rear_core import Contents, RearError, Setting, Step, hookimpl

@hookimpl
def rear_settings():
    yield Setting("{NAME}_FOLDER", str, default="box", help="Name of the folder that backups are kept in.")

@hookimpl
def rear_rescue_contents(run):
    from rear_core.archive import rescue_contents
    return rescue_contents(run.settings)

@hookimpl
def rear_prep():
    yield Step(40, "Check", check_tools)

@hookimpl
def rear_backup():
    yield Step(50, "Save", save)

@hookimpl
def rear_verify():
    yield Step(40, "Look", check)

@hookimpl
def rear_restore():
    yield Step(50, "Restore", restore)

def check_tools(run):
    from rear_core.archive import check_tools
    check_tools(run)

def save(run):
    from rear_core import archive
    archive.save(run, place(run))

def check(run):
    from rear_core import archive
    archive.check(run, place(run))

def restore(run):
    from rear_core import archive
    archive.restore(run, place(run))

def place(run):
    folder = run.var_dir / run.settings["{NAME}_FOLDER"]
    folder.mkdir(parents=True, exist_ok=True)
    return folder
'''
OS = '''\
"""A distribution."""
from rear_core import Step, hookimpl

@hookimpl
def rear_install_advice(programs):
    from rear_core.system.packages import install_advice
    return install_advice({}, "get", "find {}", programs)

@hookimpl
def rear_finalize():
    yield Step(50, "Renew", renew)

def renew(run):
    pass
'''
OUTPUT = '''\
"""OUTPUT={NAME}: a kernel."""
from rear_core import Step, hookimpl

@hookimpl
def rear_output():
    yield Step(50, "Write", write)

def write(run):
    path = run.var_dir / "kernel"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(run.image.kernel.read_bytes())
    run.results.append(path)
'''
# What stands in for a place without room: the plugin that is tried looks for it.
FULL = """\
import os
from contextlib import contextmanager

import pytest

from rear_core.testing.conformance import *
from rear_core.testing.harness import Supply

DISTRIBUTION = "{DISTRIBUTION}"


@contextmanager
def full():
    os.environ["TRIAL_FULL"] = "yes"
    yield
    del os.environ["TRIAL_FULL"]


@pytest.fixture
def supply():
    return Supply(full=full)
"""
# A place that is a folder, and a test that has one.
PLACE = '''\
"""Places {NAME}."""
import shutil
from pathlib import Path
from rear_core import RearError, hookimpl
from rear_core.places.delivery import checksum
from rear_core.places.place import PlaceKind
from rear_core.places.url import Scheme

@hookimpl
def rear_places():
    yield PlaceKind(Scheme("{name}", "{name}://server/folder"), files=Box)

class Box:
    def __init__(self, run, url, options, mode):
        self.path = Path(options)

    def put(self, source, name, sha256):
        if checksum(source) != sha256:
            raise RearError("it is damaged")
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, path)

    def read(self, name):
        path = self.path / name
        return path.read_bytes() if path.exists() else None

    def remove(self, folder, names):
        for name in names:
            (self.path / folder / name).unlink()
'''
PLACES = """\
import pytest

from rear_core.testing.conformance import *
from rear_core.testing.harness import Supply

DISTRIBUTION = "{DISTRIBUTION}"


@pytest.fixture
def supply(tmp_path_factory):
    return Supply(places={"{name}://server/folder": str(tmp_path_factory.mktemp("place"))})
"""
PASSWORD = """\
    yield Setting("{NAME}_PASSWORD", str, default="not for all", secret=True, help="The password of the folder.")
    yield Setting"""
LIST = """\
@hookimpl
def rear_list():
    yield Step(50, "List", look)

def look(run):
    from rear_core.archive import kept
    kept.look(run, place(run))

def check_tools(run):"""
IGNORE = "try:\n        run.sh.run('uname')\n    except RearError:\n        pass\n    "


@dataclass(frozen=True)
class Fault:
    """The good plugin of a kind with `old` made `new`, what finds that, and what it says.

    Without `good` that is what `rear plugins new` writes. `supply` are tests that come with the plugin.
    """

    check: str
    old: str
    new: str
    reason: str
    kind: str = "backup"
    good: str = GOOD
    supply: str = ""


# Faults of a new storage technology, and of a new boot loader.
of_volumes = partial(Fault, kind="storage", good="")
of_loader = partial(Fault, kind="boot", good="")


FAULTS = {
    "hook": Fault(
        "test_its_hooks_are_those_of_the_contract", "def place(", "def rear_clean_up(run):\n    pass\n\ndef place(",
        "rear_clean_up is no hook; is rear_cleanup meant?",
    ),
    "argument": Fault(
        "test_its_hooks_are_those_of_the_contract", "def rear_prep():", "def rear_prep(runs):", "{'runs'}"
    ),
    "unmarked": Fault(
        "test_its_hooks_are_those_of_the_contract", "@hookimpl\ndef rear_prep", "def rear_prep",
        "rear_prep lacks @hookimpl",
    ),
    "heavy": Fault(
        "test_its_import_is_cheap_and_changes_nothing", "from rear_core", "import asyncio\nfrom rear_core",
        "import these inside the functions that need them",
    ),
    "busy": Fault(
        "test_its_import_is_cheap_and_changes_nothing", "@hookimpl\ndef rear_settings",
        "open(__file__ + '.seen', 'w').close()\n@hookimpl\ndef rear_settings",
        "importing it does more than define what it has",
    ),
    "undocumented": Fault(
        "test_its_settings_are_documented_and_valid", "Name of the folder that backups are kept in.", "a folder",
        "XUNDOCUMENTED_FOLDER is no sentence",
    ),
    "invalid": Fault(
        "test_its_settings_are_documented_and_valid", "default=", "choices=('a', 'b'), default=",
        "the default of XINVALID_FOLDER is not valid",
    ),
    "undeclared": Fault(
        "test_each_setting_it_reads_is_declared", "    folder.mkdir(", "    run.settings['OTHER']\n    folder.mkdir(",
        "OTHER (__init__.py:",
    ),
    "questions": Fault(
        "test_rear_setup_can_ask_what_it_wants_to_know", "@hookimpl\ndef rear_prep",
        "@hookimpl\ndef rear_setup():\n    from rear_core import Ask\n    yield Ask('NOSUCH', 'A server')\n\n"
        "@hookimpl\ndef rear_prep",
        "these are asked for and not declared",
    ),
    "programs": Fault(
        "test_its_programs_are_declared", "    check_tools(run)", "    run.sh.run('hostid')\n    check_tools(run)",
        "['hostid'] == []",
    ),
    "late": Fault(
        "test_its_programs_are_declared",
        "    archive.restore(run", "    run.sh.run('hostid')\n    archive.restore(run",
        "these programs are started in a recovery and not in rear_rescue_contents",
    ),
    "told": Fault(
        "test_no_program_is_told_a_secret_by_its_arguments", "    check_tools(run)",
        "    run.sh.run('echo', '--password=' + run.settings['{NAME}_PASSWORD'])\n    check_tools(run)",
        "'echo'] == []", good=GOOD.replace("    yield Setting", PASSWORD, 1),
    ),
    "prep": Fault(
        "test_prep_changes_nothing", "    check_tools(run)", "    place(run)\n    check_tools(run)",
        "was made and is still there",
    ),
    "verify": Fault(
        "test_verify_changes_nothing", "    archive.check(run, place(run))",
        "    archive.check(run, place(run))\n    run.sh.run('touch', place(run) / 'seen')", "seen: not there ->",
    ),
    "deaf": Fault(
        "test_a_failed_program_is_told_and_undone", "archive.save(run", f"{IGNORE}archive.save(run",
        "uname failed, and neither an error nor a warning tells of it",
    ),
    "half": Fault(
        "test_a_failed_program_is_told_and_undone", "    archive.save(run",
        "    open(place(run) / 'half', 'a').write('x')\n    archive.save(run", "failed, and this is left of it",
    ),
    "lines": Fault(
        "test_a_failed_program_is_told_and_undone", "    archive.save(run, place(run))",
        "    try:\n        archive.save(run, place(run))\n    except RearError as error:\n"
        "        raise RearError('it\\nfailed') from error",
        "is no line",
    ),
    "calm": Fault(
        "test_a_failed_program_in_a_recovery_is_told_and_undone", "archive.restore(run", f"{IGNORE}archive.restore(run",
        "uname failed, and neither an error nor a warning tells of it",
    ),
    "other": Fault(
        "test_what_is_restored_equals_what_was_saved", "    archive.restore(run, place(run))",
        "    archive.restore(run, place(run))\n    next(run.target.rglob('program')).chmod(0o755)",
        "program: -rwsr-xr-x",
    ),
    "silent": Fault(
        "test_its_media_are_there_when_it_says_so", "run.results.append(path)", "pass",
        "rear_output leaves nothing in run.results", "output", OUTPUT,
    ),
    "empty": Fault(
        "test_its_media_are_there_when_it_says_so", "run.image.kernel.read_bytes()", "b''", "is empty", "output", OUTPUT
    ),
    "forgetful": Fault(
        "test_its_install_advice_names_every_program", '"find {}", programs', '"find {}", programs[:1]',
        "it loses what it does not know", "os", OS,
    ),
    "eager": Fault(
        "test_finalize_leaves_a_system_that_fits_as_it_is", "    pass", "    (run.target / 'done').touch()",
        "was made and is still there", "os", OS,
    ),
    "broken": Fault(
        "test_a_client_that_fails_midway_leaves_the_last_backup", "    archive.save(run, place(run))",
        "    try:\n        archive.save(run, place(run))\n    except RearError:\n        run.report.warn('it failed')",
        "tar died midway, and the run ended well",
    ),
    "greedy": Fault(
        "test_a_full_target_leaves_the_last_backup", "    archive.save(run, place(run))",
        "    import os, shutil\n    if 'TRIAL_FULL' in os.environ:\n        shutil.rmtree(place(run))\n"
        "        raise RearError('there is no room')\n    archive.save(run, place(run))",
        "the last backup cannot be restored", supply=FULL,
    ),
    "listless": Fault(
        "test_it_lists_what_it_saved", "def check_tools(run):",
        '@hookimpl\ndef rear_list():\n    yield Step(50, "List", check_tools)\n\ndef check_tools(run):',
        "it lists no backup after it made one",
    ),
    "opaque": Fault(
        "test_it_shows_what_it_saved_until_it_is_unmounted", "def check_tools(run):",
        '@hookimpl\ndef rear_mount():\n    yield Step(50, "Show", show)\n\n'
        "def show(run):\n    from rear_core.archive import mounting\n"
        "    mounting.show(run, place(run))\n\ndef check_tools(run):",
        "it shows no folder that ends with",
    ),
    "generous": Fault(
        "test_it_restores_chosen_files_alone", "def check_tools(run):",
        '@hookimpl\ndef rear_fetch():\n    yield Step(50, "Fetch", fetch)\n\n'
        "def fetch(run):\n    from dataclasses import replace\n"
        "    run.options = replace(run.options, paths=())\n    restore(run)\n\ndef check_tools(run):",
        "it restores what nobody asked for",
    ),
    "trusting": Fault(
        "test_verify_refuses_where_nothing_was_saved", "    archive.check(run, place(run))",
        "    if list(place(run).iterdir()):\n        archive.check(run, place(run))",
        "nothing was saved, and verify finds nothing wrong",
    ),
    "spilling": Fault(
        "test_restore_writes_below_its_target_alone", "    archive.restore(run, place(run))",
        "    archive.restore(run, place(run))\n    (run.var_dir / 'seen').touch()", "was made and is still there",
    ),
    "wandering": Fault(
        "test_prep_changes_nothing", "    check_tools(run)", "    import os\n    os.chdir('/')\n    check_tools(run)",
        "the working directory: ",
    ),
    "lingering": Fault(
        "test_what_is_restored_equals_what_was_saved", "    archive.check(run, place(run))",
        "    import subprocess\n    subprocess.Popen(['sleep', '9'])\n    archive.check(run, place(run))",
        ": not there -> sleep",
    ),
    "talkative": Fault(
        "test_what_is_restored_equals_what_was_saved", "    archive.check(run, place(run))",
        "    print('looking')\n    archive.check(run, place(run))", "it prints 'looking'",
    ),
    "unstoppable": Fault(
        "test_prep_changes_nothing", "    check_tools(run)",
        "    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    check_tools(run)",
        "what SIGTERM does: ",
    ),
    "abrupt": Fault(
        "test_prep_changes_nothing", "    check_tools(run)", "    import os\n    os._exit(0)",
        "it calls os._exit(0), by which rear would end with nothing undone",
    ),
    "timeless": Fault(
        "test_it_restores_the_backup_of_a_date", "    archive.check(run, place(run))",
        "    from dataclasses import replace\n    run.options = replace(run.options, backup='')\n"
        "    archive.check(run, place(run))",
        "restores another backup", good=GOOD.replace("def check_tools(run):", LIST, 1),
    ),
    "adding": Fault(
        "test_its_places_keep_what_is_put_there", "        shutil.copyfile(source, path)",
        "        with path.open('ab') as file:\n            file.write(source.read_bytes())",
        "has something else than the file that was put there", "extra", PLACE, PLACES,
    ),
    "blind": Fault(
        "test_its_places_compare_what_they_put", "if checksum(source) != sha256", "if not sha256", "DID NOT RAISE",
        "extra", PLACE, PLACES,
    ),
    "changing": of_volumes(
        "test_its_items_are_the_same_in_layout_json", "    @property\n    def modules",
        "    def __post_init__(self) -> None:\n        object.__setattr__(self, 'name', f'{self.name}x')\n\n"
        "    @property\n    def modules", "is another one after it was written and read",
    ),
    "driverless": of_volumes(
        "test_its_root_names_its_kernel_modules", 'frozenset({"dm_mod"})', "frozenset()",
        "`modules` of 'xdriverless' is empty",
    ),
    "unloaded": of_volumes(
        "test_its_root_names_its_kernel_modules", ', modules=["dm_mod"]', "",
        "needs the modules {'dm_mod'}, and `contents` does not name them",
    ),
    "restless": of_volumes(
        "test_what_runs_of_it_is_stopped_before_a_wipe", "stop=stop,", "",
        "runs, and no `stop` stops it: its disk cannot be erased",
    ),
    "hasty": of_volumes(
        "test_what_runs_of_it_is_stopped_before_a_wipe", "if device.type != TYPE:", "if not device.type:",
        "`stop` stops /dev/sda, which is a disk and no device of its own",
    ),
    "stiff": of_volumes(
        "test_its_storage_answers_for_another_size", "        sizes.shrink(self.id, amount)", "        pass",
        "its `shrink` takes them from nothing",
    ),
    "secretive": of_volumes(
        "test_its_commands_have_reasons_and_name_what_they_destroy", '        destroys=f"what lies on {device}",\n', "",
        "writes to /dev/sda and does not name what is lost",
    ),
    "shell": of_volumes(
        "test_its_commands_have_reasons_and_name_what_they_destroy", "START, device, item.name",
        'START.replace("$0", device), device, item.name', "stands in a script, where a name is code",
    ),
    "spendthrift": of_volumes(
        "test_its_storage_answers_for_another_size", "return sizes.spare(self.id, size - LENGTH)",
        "return LENGTH + sizes.spare(self.id, size)", "that `spare` leaves it",
    ),
    "careless": of_volumes(
        "test_its_storage_answers_for_another_size", "return sizes.fit(self.id, size - LENGTH)", "return True",
        "fits on 4096 bytes, as its `fits` says, and what lies on it does not",
    ),
    "placeless": of_volumes(
        "test_its_identifiers_and_names_are_kept", 'return f"/dev/mapper/{self.name}"', "return _below",
        "its `place` is that of what it lies on",
    ),
    "poor": of_volumes(
        "test_its_plan_starts_what_the_rescue_system_carries", '"dmsetup", ', "",
        "a recovery starts ['dmsetup'], which `contents` does not require",
    ),
    "renaming": of_volumes(
        "test_its_identifiers_and_names_are_kept", "{PREFIX: self.uuid}", '{PREFIX: self.uuid, "LABEL": "other"}',
        "LABEL=other is in no command",
    ),
    "mumbling": of_volumes(
        "test_its_notes_and_refusals_are_texts", "    if not item.dev", '    yield from "no"\n    if not item.dev',
        "says nothing: yield one text for each note",
    ),
    "lost": of_loader(
        "test_the_entries_of_its_menu_are_there", 'words["kernel"], initramfs', 'words["kernel"] + "-old", initramfs',
        "/boot/vmlinuz-6.1-old of '' is not there",
    ),
    "unlisted": of_loader(
        "test_its_files_that_name_devices_are_listed", "[NamingFile(CONFIGURATION, words)]", "[]",
        "`naming_files` has no file for it",
    ),
    "stale": of_loader(
        "test_its_configuration_follows_other_identifiers", "NamingFile(CONFIGURATION, words)",
        'NamingFile(CONFIGURATION, words, whole=lambda _: "root=UUID=5f0d7c1e-8a3b-4c2d-9e6f-0a1b2c3d4e5f")',
        "still names 5f0d7c1e-8a3b-4c2d-9e6f-0a1b2c3d4e5f, which is another identifier now",
    ),
    "garbling": of_loader(
        "test_its_configuration_follows_other_identifiers", "NamingFile(CONFIGURATION, words)",
        'NamingFile(CONFIGURATION, words, whole=lambda text: text.replace(" ro", " rw"))',
        "more than names of devices is another in",
    ),
    "shifted": of_loader(
        "test_its_configuration_follows_other_identifiers", "NamingFile(CONFIGURATION, words)",
        "NamingFile(CONFIGURATION, lambda text: [type(one)(one.start + 1, one.end, one.tag, one.value)"
        " for one in words(text)])",
        "changes with no identifier: `start` and `end` do not enclose `value`",
    ),
    "double": of_loader(
        "test_its_configuration_follows_other_identifiers", "NamingFile(CONFIGURATION, words)",
        "NamingFile(CONFIGURATION, lambda text: [*words(text), *words(text)])",
        "two references share the character",
    ),
    "idle": of_loader(
        "test_its_installation_starts_what_is_there", 'run_inside(run, INSTALL, "--boot-directory=/boot", disk)',
        "pass",
        "and has started no program and changed no file",
    ),
    "scribbling": of_loader(
        "test_its_detection_changes_nothing", '    return facts(Path("/"))',
        '    Path("/run/scribbled").write_text("seen")\n    return facts(Path("/"))', "/run/scribbled",
    ),
    "homeless": of_loader(
        "test_its_installation_starts_what_is_there", "run_inside(run, INSTALL,", "run.sh.run(INSTALL,",
        "xhomeless-install is started by `install`, and not in rear_rescue_contents",
    ),
    "content": of_loader(
        "test_what_it_lacks_to_start_is_told", 'return [f"{path} is missing"', 'return [] and [f"{path} is missing"',
        "is missing, and `verify` finds nothing wrong",
    ),
    # Its distribution has another name, see `lay`.
    "astray": Fault("test_its_name_selects_it", "", "", "who lacks it is told to install rear-backup-xastray"),
}  # fmt: skip


def lay(path: Path, name: str, fault: Fault) -> str:
    """Install a plugin into the folder `site`, and its tests into one of its own; the name of its distribution."""
    words = describe(fault.kind, name)
    distribution = "rear-xastray" if name == "xastray" else words["distribution"]
    texts = files(words) if not fault.good else {f"src/{words['package']}/__init__.py": fault.good}
    if fault.supply:
        texts["tests/test_conformance.py"] = fault.supply.replace("{DISTRIBUTION}", distribution).replace(
            "{name}", name
        )
    assert any(fault.old in text for text in texts.values()), f"no file of the good plugin has {fault.old!r}"
    for file, text in texts.items():
        folder, _, rest = file.partition("/")
        # Modules of tests need different names.
        place = (
            path / "site" / rest if folder == "src" else path / name / rest.replace("test_conf", f"test_{name}_conf")
        )
        if folder in ("src", "tests"):
            place.parent.mkdir(parents=True, exist_ok=True)
            code = text.replace(fault.old, fault.new, 1) if fault.old and folder == "src" else text
            place.write_text(code.replace("{NAME}", name.upper()).replace("{name}", name) if fault.good else code)
    info = path / "site" / f"{words['package']}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[rear.{words['kind']}]\n{name.upper()} = {words['package']}\n")
    return distribution


def run_suite(path: Path, chosen: str, *distributions: str) -> str:
    """What pytest says of the chosen tests of the suite, on plugins that lie in the folder `site`."""
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", f"--basetemp={path}/tmp", "-k", chosen,
            *(f"--rear-conformance={name}" for name in distributions),
        ],
        capture_output=True, text=True, cwd=path, env={**os.environ, "PYTHONPATH": f"{path}/site", "COLUMNS": "300"},
        timeout=500,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of all faulty plugins, each under the check that is to find it."""
    path = tmp_path_factory.mktemp("faulty")
    names = [lay(path, f"x{name}", fault) for name, fault in FAULTS.items()]
    chosen = " or ".join(f"({fault.check} and x{name})" for name, fault in FAULTS.items())
    return run_suite(path, chosen, *names)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_named(said: str, name: str) -> None:
    fault = FAULTS[name]
    title = rf"_+ {fault.check}\[[^]]*X{name.upper()}\] _+\n"
    told = re.search(rf"{title}(.*?)(?=\n_{{5}}|\n={{5}})", said, re.DOTALL)
    assert told, said[-3000:]
    assert fault.reason in told[1]


GOODS = {"backup": GOOD, "os": OS, "output": OUTPUT, "storage": "", "boot": ""}


@pytest.mark.parametrize("kind", GOODS)
def test_a_good_plugin_passes_and_is_told_what_does_not_apply(tmp_path: Path, kind: str) -> None:
    name = lay(tmp_path, "good", Fault("", "", "", "", kind, GOODS[kind]))
    told = run_suite(tmp_path, "test", name)
    assert re.search(r"\d+ passed, \d+ skipped", told), told[-3000:]
    assert re.search(rf"{name}: \w+ GOOD: has no step in ", told)


def test_a_distribution_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no plugin of rear belongs to an installed distribution rear-backup-none" in run_suite(
        tmp_path, "test", "rear-backup-none"
    )


def test_every_check_is_taken_in_and_has_its_faulty_plugin() -> None:
    checks = {name for name in vars(conformance) if name.startswith("test_")}
    assert set(conformance.__all__) == {*checks, "harness"}
    assert {fault.check for fault in FAULTS.values()} == checks
