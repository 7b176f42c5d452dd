# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins are found without being imported; a broken one is named and harms nobody else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from rear_core import builtin
from rear_core.cli.session import declared_by_others, settings_of
from rear_core.cli.show import show
from rear_core.errors import PluginError
from rear_core.packages import OURS, distribution_for, missing
from rear_core.plugins import Found, Plugins, at_fault, discover, load
from rear_core.run import Options

HEADER = "from rear_core import Setting, Step, hookimpl\n"
Install = Callable[..., list[Found]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay an installed distribution with one plugin into a folder of the search path; return what is found there."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def lay(distribution: str, kind: str, name: str, code: str) -> list[Found]:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(HEADER + code)
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[rear.{kind}]\n{name} = {module}\n")
        return discover(metadata.distributions(path=[str(tmp_path)]))

    yield lay
    for module in set(sys.modules) - before:
        del sys.modules[module]


GOOD = "@hookimpl\ndef rear_prep():\n    yield Step(10, 'Look', print)\n"


def test_a_family_is_only_suggested_where_it_may_be_meant() -> None:
    there = {"debian", "centos", "suse"}
    assert "did you mean" not in missing("OS_FAMILY", "os", "gentoo", there).hint
    assert "did you mean centos?" in missing("OS_FAMILY", "os", "centoz", there).hint


def test_discovery_imports_nothing(install: Install) -> None:
    (found,) = install("rear-backup-acme", "backup", "ACME", "raise SystemExit('imported')")
    assert (found.kind, found.name, found.distribution, found.version) == ("backup", "ACME", "rear-backup-acme", "1.2")
    assert not found.problem


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "ends the program when imported"),
        ("@hookimpl\ndef rear_prepare():\n    pass\n", "unknown hook 'rear_prepare', did you mean rear_prep?"),
        ("@hookimpl\ndef acme():\n    pass\n", "unknown hook 'acme': this rear-core has none"),
        ("@hookimpl\ndef rear_prep(machine):\n    pass\n", "{'machine'}"),
        ("def rear_prep(run):\n    pass\n", "rear_prep lacks @hookimpl"),
        ("", "implements no hook"),
        (
            "REAR_API = 99\n",
            "written for version 99 of the plugin interface, but this rear-core has 1: it needs a newer rear-core",
        ),
        ("REAR_API = 0\n", "version 0 of the plugin interface, but this rear-core has 1: it needs an older rear-core"),
        ("REAR_API = '1'\n", "REAR_API is '1' and must be a whole number"),
        ("@hookimpl(hookwrapper=True)\ndef rear_prep():\n    yield\n", "rear_prep uses hookwrapper"),
        ("@hookimpl(tryfirst=True)\ndef rear_prep():\n    pass\n", "rear_prep uses tryfirst"),
    ],
)
def test_a_broken_plugin_is_named_with_the_reason(install: Install, code: str, reason: str) -> None:
    (found,) = install("rear-backup-acme", "backup", "ACME", code)
    assert reason in load(found).problem
    with pytest.raises(PluginError, match=r"backup ACME of rear-backup-acme 1\.2 is broken"):
        Plugins([]).select([found], "backup", ["ACME"], "BACKUP")


def test_a_hook_of_a_newer_core_is_no_fault_where_the_plugin_can_do_without(install: Install) -> None:
    later = "@hookimpl(optionalhook=True)\ndef rear_later():\n    pass\n"
    (found,) = install("rear-backup-acme", "backup", "ACME", "REAR_API = 1\n" + GOOD + later)
    loaded = load(found)
    assert (loaded.problem, loaded.unknown) == ("", ("rear_later",))


def test_a_broken_plugin_that_is_not_selected_harms_nothing(install: Install) -> None:
    install("rear-backup-bad", "backup", "BAD", "1/0")
    found = install("rear-backup-acme", "backup", "ACME", GOOD)
    plugins = Plugins([])
    plugins.select(found, "backup", ["acme"], "BACKUP")
    assert [plugin.name for plugin in plugins.active] == ["ACME"]
    assert "rear_backup_bad" not in sys.modules


