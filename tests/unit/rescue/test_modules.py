# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules are taken, with what they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.errors import RearError
from rear_core.rescue.modules import ModuleIndex, is_taken_by_default, name_of, select, without

DEP = """\
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/sound/soundcore.ko:
kernel/sound/core/snd.ko: kernel/sound/soundcore.ko
kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko.xz: kernel/net/wireless/cfg80211.ko.xz
kernel/net/wireless/cfg80211.ko.xz:
kernel/drivers/net/bonding/bonding.ko.zst: kernel/net/tls/tls.ko.zst
kernel/net/tls/tls.ko.zst:
updates/dkms/zfs.ko: updates/dkms/spl.ko
updates/dkms/spl.ko:
updates/dkms/nvidia.ko:
"""


@pytest.fixture
def index(tmp_path: Path) -> ModuleIndex:
    (tmp_path / "modules.dep").write_text(DEP)
    for line in DEP.splitlines():
        path = tmp_path / line.partition(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "modules.softdep").write_text("# comment\nsoftdep ext4 pre: crypto-crc32c\n")
    (tmp_path / "modules.alias").write_text(
        "alias pci:v00008086d* e1000e\nalias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\n"
    )
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n")
    return ModuleIndex(tmp_path)


def test_the_default_set_has_storage_and_network_but_no_sound_and_radio(index: ModuleIndex) -> None:
    names = {name_of(path) for path in select(index, [])}
    assert {"ext4", "jbd2", "bonding", "tls", "zfs", "spl", "crc32c_intel"} <= names
    assert not names & {"snd", "soundcore", "iwlwifi", "cfg80211", "nvidia"}


def test_named_modules_come_with_what_they_need(index: ModuleIndex) -> None:
    names = {name_of(path) for path in select(index, ["snd", "absent", "virtio"])}
    assert {"snd", "soundcore"} <= names


def test_all_modules(index: ModuleIndex) -> None:
    assert select(index, ["all_modules"]) == sorted(index.dependencies)


def test_soft_dependencies_are_followed_through_aliases(index: ModuleIndex) -> None:
    assert index.closure(["kernel/fs/ext4/ext4.ko"]) == [
        "kernel/arch/x86/crypto/crc32c-intel.ko",
        "kernel/crypto/crc32c_generic.ko",
        "kernel/fs/ext4/ext4.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/lib/crc16.ko",
    ]


def test_hyphens_do_not_matter(index: ModuleIndex) -> None:
    assert index.find("crc32c-intel") == index.find("crc32c_intel") != []
    assert index.is_builtin("virtio")


def test_big_graphics_drivers_are_left_out() -> None:
    assert is_taken_by_default("kernel/drivers/gpu/drm/virtio/virtio-gpu.ko")
    assert not is_taken_by_default("kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko")


def test_a_directory_without_index_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RearError) as caught:
        select(ModuleIndex(tmp_path), [])
    assert "depmod" in caught.value.hint


@pytest.mark.parametrize("wanted", [[], ["all_modules"]])
def test_a_module_that_is_not_there_is_named_with_advice(index: ModuleIndex, wanted: list[str]) -> None:
    (index.directory / "kernel/lib/crc16.ko").unlink()
    with pytest.raises(RearError, match=r"names kernel/lib/crc16\.ko, which is missing") as caught:
        select(index, wanted)
    assert "depmod" in caught.value.hint


def test_an_excluded_module_goes_with_what_needs_it(index: ModuleIndex) -> None:
    everything = select(index, ["all_modules"])
    left = without(index, everything, ["jbd2", "cfg80211", "absent"])
    assert {name_of(path) for path in everything} - {name_of(path) for path in left} == {
        "ext4", "jbd2", "iwlwifi", "cfg80211",
    }  # fmt: skip
