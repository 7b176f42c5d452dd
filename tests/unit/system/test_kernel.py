# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel the rescue system gets."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import Refused
from rear_core.system.kernel import find_kernel, installed_kernels, parse_config, select_kernel, version_key

ADVICE = "apt-get install linux-image-amd64"


def install(root: Path, version: str, image: str = "boot/vmlinuz-{}", modules: str = "lib/modules") -> None:
    directory = root / modules / version
    directory.mkdir(parents=True)
    (directory / "modules.dep").touch()
    path = root / image.format(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"MZ")


def test_the_running_kernel_is_taken_without_a_word(tmp_path: Path) -> None:
    install(tmp_path, "6.1.0-9-amd64")
    install(tmp_path, "6.1.0-13-amd64")
    kernel = select_kernel(tmp_path, running="6.1.0-9-amd64")
    assert (kernel.version, kernel.warnings) == ("6.1.0-9-amd64", ())
    assert kernel.image == tmp_path / "boot/vmlinuz-6.1.0-9-amd64"
    assert kernel.modules == tmp_path / "lib/modules/6.1.0-9-amd64"


def test_the_asked_for_kernel_wins_over_the_running_one(tmp_path: Path) -> None:
    install(tmp_path, "6.1.0-9-amd64")
    install(tmp_path, "6.1.0-13-amd64")
    kernel = select_kernel(tmp_path, running="6.1.0-9-amd64", wanted="6.1.0-13-amd64")
    assert (kernel.version, kernel.warnings) == ("6.1.0-13-amd64", ())


def test_the_newest_kernel_replaces_an_unusable_running_one_with_a_warning(tmp_path: Path) -> None:
    install(tmp_path, "6.1.0-9-amd64")
    install(tmp_path, "6.1.0-13-amd64")
    install(tmp_path, "6.1.0-13-cloud-amd64")
    kernel = select_kernel(tmp_path, running="6.18.44-fc", virtualization="container:docker")
    assert kernel.version == "6.1.0-13-amd64"
    [warning] = kernel.warnings
    assert "6.18.44-fc" in warning
    assert "no image and no modules" in warning
    assert "container (docker)" in warning


def test_a_kernel_updated_away_under_the_running_system_is_named(tmp_path: Path) -> None:
    install(tmp_path, "6.1.0-13-amd64")
    (tmp_path / "boot/vmlinuz-6.1.0-9-amd64").write_bytes(b"MZ")
    [warning] = select_kernel(tmp_path, running="6.1.0-9-amd64").warnings
    assert "(it has no modules)" in warning


def test_no_kernel_at_all_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        select_kernel(tmp_path, running="6.18.44-fc", advice=ADVICE)
    assert caught.value.hint == ADVICE
    assert "no other kernel is installed" in caught.value.message


def test_a_wanted_kernel_that_is_missing_lists_the_installed_ones(tmp_path: Path) -> None:
    install(tmp_path, "6.1.0-9-amd64")
    with pytest.raises(Refused, match=r"6\.5 cannot be used") as caught:
        select_kernel(tmp_path, running="6.1.0-9-amd64", wanted="6.5", advice=ADVICE)
    assert caught.value.hint == "installed are: 6.1.0-9-amd64"


@pytest.mark.parametrize("image", ["boot/vmlinuz-{}", "lib/modules/{}/vmlinuz", "boot/vmlinux-{}", "boot/Image-{}"])
def test_images_are_found_where_distributions_put_them(tmp_path: Path, image: str) -> None:
    install(tmp_path, "6.4.0", image)
    kernel = find_kernel(tmp_path, "6.4.0")
    assert kernel and kernel.image == tmp_path / image.format("6.4.0")


def test_modules_below_usr_are_found_without_a_lib_link(tmp_path: Path) -> None:
    install(tmp_path, "6.4.0", "usr/lib/modules/{}/vmlinuz", "usr/lib/modules")
    kernel = find_kernel(tmp_path, "6.4.0")
    assert kernel and kernel.modules == tmp_path / "usr/lib/modules/6.4.0"


def test_leftovers_of_a_removed_kernel_are_no_kernel(tmp_path: Path) -> None:
    install(tmp_path, "6.4.0")
    (tmp_path / "lib/modules/6.4.0/modules.dep").unlink()
    install(tmp_path, "6.5.0")
    (tmp_path / "boot/vmlinuz-6.5.0").write_bytes(b"")
    assert installed_kernels(tmp_path) == []


def test_the_configuration_comes_from_boot_or_beside_the_modules(tmp_path: Path) -> None:
    install(tmp_path, "6.4.0")
    assert find_kernel(tmp_path, "6.4.0").config == {}  # type: ignore[union-attr]
    (tmp_path / "lib/modules/6.4.0/config").write_text("CONFIG_RD_XZ=y\n")
    assert find_kernel(tmp_path, "6.4.0").config == {"CONFIG_RD_XZ": "y"}  # type: ignore[union-attr]
    (tmp_path / "boot/config-6.4.0").write_text("CONFIG_RD_ZSTD=y\n")
    assert find_kernel(tmp_path, "6.4.0").config == {"CONFIG_RD_ZSTD": "y"}  # type: ignore[union-attr]


def test_the_running_kernel_knows_its_own_configuration(tmp_path: Path) -> None:
    install(tmp_path, "6.4.0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_RD_GZIP=y\n"))
    assert select_kernel(tmp_path, running="6.4.0").config == {"CONFIG_RD_GZIP": "y"}
    assert find_kernel(tmp_path, "6.4.0", running="6.5.0").config == {}  # type: ignore[union-attr]


def test_config_options_that_are_not_set_are_left_out() -> None:
    lines = ["# CONFIG_RD_LZ4 is not set", "CONFIG_RD_ZSTD=y", 'CONFIG_DEFAULT_HOSTNAME="(none)"', ""]
    assert parse_config(lines) == {"CONFIG_RD_ZSTD": "y", "CONFIG_DEFAULT_HOSTNAME": "(none)"}


@pytest.mark.parametrize(
    "ordered",
    [
        ["6.1.0-9-amd64", "6.1.0-13-cloud-amd64", "6.1.0-13-amd64", "6.2.0-1-cloud-amd64"],
        ["6.9.12-amd64", "6.10-rc3-amd64", "6.10-rc12-amd64", "6.10-amd64", "6.10.1-amd64"],
        ["5.14.0-70.13.1.el9_0.x86_64", "5.14.0-362.8.1.el9_3.x86_64+debug", "5.14.0-362.8.1.el9_3.x86_64"],
        ["6.5.6-300.fc39.x86_64", "6.10.0-0.rc3.25.fc41.x86_64", "6.10.0-64.fc41.x86_64"],
        ["6.4.0-150600.9-default", "6.4.0-150600.21-azure", "6.4.0-150600.21-default"],
    ],
)
def test_versions_sort_as_their_makers_count(ordered: list[str]) -> None:
    shuffled = random.Random(7).sample(ordered, len(ordered))
    assert sorted(shuffled, key=version_key) == ordered


@given(st.lists(st.text(alphabet="0123456789abcrc.-_~+x", max_size=20), min_size=2, max_size=5))
def test_any_versions_can_be_sorted(versions: list[str]) -> None:
    assert len(sorted(versions, key=version_key)) == len(versions)