@pytest.mark.parametrize("rival", ["ACME", "acme"])
def test_two_distributions_with_one_name_are_both_unusable(install: Install, rival: str) -> None:
    install("rear-backup-acme", "backup", "ACME", GOOD)
    found = install("rear-backup-rival", "backup", rival, GOOD)
    assert [plugin.problem for plugin in found] == [
        "rear-backup-rival has the same name",
        "rear-backup-acme has the same name",
    ]
    with pytest.raises(PluginError, match="same name"):
        Plugins([]).select(found, "backup", ["ACME"], "BACKUP")


def test_a_missing_method_says_what_to_install(install: Install) -> None:
    found = install("rear-backup-acme", "backup", "ACME", GOOD)
    with pytest.raises(PluginError, match="BACKUP=TAPE is not installed") as caught:
        Plugins([]).select(found, "backup", ["TAPE"], "BACKUP")
    where = "install the package rear-backup-tape, the way rear-core was installed"
    assert caught.value.hint == f"{where}; or set BACKUP to one of: ACME"


@pytest.mark.parametrize("name", ["AMANDA", "rear-backup-amanda", "../x", "NSF"])
def test_no_package_is_named_that_is_none_of_this_project(install: Install, name: str) -> None:
    found = install("rear-backup-acme", "backup", "ACME", GOOD)
    with pytest.raises(PluginError, match=f"there is no BACKUP={name}") as caught:
        Plugins([]).select(found, "backup", [name], "BACKUP")
    assert "pip" not in caught.value.hint and "rear-" not in caught.value.hint
    assert (
        "known are: ACME, BACULA, BAREOS, BORG, CDROM, EXTERNAL, NETFS, NFS, NSR, REQUESTRESTORE, RESTIC, RSYNC, TAPE,"
        " TSM" in caught.value.hint
    )
    assert caught.value.hint.startswith("did you mean NSR? " if name == "NSF" else "known are: ")


def test_an_empty_name_is_none(install: Install) -> None:
    with pytest.raises(PluginError, match=r"^BACKUP is empty$"):
        Plugins([]).select(install("rear-backup-acme", "backup", "ACME", GOOD), "backup", [""], "BACKUP")


def test_two_names_of_one_module_are_one_plugin(install: Install) -> None:
    (found,) = install("rear-output-acme", "output", "ACME", GOOD)
    plugins = Plugins([])
    alias = Found("output", "ALIAS", found.target, found.distribution, found.version)
    plugins.select([found, alias], "output", ["ACME"], "OUTPUT")
    plugins.select([found, alias], "output", ["ALIAS"], "OUTPUT")
    assert len(plugins.call("rear_prep", run=None)) == 1


VALUES = """\
from rear_core import Contents
from rear_core.boot.loader import BootLoader
from rear_core.places.place import PlaceKind
from rear_core.places.url import Scheme
"""


def test_a_plugin_that_fails_when_asked_is_named(install: Install) -> None:
    code = "@hookimpl\ndef rear_prep():\n    yield Step('10', 'x', print)\n"
    found = install("rear-extra-acme", "extra", "ACME", code)
    plugins = Plugins([])
    plugins.add_extras(found)
    with pytest.raises(PluginError, match=r"rear_prep of the plugin extra ACME \(rear-extra-acme\) failed: TypeError"):
        plugins.call("rear_prep", run=None)


