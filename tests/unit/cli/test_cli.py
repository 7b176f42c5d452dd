# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: what it prints, with which status it ends, and that looking needs no rights and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from rear_core.cli import rear as rear_command
from rear_core.cli import show
from rear_core.run import Options

MACHINES = Path(__file__).parents[2] / "machines"
Rear = Callable[..., "subprocess.CompletedProcess[str]"]
# A plugin with a command that fails.
TRIP = """\
import click
from rear_core import hookimpl

@click.command("trip")
def trip():
    raise ValueError("tripped")

@hookimpl
def rear_commands():
    yield trip
"""


def test_help_names_every_command(rear: Rear) -> None:
    ended = rear("--help")
    assert ended.returncode == 0
    for command in ("mkrescue", "savelayout", "checklayout", "recover", "dump", "plugins", "config", "completion"):
        assert f"\n  {command} " in ended.stdout


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["mkrescu"], "did you mean 'rear mkrescue'?"),
        (["layout", "dif"], "did you mean 'rear layout diff'?"),
        (["xyzzy"], "try 'rear --help'"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(rear: Rear, words: list[str], advice: str) -> None:
    ended = rear(*words)
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"no such command '{words[-1]}'; {advice}\n")


@pytest.fixture
def within_reach() -> Iterator[Path]:
    """A folder that every user may enter, as one of pytest's is not."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_without_rights_is_told_so_and_needs_none_for_help(within_reach: Path) -> None:
    config = within_reach / "etc"
    config.mkdir(mode=0o700)
    program = (sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(config))
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

    def rear(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        argv = (*nobody, *program, *arguments)
        return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env}, stdin=subprocess.DEVNULL)

    refused = rear("dump")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"ERROR: cannot read {config}: Permission denied\n") and "sudo" in refused.stderr
    assert "# ---- rear-core ----" in rear("config", "default").stdout
    words = {"_REAR_COMPLETE": "bash_complete", "COMP_WORDS": "rear mk", "COMP_CWORD": "1"}
    offered = subprocess.run((*nobody, *program[:3]), capture_output=True, text=True, env={**os.environ, **words})
    assert "plain,mkrescue" in offered.stdout and offered.stderr == ""
    assert rear("status", "--nagios").returncode == 3


def test_a_command_of_a_package_names_it(rear: Rear) -> None:
    broken = rear("notify", conf="NOTIFY_WHEN=never\n")
    assert broken.returncode == 2
    assert "NOTIFY_WHEN" in broken.stderr and "no such command" not in broken.stderr


def test_help_works_with_a_broken_configuration(rear: Rear) -> None:
    ended = rear("mkrescue", "--help", conf="if true; then\n")
    assert ended.returncode == 0
    assert "Create rescue media" in ended.stdout
    unknown = rear("acme-status", conf="if true; then\n")
    assert unknown.returncode == 2
    assert "local.conf:5" in unknown.stderr


def test_help_names_the_commands_of_plugins_in_the_chosen_configuration(rear: Rear) -> None:
    ended = rear("--help", conf="if true; then\n")
    assert ended.returncode == 0
    assert ended.stderr.count("The commands of plugins are unknown") == 1
    assert "local.conf:5" in ended.stderr


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ("OUTPTU=ISO\n", "OUTPUT"),
        ("OUTPUT=$(hostname)\n", "local.conf:5:"),
        ("OUTPUT=( ISO )\n", "local.conf:5:"),
        ("OUTPUT='ISO\n", "local.conf:5:"),
    ],
)
def test_a_bad_setting_ends_with_status_2_and_its_place(rear: Rear, conf: str, said: str) -> None:
    ended = rear("dump", conf=conf)
    assert ended.returncode == 2
    assert ended.stderr.startswith("ERROR: ")
    assert said in ended.stderr
    assert "What to do: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_command_or_option_ends_with_status_2(rear: Rear) -> None:
    assert rear("mkrescu").returncode == 2
    assert rear("--frobnicate").returncode == 2


@pytest.mark.parametrize(
    "words",
    [["recover", "--demo", ""], ["mountonly", "--target", ""], ["format", ""], ["-c", "", "config", "check"]],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_folder_where_rear_runs(rear: Rear, words: list[str]) -> None:
    ended = rear(*words)
    assert ended.returncode == 2 and "the path is empty" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["recover", "--plan", ""], ["recover", "--identity="], ["recover", "--backup", ""], ["-r", "", "mkrescue"],
        ["backup", "list", "--only="], ["backup", "check", ""], ["backup", "restore", "--to", "new", "", "/etc"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_word_is_not_one_that_was_left_out(rear: Rear, words: list[str]) -> None:
    ended = rear(*words)
    assert ended.returncode == 2 and "it is empty" in ended.stderr


def test_no_command_takes_a_word_or_path_that_may_be_empty() -> None:
    context = click.Context(rear_command, obj=Options())

    def plain(command: click.Command, words: str) -> Iterator[str]:
        for parameter in command.params:
            if type(parameter.type) in (type(click.STRING), click.Path):
                yield f"{words} {parameter.name}"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                if found := command.get_command(context, name):
                    yield from plain(found, f"{words} {name}")

    assert list(plain(rear_command, "rear")) == []


def test_a_drawn_layout_goes_to_a_page_or_to_the_terminal(rear: Rear, tmp_path: Path) -> None:
    recorded = tmp_path / "etc/recovery/layout.json"
    recorded.parent.mkdir()
    shutil.copy(MACHINES / "debian-raid-luks/layout.json", recorded)
    shown = rear("layout", "show", "--html", env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert shown.returncode == 0 and shown.stdout.startswith("<!DOCTYPE html>") and "md127" in shown.stdout
    page = tmp_path / "page.html"
    page.write_text("of yesterday")
    assert rear("layout", "show", "--html", str(page)).stdout == ""
    assert page.read_text() == shown.stdout and stat.S_IMODE(page.stat().st_mode) == 0o600
    # Whatever is there, it is no page that can be replaced.
    for name, advice in (("etc/local.conf", "name it"), ("missing/page.html", "create it")):
        refused = rear("layout", "show", "--html", str(tmp_path / name))
        assert refused.returncode > 1 and advice in refused.stderr
    assert (tmp_path / "etc/local.conf").read_text().startswith("TMPDIR=")
    both = rear("layout", "plan", "--script", "--html")
    assert both.returncode == 2 and "choose one" in both.stderr


def test_a_method_that_nobody_has_is_named_without_a_package(rear: Rear) -> None:
    ended = rear("mkrescue", conf="OUTPUT=HOLOGRAM\n")
    assert ended.returncode == 2
    assert "there is no OUTPUT=HOLOGRAM" in ended.stderr
    assert "pip" not in ended.stderr
    listed = rear("plugins", "list", conf="OUTPUT=HOLOGRAM\n")
    assert listed.returncode == 0
    assert "missing: rear has no OUTPUT method of this name" in listed.stdout


def test_plugins_list_shows_what_this_configuration_uses(rear: Rear) -> None:
    rows = json.loads(rear("plugins", "list", "--json").stdout)
    states = {(row["kind"], row["name"]): row["state"] for row in rows}
    assert states[("output", "ISO")] == "active"
    assert states[("backup", "NFS")] == "active"
    assert states[("os", "suse")] == "available"


def test_plugins_show_prints_settings_and_hooks(rear: Rear) -> None:
    ended = rear("plugins", "show", "ISO")
    assert ended.returncode == 0, ended.stderr
    assert "rear-output-iso" in ended.stdout
    assert "rear_output" in ended.stdout
    assert "setting ISO_VOLID" in ended.stdout
    assert rear("plugins", "show", "nothing-of-that-name").returncode == 1
    for name, brought in (("bcache", "storage technology bcache"), ("systemd-boot", "boot loader systemd-boot")):
        assert brought in rear("plugins", "show", name).stdout
    assert "command rear drill" in rear("plugins", "show", "drill").stdout


def installed(folder: Path, code: str) -> dict[str, str]:
    """An environment with a plugin of that code."""
    (folder / "rear_extra_trip.py").write_text(code)
    info = folder / "rear_extra_trip-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rear-extra-trip\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rear.extra]\ntrip = rear_extra_trip\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_plugin_that_fails_when_asked_for_settings_is_listed_as_broken(rear: Rear, tmp_path: Path) -> None:
    environment = installed(
        tmp_path, TRIP.replace("rear_commands", "rear_settings").replace("yield trip", "return 1 / 0")
    )
    rows = json.loads(rear("plugins", "list", "--json", env=environment).stdout)
    (row,) = (row for row in rows if row["name"] == "trip")
    assert (row["state"], "ZeroDivisionError" in row["reason"]) == ("broken", True)


@pytest.mark.parametrize("yielded", ["BootLoader('systemd-boot', print)", "'grub'"])
def test_a_plugin_whose_loader_no_run_takes_is_listed_as_broken(rear: Rear, tmp_path: Path, yielded: str) -> None:
    code = "from rear_core import *\nfrom rear_core.boot.loader import *\n"
    code += f"@hookimpl\ndef rear_boot_loaders():\n    yield {yielded}\n"
    rows = json.loads(rear("plugins", "list", "--json", env=installed(tmp_path, code)).stdout)
    (row,) = (row for row in rows if row["name"] == "trip")
    assert (row["state"], "rear-extra-trip" in row["reason"]) == ("broken", True)


def test_the_check_of_a_setting_that_fails_is_told_with_its_plugin(rear: Rear, tmp_path: Path) -> None:
    code = (
        "from rear_core import *\n@hookimpl\ndef rear_settings():\n    yield Setting('TRIP', check=lambda v: 1 / 0)\n"
    )
    ended = rear("dump", conf="TRIP=1\n", env=installed(tmp_path, code))
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert "the check of a setting of the plugin extra trip (rear-extra-trip) failed: ZeroDivision" in ended.stderr


# A command of the core that asks a plugin, which ends it.
ENDING = """\
import sys
from rear_core.cli import _status, show
import rear_extra_trip

