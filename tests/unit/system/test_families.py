# SPDX-License-Identifier: GPL-3.0-or-later
"""The family of an operating system follows from its os-release file, as distributions publish it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.builtin import core
from rear_core.cli.session import select
from rear_core.errors import NoFamily, PluginError
from rear_core.packages import how_to_install
from rear_core.plugins import Plugins, discover
from rear_core.settings import Sources, evaluate
from rear_core.settings.reader import parse
from rear_core.system.os_release import OperatingSystem, parse_os_release

TEXTS = Path(__file__).parent / "os-release"
FAMILIES = {
    "rear-os-debian": ["debian-12", "debian-testing", "ubuntu-24.04", "linuxmint-21", "kali"],
    "rear-os-redhat": ["rhel-7", "rhel-9", "fedora-40", "centos-stream-9", "rocky-9", "almalinux-9", "oracle-8",
                       "amazon-2", "amazon-2023", "eurolinux-9"],
    "rear-os-suse": ["sles-12", "sles-15", "opensuse-leap-15", "opensuse-tumbleweed", "opensuse-microos"],
}  # fmt: skip
UNKNOWN = ("arch", "manjaro", "alpine")


def read(name: str) -> OperatingSystem:
    return parse_os_release((TEXTS / name).read_text())


def family(found: OperatingSystem, chosen: str = "") -> str:
    """The distribution of the plugin that a run would take."""
    plugins = Plugins([core])
    sources = Sources(assignments=tuple(parse(f"OS_FAMILY={chosen}\n", "local.conf")))
    select(plugins, discover(), evaluate(sources, plugins.settings(), {}, strict=False), found)
    (plugin,) = [plugin for plugin in plugins.active if plugin.kind == "os"]
    return plugin.distribution


def test_every_text_is_tested() -> None:
    named = [name for names in FAMILIES.values() for name in names]
    assert sorted([*named, *UNKNOWN]) == sorted(path.name for path in TEXTS.iterdir())


@pytest.mark.parametrize(
    ("distribution", "name"), [(plugin, name) for plugin, names in FAMILIES.items() for name in names]
)
def test_a_distribution_finds_its_family(distribution: str, name: str) -> None:
    assert family(read(name)) == distribution


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_distribution_is_told_how_to_choose(name: str) -> None:
    with pytest.raises(PluginError, match="no installed plugin knows the operating system") as caught:
        family(read(name))
    assert name in caught.value.message
    assert "set OS_FAMILY to the nearest" in caught.value.hint


@pytest.mark.parametrize("chosen", ["debian", "redhat", "suse"])
def test_the_setting_chooses_a_family_on_any_distribution(chosen: str) -> None:
    assert family(read("arch"), chosen) == f"rear-os-{chosen}"
    assert family(read("debian-12"), chosen) == f"rear-os-{chosen}"


def test_a_family_that_is_not_there_is_named() -> None:
    with pytest.raises(PluginError, match="there is no OS_FAMILY=arch"):
        family(read("arch"), "arch")


def test_the_package_of_a_known_family_is_named() -> None:
    plugins = Plugins([core])
    found = [plugin for plugin in discover() if plugin.kind != "os"]
    with pytest.raises(NoFamily) as caught:
        select(plugins, found, evaluate(Sources(), plugins.settings(), {}, strict=False), read("linuxmint-21"))
    assert caught.value.hint == f"{how_to_install('rear-os-debian')}; or set OS_FAMILY to the nearest (installed: none)"