@pytest.mark.parametrize(
    ("hook", "yielded", "reason"),
    [
        ("rear_places", "'acme'", "returned str, not PlaceKind"),
        ("rear_rescue_contents", "'acme'", "returned str, not Contents"),
        ("rear_prep", "Step(120, 'Far', print)", "failed: ValueError: the step 'Far' has the number 120"),
        ("rear_commands", "__import__('click').Command(None)", "failed: TypeError: a Command has the name None"),
        ("rear_rescue_contents", "Contents(files=[7])", "failed: TypeError: files of Contents has 7, which is no text"),
        ("rear_settings", "Setting('ACME', aliases='OLD')", "failed: TypeError: ACME: aliases is the text 'OLD'"),
        ("rear_settings", "Setting('ACME', choices='ab')", "failed: TypeError: ACME: choices is the text 'ab'"),
        (
            "rear_places",
            "PlaceKind(Scheme('Acme:', 'x'), files=print)",
            "failed: ValueError: 'Acme:' is no scheme of URL",
        ),
        ("rear_boot_loaders", "BootLoader('acme', print, 'efi')", "failed: ValueError: acme: the firmware 'efi' is"),
    ],
)
def test_a_plugin_that_yields_something_else_is_named(install: Install, hook: str, yielded: str, reason: str) -> None:
    plugins = Plugins([])
    code = f"{VALUES}@hookimpl\ndef {hook}():\n    yield {yielded}\n"
    plugins.add_extras(install("rear-extra-acme", "extra", "ACME", code))
    with pytest.raises(PluginError) as caught:
        plugins.call(hook, run=None)
    assert f"{hook} of the plugin extra ACME (rear-extra-acme) {reason}" in caught.value.message
    assert "rear-extra-acme" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1/0", "failed: ZeroDivisionError"),
        ("yield 'acme'", "failed: TypeError: it returned str"),
        ("raise SystemExit(0)", "failed: SystemExit: 0"),
    ],
)
def test_the_settings_of_a_plugin_that_fails_are_asked_for_safely(install: Install, body: str, reason: str) -> None:
    found = install("rear-extra-acme", "extra", "ACME", f"@hookimpl\ndef rear_settings():\n    {body}\n")
    assert not declared_by_others(found, "ACME_SERVER")
    with pytest.raises(PluginError, match=rf"rear_settings of the plugin extra ACME \(rear-extra-acme\) {reason}"):
        settings_of(found[0])


