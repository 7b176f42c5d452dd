# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery as another machine: asked for in three ways, checked before anything is written, and told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rear_core.builtin import clone, modules, system
from rear_core.errors import ConfigurationError
from rear_core.network.model import Address, Link, Network, save
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import FakeShell
from rear_core.workflow import WORKFLOWS

OLD = "192.0.2.10"
SHOWN = "ip -json address show"
CARDS = "ip -json -details link show"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's command line and the mark of an earlier run, which a rescue system has."""
    for name in ("run", "root"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(clone, "CHOSEN", tmp_path / "run/identity")
    monkeypatch.setattr(clone, "COMMAND_LINE", tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text("quiet\n")


def open_run(folder: Path, identity: str, answers: dict[str, str | Outcome] | None = None) -> Run:
    """A recovery of web1, whose card eth0 had a fixed address; its files are back."""
    options = Options(config_dir=folder / "etc", target=folder / "root", identity=identity)
    plugins = Plugins(modules())
    sh = FakeShell({SHOWN: "[]", CARDS: "[]", f"chroot {folder}/root ssh-keygen -A": "", **(answers or {})})
    run = Run(evaluate(Sources(), plugins.settings(), {}), plugins, options, Report(terminal=io.StringIO()), sh)
    run.phases = WORKFLOWS["recover"]
    system.write_description(run, {"system": {"hostname": "web1", "firmware": {"mode": "bios"}}, "boot_loaders": {}})
    network = Network("web1", (Link("eth0", mac="52:54:00:00:00:01"),), (Address("eth0", f"{OLD}/24"),))
    save(network, run.recovery_dir / "network.json")
    for name, text in {
        "etc/hostname": "web1\n", "etc/ssh/ssh_host_rsa_key": "secret\n", "etc/motd": f"this is {OLD}\n",
        "etc/network/interfaces": f"iface eth0 inet static\n    address {OLD}/24\n",
    }.items():  # fmt: skip
        (run.target / name).parent.mkdir(parents=True, exist_ok=True)
        (run.target / name).write_text(text)
    return run


def test_nobody_is_made_a_clone_unasked(tmp_path: Path) -> None:
    run = open_run(tmp_path, "")
    assert [*clone.rear_verify(run), *clone.rear_finalize(run)] == []


def test_a_clone_has_nothing_of_the_machine_and_the_report_says_what_still_names_it(tmp_path: Path) -> None:
    run = open_run(tmp_path, "dhcp")
    clone.check_identity(run)
    clone.make_clone(run)
    assert (run.target / "etc/hostname").read_text() == "web1-clone\n"
    assert (run.target / "etc/network/interfaces").read_text() == "iface eth0 inet dhcp\n"
    assert not (run.target / "etc/ssh/ssh_host_rsa_key").exists() and run.recovery.problems == []
    assert run.recovery.differences == [
        "this is a clone of web1, called web1-clone",
        "/etc/motd, line 1: an address of the other machine; rear left it unchanged",
    ]


def test_whoever_goes_on_does_not_get_the_old_machine_by_leaving_out_a_word(tmp_path: Path) -> None:
    clone.check_identity(open_run(tmp_path, "dhcp"))
    assert clone.wanted(open_run(tmp_path, "")) == "dhcp"


def test_the_kernel_parameter_asks_for_it_too(tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_text("rear.identity=/root/lab rear.auto=recover\n")
    assert clone.wanted(open_run(tmp_path, "")) == "/root/lab"


def test_a_rescue_system_that_has_the_address_of_the_machine_is_warned_of(tmp_path: Path) -> None:
    run = open_run(tmp_path, "dhcp", {SHOWN: f'[{{"addr_info": [{{"local": "{OLD}"}}]}}]'})
    clone.check_identity(run)
    assert len(run.report.warnings) == 1 and "rear.identity=dhcp" in run.report.warnings[0]


@pytest.mark.parametrize("name", ["web1", "WEB1", "web1.example.org"])
def test_the_name_of_the_machine_is_none_for_its_clone(tmp_path: Path, name: str) -> None:
    (tmp_path / "lab").write_text(f"HOST_NAME={name}\n")
    with pytest.raises(ConfigurationError, match=f"HOST_NAME={name} is the name of the other machine"):
        clone.check_identity(open_run(tmp_path, f"{tmp_path}/lab"))
    assert not clone.CHOSEN.exists()


def test_without_host_keys_it_says_how_to_make_them(tmp_path: Path) -> None:
    failed = Outcome((), 1, "", "no", 0)
    run = open_run(tmp_path, "dhcp", {f"chroot {tmp_path}/root ssh-keygen -A": failed})
    clone.make_clone(run)
    assert len(run.recovery.problems) == 1 and "ssh-keygen -A" in run.recovery.problems[0]