class Facts:
    items = staticmethod(rear_extra_trip.stop)

for action in (lambda: show._flat(Facts()), rear_extra_trip.stop):
    try:
        action()
    except SystemExit as ended:
        print(_status(ended))
"""


def test_a_plugin_ends_no_command_but_its_own(tmp_path: Path) -> None:
    environment = installed(tmp_path, f"{TRIP}\ndef stop():\n    raise SystemExit(7)\n")
    argv = [sys.executable, "-c", ENDING]
    ended = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1", "7"]
    assert "code of the plugin extra trip (rear-extra-trip) failed: SystemExit: 7" in ended.stderr


def test_a_plugin_with_a_setting_of_another_is_listed_as_broken(rear: Rear, tmp_path: Path) -> None:
    code = "from rear_core import *\n@hookimpl\ndef rear_settings():\n    yield Setting('BACKUP_URL')\n"
    environment = installed(tmp_path, code)
    rows = json.loads(rear("plugins", "list", "--json", env=environment).stdout)
    (row,) = (row for row in rows if row["name"] == "trip")
    assert (row["state"], row["reason"].endswith("both declare BACKUP_URL")) == ("broken", True)


def test_a_command_that_fails_names_its_plugin(rear: Rear, tmp_path: Path) -> None:
    ended = rear("trip", env=installed(tmp_path, TRIP))
    assert ended.returncode == 1
    assert "code of the plugin extra trip (rear-extra-trip) failed: ValueError: tripped" in ended.stderr
    assert "BUG" not in ended.stderr


def test_a_command_of_a_plugin_with_the_name_of_one_of_rear_is_told(rear: Rear, tmp_path: Path) -> None:
    ended = rear("--help", env=installed(tmp_path, TRIP.replace('"trip"', '"recover"')))
    assert ended.returncode == 0
    assert ended.stderr.count("The command recover of extra trip (rear-extra-trip) is ignored: rear has its own") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (("save", "--password", "my own", "x"), ("save", "--password", "********", "x")),
        (("save", "-u", "anna:geheim"), ("save", "-u", "anna:********")),
        (("sh", "-c", "TOKEN='my own' x"), ("sh", "-c", "TOKEN=******** x")),
        ("https://anna:geheim@nas/x", "https://********@nas/x"), (("/etc/passwd", "*"), ("/etc/passwd", "*")), (7, 7),
    ],
)  # fmt: skip
def test_dump_shows_no_passwords_in_commands(value: object, shown: object) -> None:
    assert show._without_secrets(value) == shown


def test_the_name_of_a_known_technology_is_refused_for_a_new_package(rear: Rear, tmp_path: Path) -> None:
    ended = rear("plugins", "new", "storage", "lvm", "--directory", str(tmp_path))
    assert ended.returncode == 3 and "rear knows lvm already" in ended.stderr
    assert not [*tmp_path.glob("*lvm*")]


def test_dump_shows_values_with_their_origin_and_masks_secrets(rear: Rear) -> None:
    conf = "SSH_ROOT_PASSWORD='$6$salt$hash'\nBACKUP_OPTIONS='username=anna,password=geheim'\n"
    plain = rear("dump", conf=conf)
    assert plain.returncode == 0, plain.stderr
    assert "OUTPUT=ISO  # default" in plain.stdout
    assert "local.conf:5" in plain.stdout
    assert "$6$salt" not in plain.stdout and "geheim" not in plain.stdout
    exposed = json.loads(rear("dump", "--json", "--expose-secrets", conf=conf).stdout)
    assert exposed["settings"]["SSH_ROOT_PASSWORD"]["value"] == "$6$salt$hash"
    assert exposed["settings"]["BACKUP_OPTIONS"]["value"] == "username=anna,password=geheim"
    masked = json.loads(rear("dump", "--json", conf=conf).stdout)
    assert masked["settings"]["SSH_ROOT_PASSWORD"]["value"] == "********"


def test_the_default_configuration_is_read_back_without_complaint(rear: Rear, tmp_path: Path) -> None:
    default = rear("config", "default").stdout
    assert "#OUTPUT=ISO" in default.replace("# OUTPUT", "#OUTPUT")
    (tmp_path / "etc" / "default.conf").write_text(default)
    assert rear("config", "check").returncode == 0


def test_a_setting_that_is_used_as_documented_is_no_warning_of_every_doctor(rear: Rear) -> None:
    ended = rear("config", "check", conf="EXCLUDE_MOUNTPOINTS=( /run/key )\nONLY_INCLUDE_VG=( system )\n")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_import_writes_what_it_can_and_tells_what_needs_somebody(rear: Rear, tmp_path: Path) -> None:
    good = rear("config", "import", conf="COPY_AS_IS+=( /opt )\nPRE_BACKUP_SCRIPT=/root/stop\n")
    assert good.returncode == 0, good.stderr
    assert "\nRESCUE_FILES+=( /opt )\n" in good.stdout and "### backup/05_pre_backup.sh" in good.stdout
    new, old = tmp_path / "new", tmp_path / "old.conf"
    old.write_text("BACKUP=NETFS\nif x; then OUTPUT=USB; fi\nPRE_BACKUP_SCRIPT=/root/stop\n")
    ended = rear("config", "import", f"{old}", "--to", f"{new}")
    assert ended.returncode == 1 and "1 not read" in ended.stderr
    assert "BACKUP=NFS\n" in (new / "old.conf").read_text()
    assert (new / "backup/05_pre_backup.sh").stat().st_mode & 0o777 == 0o700
    assert rear("config", "import", f"{old}", "--to", f"{new}").returncode == 3
    assert rear("config", "import", f"{old}", f"{new}/old.conf").returncode == 3
    old.write_bytes(b"OUTPUT=ISO\n# gr\xfc\xdfe\n")
    for wrong, said in (tmp_path / "none", "No such file"), (tmp_path, "is a folder"), (old, "old.conf:2:5: byte 0xfc"):
        ended = rear("config", "import", f"{wrong}")
        assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


@pytest.mark.parametrize("name", ["GIVE_UP", "EXCLUDE_COMPONENTS", "ONLY_INCLUDE_VG", "EXCLUDE_VG", "EXCLUDE_DEVICES"])
def test_an_empty_word_where_names_belong_is_refused(rear: Rear, name: str) -> None:
    ended = rear("config", "check", conf=f'NOTHING=\n{name}=( /data "$NOTHING" )\n')
    assert ended.returncode == 2 and f"{name} is ( '/data' '' ): has an empty word" in ended.stderr
    assert ended.stderr.count("ERROR") == 1


def test_simulation_lists_the_steps_in_order_and_changes_nothing(rear: Rear, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ended = rear("-s", "mkrescue")
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()]
    phases = list(dict.fromkeys(row[0] for row in rows))
    assert phases == ["prep", "analyse_dr", "analyse_rescue", "build", "pack", "output"]
    for phase in phases:
        numbers = [int(row[1]) for row in rows if row[0] == phase]
        assert numbers == sorted(numbers)
    assert "[output ISO]" in ended.stdout
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "etc" / "local.conf"])


def test_recovering_on_a_running_system_is_refused(rear: Rear) -> None:
    ended = rear("recover")
    assert ended.returncode == 3
    assert "this is not the rescue system" in ended.stderr


def test_the_manual_page_names_every_command_and_option(rear: Rear) -> None:
    page = rear("manual").stdout
    assert page.startswith(".TH REAR 8")
    for word in ("mkrescue", "plugins list", r"\-\-simulate", r"\-\-expose\-secrets"):
        assert word in page


def test_each_command_and_the_settings_have_a_page(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "man").mkdir()
    assert rear("manual", "--write", str(tmp_path / "man")).returncode == 0
    written = {path.name for path in (tmp_path / "man").iterdir()}
    assert {"rear.8", "rear-mkrescue.8", "rear-layout.8", "rear.conf.5"} <= written
    assert rear("manual", "layout").stdout == (tmp_path / "man/rear-layout.8").read_text()
    settings = rear("manual", "rear.conf").stdout
    assert ".B BACKUP_URL\n" in settings and ".B ISO_DIR\n" in settings
    unknown = rear("manual", "nope")
    assert unknown.returncode == 2 and "there are rear, rear-setup," in unknown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(rear: Rear, shell: str) -> None:
    ended = rear("completion", shell)
    assert ended.returncode == 0
    assert "_REAR_COMPLETE" in ended.stdout


def test_completion_offers_the_commands(rear: Rear) -> None:
    answer = rear(env={"_REAR_COMPLETE": "bash_complete", "COMP_WORDS": "rear mk", "COMP_CWORD": "1"})
    assert "plain,mkrescue" in answer.stdout


def test_a_variable_of_completion_scripts_keeps_no_command_from_its_work(rear: Rear) -> None:
    ended = rear("mkbackuponly", "extra", env={"_REAR_COMPLETE": "bash_source"})
    assert ended.returncode == 2
    assert "_rear_completion" not in ended.stdout


def test_all_errors_of_all_files_are_told_at_once(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "etc/site.conf").write_text("if x; then\n  OUTPUT=USB\nfi\nBACKUP_KEEP=some\n")
    conf = "NOBODY_KNOWS=1\nRESCUE_FILES=word\nB=`x`\nEXCLUDE_RECREATE=( /dev/sdb )\nOUTPUT=NOWHERE\n"
    ended = rear("config", "check", conf=conf)
    errors = [line.partition("etc/")[2] for line in ended.stderr.splitlines() if line.startswith("ERROR: /")]
    assert [error.split(": ")[0] for error in errors] == [
        "site.conf:1:1", "local.conf:7:3", "local.conf:8:1", "site.conf:4:1", "local.conf:5:1", "local.conf:6:1",
    ]  # fmt: skip
    assert ended.returncode == 2 and "NOWHERE" in ended.stderr and not ended.stdout
    ended = rear(
        "config", "check", conf="OUTPUT=ISOO\nBACKUP=RESTC\nBACKUP_PROG_EXCLUD=( /x )\nRESCUE_FILES=( /no/such )\n"
    )
    for told in ("OUTPUT=ISOO", "BACKUP=RESTC", "did you mean BACKUP_PROG_EXCLUDE?", "/no/such is not there"):
        assert told in ended.stderr


def test_an_error_is_told_also_of_what_others_refer_to(rear: Rear) -> None:
    ended = rear("config", "check", conf="BACKUP_URL=ftp://a/b\nOUTPUT_URL=$BACKUP_URL\n")
    assert ended.returncode == 2 and "BACKUP_URL is 'ftp://a/b'" in ended.stderr


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ("OUTPUT=RAMDISK\nRESCUE_SPLIT=yes\n", "carries the rescue system in one part"),
        ("OUTPUT=PXE\nOUTPUT_URL=file:///tmp\nOUTPUT_PREFIX=x\n", "OUTPUT_PREFIX cannot be used with OUTPUT=PXE"),
        ("BACKUP=NFS\nLUKS_HEADER_BACKUP=yes\n", "this one is not encrypted"),
    ],
)
def test_settings_that_contradict_each_other_are_not_valid(rear: Rear, conf: str, told: str) -> None:
    """A run would refuse them; nobody is to install programs or to wait for a run before."""
    ended = rear("config", "check", conf=conf)
    assert (ended.returncode, told in ended.stderr, ended.stdout) == (2, True, "")


def test_a_folder_without_configuration_is_not_good(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = rear("-c", f"{tmp_path}/empty", "config", "check")
    assert (ended.returncode, "there is no configuration in" in ended.stderr) == (2, True)


def test_a_secret_in_a_file_that_others_can_read_is_told(rear: Rear, tmp_path: Path) -> None:
    conf = "BACKUP_KEY='several words 1'\n"
    told = rear("config", "check", conf=conf).stderr
    conf_file = tmp_path / "etc/local.conf"
    assert told == f"{conf_file}: others can read BACKUP_KEY, which is a secret: chmod 600 {conf_file}\n"
    conf_file.chmod(0o600)
    assert rear("config", "check", conf=conf).stderr == ""


def test_files_that_are_named_and_not_there_are_told(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    ended = rear("config", "check", conf=f"RESCUE_FILES=( {tmp_path}/there {tmp_path}/none '{tmp_path}/t*' )\n")
    assert ended.returncode == 0
    assert [line.split(": ", 1)[1] for line in ended.stderr.splitlines() if "not there" in line] == [
        f"RESCUE_FILES: {tmp_path}/none is not there"
    ]