def test_a_plugin_without_a_docstring_is_shown(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = install("rear-extra-acme", "extra", "ACME", GOOD)
    show(load(found), Options())
    assert "hooks: rear_prep" in capsys.readouterr().out


def test_the_plugin_that_was_entered_last_is_at_fault(install: Install) -> None:
    install("rear-extra-acme", "extra", "ACME", GOOD + "def look(then):\n    then()\n")
    acme, rival = (
        load(found) for found in install("rear-extra-rival", "extra", "RIVAL", GOOD + "def fail():\n    1/0\n")
    )
    for action, culprit in (
        (lambda: acme.module.look(rival.module.fail), rival),  # type: ignore[union-attr]
        (lambda: acme.module.look(lambda: int("x")), acme),  # type: ignore[union-attr]
        (lambda: int("x"), None),
    ):
        with pytest.raises((ZeroDivisionError, ValueError)) as caught:
            action()
        assert at_fault(caught.value, [acme, rival]) == culprit


def test_a_broken_extra_is_kept_apart(install: Install) -> None:
    plugins = Plugins([])
    plugins.add_extras(install("rear-extra-acme", "extra", "ACME", "1/0"))
    assert plugins.active == []
    assert [plugin.distribution for plugin in plugins.broken] == ["rear-extra-acme"]


def test_a_text_is_no_list_of_what_is_missing(install: Install) -> None:
    """Its letters would be programs: `not installed: a, b, c`."""
    plugins = Plugins([])
    code = "@hookimpl\ndef rear_missing():\n    return 'abc'\n"
    plugins.add_extras(install("rear-extra-acme", "extra", "ACME", code))
    with pytest.raises(PluginError, match=r"rear_missing of .*\(rear-extra-acme\) .*it returned the text 'abc'"):
        plugins.call("rear_missing", run=None)


def test_a_plugin_that_declares_a_setting_twice_is_named(install: Install) -> None:
    code = "@hookimpl\ndef rear_settings():\n    yield Setting('ACME')\n    yield Setting('ACME', int)\n"
    plugins = Plugins([])
    plugins.add_extras(install("rear-extra-acme", "extra", "ACME", code))
    with pytest.raises(PluginError, match=r"extra ACME \(rear-extra-acme\) declares ACME twice"):
        plugins.settings()


def test_two_plugins_with_one_setting_are_both_named(install: Install) -> None:
    code = "@hookimpl\ndef rear_settings():\n    yield Setting('ACME_SERVER', str)\n"
    install("rear-extra-acme", "extra", "ACME", code)
    plugins = Plugins([])
    plugins.add_extras(install("rear-extra-rival", "extra", "RIVAL", code))
    with pytest.raises(PluginError, match=r"rear-extra-acme.*rear-extra-rival.*ACME_SERVER"):
        plugins.settings()


@pytest.mark.parametrize(
    ("hook", "module", "made"),
    [
        ("rear_storage_kinds", "storage.kinds", "StorageKind('same', (), 0, 0)"),
        ("rear_boot_loaders", "boot.loader", "BootLoader('same', 0)"),
        ("rear_commands", "run", "__import__('click').Command('same')"),
    ],
)
def test_two_plugins_with_a_technology_loader_or_command_of_one_name_are_both_named(
    install: Install, hook: str, module: str, made: str
) -> None:
    text = f"from rear_core.{module} import *\n@hookimpl\ndef {hook}():\n    yield {made}\n"
    install("rear-extra-acme", "extra", "ACME", text)
    plugins = Plugins([])
    plugins.add_extras(install("rear-extra-rival", "extra", "RIVAL", text))
    with pytest.raises(PluginError, match=r"rear-extra-acme.*rear-extra-rival.*both bring same"):
        plugins.call(hook)


def test_contents_of_letters_are_refused_with_the_plugin(install: Install) -> None:
    code = "@hookimpl\ndef rear_rescue_contents():\n    return Contents(programs='tar')\n"
    plugins = Plugins([])
    plugins.add_extras(install("rear-extra-acme", "extra", "ACME", f"from rear_core import Contents\n{code}"))
    with pytest.raises(PluginError, match=r"rear-extra-acme.*programs of Contents is the text 'tar'"):
        plugins.call("rear_rescue_contents", run=None)


def test_a_plugin_for_the_healthy_machine_is_not_carried(install: Install) -> None:
    install("rear-extra-acme", "extra", "ACME", GOOD)
    found = install("rear-extra-rival", "extra", "RIVAL", GOOD + "@hookimpl\ndef rear_carried():\n    return False\n")
    plugins = Plugins([])
    plugins.add_extras(found)
    assert [plugin.name for plugin in plugins.active] == ["ACME", "RIVAL"]
    assert [plugin.name for plugin in plugins.carried()] == ["ACME"]


def test_every_name_of_our_packages_leads_to_its_package() -> None:
    table = re.compile(r'^\[project.entry-points."rear\.(os|backup|output)"\]\n((?:\S+ = .*\n)+)', re.MULTILINE)
    projects = [*(Path(__file__).parents[2] / "plugins").glob("*/pyproject.toml")]
    assert projects
    assert {project.parent.name for project in projects} == OURS - {"rear-core"}
    for project in projects:
        for kind, lines in table.findall(project.read_text()):
            for line in lines.splitlines():
                assert distribution_for(kind, line.split()[0]) == project.parent.name


def test_our_packages_fit_together() -> None:
    found = [plugin for plugin in discover() if plugin.distribution in OURS]
    for chosen in (plugin for plugin in found if plugin.kind != "extra"):
        plugins = Plugins(builtin.modules())
        plugins.add_extras(found)
        plugins.take(load(chosen))
        assert plugins.broken == [] and plugins.settings() and plugins.schemes()
        for hook in ("rear_storage_kinds", "rear_boot_loaders", "rear_commands"):
            assert plugins.call(hook)
