# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture with tools that are missing or fail, and disks that settings name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rear_core.contents import Contents
from rear_core.errors import ConfigurationError, ProgramFailed, ProgramMissing, RearError
from rear_core.recordings import Answer, FakeShell, read
from rear_core.shell import Outcome
from rear_core.storage import survey
from rear_core.storage.capture import capture
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import COLUMNS, _type, read_devices
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout, LeftOut
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.iscsi import IscsiUnit
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.luks.recreate import notes
from rear_core.storage.technologies.multipath import MultipathDisk

MACHINES = Path(__file__).parents[2] / "machines"
LSBLK = f"lsblk --json --bytes --output {COLUMNS}"
PART = {"name": "mpathz-part1", "kname": "dm-10", "maj:min": "253:10", "type": "part", "size": 1 << 30}
MISSING = Outcome((), 127, "", "", 0)


def answers(machine: str) -> dict[str, Answer]:
    """The recording of a machine, to be changed."""
    return dict(read(path) for path in (MACHINES / machine / "commands").glob("*.txt"))


@pytest.mark.parametrize("program", ["lsblk", "findmnt", "sfdisk", "lvm", "swapon"])
def test_a_program_without_which_nothing_is_known_is_an_error_that_names_it(program: str) -> None:
    recording = answers("debian-lvm-thin")
    broken = {command: MISSING if command.startswith(program) else answer for command, answer in recording.items()}
    with pytest.raises(ProgramMissing, match=program) as caught:
        capture(FakeShell(broken))
    assert program in caught.value.hint


@pytest.mark.parametrize("program", ["mdadm", "cryptsetup"])
def test_a_broken_tool_never_looks_like_an_absent_technology(program: str) -> None:
    recording = answers("debian-raid-luks")
    failed = Outcome((), 1, "", "cannot open the device", 0)
    broken = {command: failed if command.startswith(program) else answer for command, answer in recording.items()}
    with pytest.raises(ProgramFailed, match="cannot open the device"):
        capture(FakeShell(broken))


def fields(document: object, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all fields of a JSON document, those of lists once."""
    for name, value in document.items() if isinstance(document, dict) else ():
        yield (*place, name)
        yield from fields(value, (*place, name))
    for value in document if isinstance(document, list) else ():
        yield from fields(value, place)


def without(document: Any, place: Sequence[str]) -> None:
    """Take a field away wherever it is."""
    for value in document if isinstance(document, list) else ():
        without(value, place)
    if isinstance(document, dict) and place[0] in document:
        if len(place) == 1:
            del document[place[0]]
        else:
            without(document[place[0]], place[1:])


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["debian-raid-luks", "debian-lvm-thin"])
def test_no_field_that_a_program_does_not_tell_ends_in_anything_but_a_layout_or_an_error_with_its_name(
    machine: str,
) -> None:
    recording, tried = answers(machine), 0
    for command, answer in recording.items():
        assert isinstance(answer, Outcome)
        if not answer.stdout.startswith("{"):
            continue
        for place in sorted({*fields(json.loads(answer.stdout))}):
            document = json.loads(answer.stdout)
            without(document, place)
            try:
                capture(FakeShell({**recording, command: json.dumps(document)}))
            except RearError as error:
                assert command.split()[0] in error.message, (command, place)
            except AssertionError as error:
                # What is asked instead.
                assert "nobody recorded" in str(error), (command, place)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize(
    ("machine", "command", "line", "name"),
    [
        ("debian-raid-luks", "mdadm --detail --export /dev/md127", "MD_DEVICE_dev_vdd1_ROLE=0\n", "/dev/md127"),
        (
            "debian-raid-luks",
            "cryptsetup luksDump --dump-json-metadata /dev/vde5",
            '"tokens"',
            "crypto_LUKS on /dev/vde5",
        ),
        ("debian-lvm-thin", "lvm fullreport", '"discards"', "volume thin2"),
    ],
)
def test_what_is_not_understood_is_lost_by_name_where_it_lies(machine: str, command: str, line: str, name: str) -> None:
    recording = answers(machine)
    (asked,) = [known for known in recording if known.startswith(command)]
    answer = recording[asked]
    assert isinstance(answer, Outcome) and line in answer.stdout
    recording[asked] = answer.stdout.replace(line, "" if line.endswith("\n") else '"other"')
    layout = capture(FakeShell(recording))
    (entry,) = [entry for entry in layout.left_out if entry.name == name]
    assert entry.lost and entry.on and "does not understand what programs report about it (KeyError" in entry.reason
    assert any(isinstance(item, Disk) for item in layout)


def test_a_technology_that_stumbles_may_have_more_on_every_disk() -> None:
    def stumbles(_survey: survey.Survey) -> Iterator[Item]:
        yield from ()
        raise TypeError("no such thing")

    kinds = [*CORE_KINDS, StorageKind("strange", (), stumbles, lambda _: Contents())]
    layout = capture(FakeShell(answers("debian-lvm-thin")), kinds)
    (entry,) = [entry for entry in layout.left_out if entry.name == "some of strange"]
    assert entry.lost and {*entry.on} == {item.id for item in layout if isinstance(item, Disk)}


@pytest.mark.parametrize(("program", "lost"), [("dumpe2fs", "not its options"), ("xfs_info", "not its geometry")])
def test_details_of_a_file_system_that_cannot_be_read_are_warned_of(program: str, lost: str) -> None:
    recording = answers("debian-lvm-thin")
    broken = {command: MISSING if command.startswith(program) else answer for command, answer in recording.items()}
    warnings: list[str] = []
    layout = capture(FakeShell(broken), warn=warnings.append)
    assert warnings and all(lost in line and "not found" in line for line in warnings)
    whole = capture(FakeShell(recording))
    assert [item.id for item in layout] == [item.id for item in whole]


def test_an_excluded_disk_takes_what_lies_on_it_along(described: Callable[..., Layout]) -> None:
    layout = described("debian-raid-luks", exclude=["/dev/vdd"])
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert reasons["/dev/vdd"] == "EXCLUDE_DEVICES names it"
    assert "disk:lab3" not in layout
    assert "mount:/srv/boot" not in layout and "mount:/srv/home" not in layout
    assert "/srv/home" in reasons
    assert [entry.serial for entry in layout.left_out if entry.name == "/dev/vdd"] == ["lab3"]


def test_an_excluded_disk_is_known_by_a_link_a_map_and_one_of_its_paths(
    tmp_path: Path, described: Callable[..., Layout]
) -> None:
    (tmp_path / "link").symlink_to("/dev/vdd")
    assert "disk:lab3" not in described("debian-raid-luks", exclude=[str(tmp_path / "link")])
    (disk,) = [item for item in described("debian-multipath") if item.type == "multipath disk"]
    assert isinstance(disk, MultipathDisk)
    for name in (disk.device, f"/dev/{disk.paths[0].rpartition('/')[2]}"):
        layout = described("debian-multipath", exclude=[name])
        assert disk.id not in layout
        assert {path for path in disk.paths if path in {entry.name for entry in layout.left_out}} == {*disk.paths}


def test_names_that_keep_no_disk_out_are_told(described: Callable[..., Layout]) -> None:
    warnings: list[str] = []
    described("debian-raid-luks", exclude=["/dev/vdd", "/dev/vdz", "vdy", "/dev/nvme*"], warn=warnings.append)
    names = [line.split()[1] for line in warnings if line.startswith("EXCLUDE_DEVICES: ")]
    assert names == ["/dev/vdz", "vdy"]


def test_a_disk_is_excluded_by_its_name_below_dev(described: Callable[..., Layout]) -> None:
    layout = described("debian-raid-luks", exclude=["vd[d]"])
    assert "/dev/vdd" in {entry.name for entry in layout.left_out if entry.reason == "EXCLUDE_DEVICES names it"}


@pytest.mark.parametrize("name", ["/dev/vdb1", "vdb1", "/dev/vd?1"])
def test_a_part_of_a_disk_that_is_excluded_as_a_device_is_an_error(described: Callable[..., Layout], name: str) -> None:
    """Whoever writes it wants it to be safe, and its disk would be overwritten."""
    with pytest.raises(ConfigurationError, match=f"names {re.escape(name)}, which is no disk but lies on /dev/vdb"):
        described("debian-raid-luks", exclude=[name])


def test_rescue_media_on_any_bus_are_left_out() -> None:
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    stick = {"name": "sdx", "kname": "sdx", "maj:min": "8:96", "type": "disk", "size": 1 << 33, "tran": "sata"}
    parts = [("sdx1", None, None), ("sdx2", "vfat", "REAR-EFI"), ("sdx3", "ext4", "REAR-000")]
    stick["children"] = [
        {"name": name, "kname": name, "maj:min": f"8:9{number}", "type": "part", "size": 1 << 30,
         "fstype": fstype, "label": label}
        for number, (name, fstype, label) in enumerate(parts, 7)
    ]  # fmt: skip
    tree["blockdevices"].append(stick)
    recording[LSBLK] = json.dumps(tree)
    layout = capture(FakeShell(recording))
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert reasons["/dev/sdx"] == "it is rescue media (labelled REAR-000)"
    assert not [item for item in layout if "sdx" in str(item)]


@pytest.mark.parametrize("opened_by", ["device", "phantom"])
def test_partitions_that_the_kernel_alone_sees_are_none(opened_by: str) -> None:
    """It takes a checksum of one byte for a table of Acorn's: every 256th LUKS header has it.

    By its UUID the volume may have been opened on either, as both begin with the same sectors.
    """
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    arrays = [
        node
        for disk in tree["blockdevices"]
        for part in disk.get("children", ())
        for node in part.get("children", ())
        if node["name"] == "md126"
    ]
    for node in arrays:
        phantom = {"name": "md126p1", "kname": "md126p1", "maj:min": "259:9", "type": "part", "size": 1 << 30}
        phantom = {**phantom, "fstype": node["fstype"], "uuid": node["uuid"]}
        if opened_by == "phantom":
            node["children"] = [{**phantom, "children": node["children"]}]
        else:
            node["children"].append(phantom)
    said = "sfdisk: /dev/md126: does not contain a recognized partition table"
    changed = {**recording, LSBLK: json.dumps(tree), "sfdisk --json /dev/md126": Outcome((), 1, "", said, 0)}
    warnings: list[str] = []
    layout = capture(FakeShell(changed), warn=warnings.append)
    assert list(layout) == list(capture(FakeShell(recording)))
    assert [line for line in warnings if "/dev/md126p1: seen by the kernel alone" in line]


def test_a_disk_that_nobody_may_read_is_left_out_unless_it_is_in_use() -> None:
    """As in a container, which sees the disks of its host."""
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    part = {"name": "sdx1", "kname": "sdx1", "maj:min": "8:97", "type": "part", "size": 1 << 30, "fstype": "ext4"}
    disk = {"name": "sdx", "kname": "sdx", "maj:min": "8:96", "type": "disk", "size": 1 << 33, "tran": "sata"}
    tree["blockdevices"].append({**disk, "children": [part]})
    recording[LSBLK] = json.dumps(tree)
    denied = Outcome((), 1, "", "sfdisk: cannot open /dev/sdx: Operation not permitted", 0)
    recording["sfdisk --json /dev/sdx"] = denied
    recording["blkid --probe --output export /dev/sdx"] = Outcome((), 2, "", "", 0)
    warnings: list[str] = []
    layout = capture(FakeShell(recording), warn=warnings.append)
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert "Operation not permitted" in reasons["/dev/sdx"]
    assert [line for line in warnings if "/dev/sdx is not described" in line]
    assert "disk:lab3" in layout
    for command in recording:
        if command.startswith("sfdisk"):
            recording[command] = denied
    with pytest.raises(ProgramFailed, match="Operation not permitted"):
        capture(FakeShell(recording))


def test_an_included_disk_is_described_against_the_rules() -> None:
    recording = answers("composed-degraded-array")
    probe = "dumpe2fs -h /dev/sdb"
    recording[probe] = "Filesystem UUID:          77777777-1111-4222-8333-444444444444\nBlock count: 1\n"
    layout = capture(FakeShell(recording), include=["/dev/sd[b]"])
    assert "disk:0x6001405abc000000" in layout
    assert "mount:/mnt/lun" in layout


def test_a_multipath_disk_is_included_by_its_map_and_known_by_what_it_is_reached_through() -> None:
    target = "iqn.2026-11.example:web1"
    recording = answers("debian-multipath")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    listed = json.loads(lsblk.stdout)
    legs = [node for node in listed["blockdevices"] if any(c["type"] == "mpath" for c in node.get("children", ()))]
    for number, leg in enumerate(legs):
        leg["tran"] = "iscsi"
        place = f"ID_PATH=ip-192.0.2.{number}:3260-iscsi-{target}-lun-1\n"
        recording[f"udevadm info --query=property --name=/dev/{leg['name']}"] = place
    recording[LSBLK] = json.dumps(listed)
    # As in a rescue system, which has no fstab.
    recording[next(command for command in recording if "--fstab" in command)] = '{"filesystems": []}'
    assert not capture(FakeShell(recording)).of(MultipathDisk)
    layout = capture(FakeShell(recording), include=["/dev/mapper/mpatha"])
    (disk,) = layout.of(MultipathDisk)
    assert disk.needs == (f"iscsi:{target}/1",)
    assert layout.of(IscsiUnit)[0].portals == tuple(f"192.0.2.{number}:3260" for number in range(len(legs)))


def test_a_clone_does_not_shadow_its_original() -> None:
    recording = answers("debian-lvm-thin")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    one, two = "6d31960b-0eed-42bc-9824-3c32cefaa56e", "8b96e8b1-3774-4ced-91b2-0540f88a587f"
    clone = {
        command: answer
        if isinstance(answer, str)
        else Outcome(answer.argv, answer.status, answer.stdout.replace(two, one), answer.stderr, 0)
        for command, answer in recording.items()
    }
    warnings: list[str] = []
    layout = capture(FakeShell(clone), warn=warnings.append)
    assert f"fs:{one}" in layout
    assert len([item for item in layout if item.id.startswith(f"fs:{one} on ")]) == 1
    assert any("clone" in line for line in warnings)


@pytest.fixture
def described() -> Callable[..., Layout]:
    """The layout of a recorded machine."""
    return lambda machine, **options: capture(FakeShell(answers(machine)), **options)


def test_a_file_system_is_found_by_any_name_that_the_kernel_shows_for_its_device() -> None:
    recording = answers("composed-laptop-luks-btrfs")
    (mounts,) = [command for command in recording if "FSROOT" in command]
    shown = recording[mounts]
    assert isinstance(shown, Outcome)
    renamed = shown.stdout.replace("/dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42", "/dev/dm-0")
    assert renamed != shown.stdout
    assert capture(FakeShell({**recording, mounts: renamed})) == capture(FakeShell(recording))


def changed(recording: dict[str, Answer], name: str, change: Callable[[dict[str, object]], object]) -> None:
    """Change the row of lsblk for a device; one for which there is nothing then is gone."""
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)

    def visit(rows: list[dict[str, object]]) -> None:
        for row in [*rows]:
            children = row.get("children", [])
            assert isinstance(children, list)
            visit(children)
            if row["name"] == name and not change(row):
                rows.remove(row)

    visit(tree["blockdevices"])
    recording[LSBLK] = json.dumps(tree)


def test_what_is_in_a_volume_that_is_not_active_is_lost() -> None:
    recording = answers("debian-lvm-thin")
    changed(recording, "data-grown", lambda row: False)
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if entry.name == "inside lv:data/grown"]
    assert entry.lost and entry.on == ("lv:data/grown",)
    assert "activate it" in entry.reason


@pytest.mark.parametrize(("name", "lost"), [("zd0", True), ("drbd0", True), ("nbd0", False), ("zram0", False)])
def test_what_is_in_a_volume_of_zfs_is_lost_and_not_explained_away(name: str, lost: bool) -> None:
    recording = answers("debian-lvm-thin")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    tree["blockdevices"].append({"name": name, "kname": name, "maj:min": "230:0", "type": "disk", "size": 1 << 30})
    recording[LSBLK] = json.dumps(tree)
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if entry.name == f"/dev/{name}"]
    assert entry.lost == lost


def test_data_that_nobody_knows_are_lost_and_a_thin_pool_is_none() -> None:
    recording = answers("debian-lvm-thin")
    for volume in ("thin2", "pool"):
        recording[f"cmp --silent --bytes=1048576 /dev/mapper/data-{volume} /dev/zero"] = Outcome((), 1, "", "", 0)
    unknown = [entry.name for entry in capture(FakeShell(recording)).left_out if entry.name.startswith("data on ")]
    assert unknown == ["data on /dev/mapper/data-thin2"]


def test_the_disk_of_a_virtual_machine_in_a_volume_is_lost() -> None:
    recording = answers("debian-lvm-thin")

    def virtual(row: dict[str, object]) -> bool:
        row.update(fstype=None, uuid=None, label=None)
        return True

    changed(recording, "data-grown", virtual)
    recording["blkid --probe --output export /dev/mapper/data-grown"] = "DEVNAME=/dev/mapper/data-grown\nPTTYPE=gpt\n"
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if "data-grown" in entry.name]
    assert entry.name == "gpt partition table on /dev/mapper/data-grown"
    assert entry.lost and entry.on == ("lv:data/grown",)


def lost(layout: Layout) -> dict[str, str]:
    """What is left out and lost, with its reason."""
    return {entry.name: entry.reason for entry in layout.left_out if entry.lost}


def test_volumes_on_a_disk_that_is_missing_are_lost_and_the_others_described() -> None:
    """What LVM would refuse when the disks are erased: stripes and mirrors of fewer disks than they have."""
    layout = capture(FakeShell(answers("debian-lvm-thin")), exclude=["/dev/vdc"])
    assert {item.id for item in layout if item.type == "lv"} == {"lv:data/linear", "lv:data/swap"}
    named = {"striped", "mirror", "grown", "pool"}
    assert {name for name, why in lost(layout).items() if "missing or left out" in why} == {
        f"lv:data/{name}" for name in named
    }


def test_what_is_kept_in_nothing_is_not_lost() -> None:
    """Swap space with a random key, as most machines with an encrypted disk have it."""
    recording = answers("debian-raid-luks")
    swap = {"name": "cryptswap", "kname": "dm-9", "maj:min": "254:9", "type": "crypt", "size": 1 << 27}
    swap.update(fstype="swap", uuid="b5a5d8a4-0001-4f0c-9a52-7e3a3a9f1f11")
    changed(recording, "vde3", lambda row: row.update(children=[swap]) or True)
    recording["cat /etc/crypttab"] = "cryptswap /dev/vde3 /dev/urandom swap\n"
    layout = capture(FakeShell(recording))
    assert not [name for name in lost(layout) if "swap" in name]
    assert [entry.name for entry in layout.left_out if "it lies in /dev/mapper/cryptswap" in entry.reason]


@pytest.mark.parametrize(
    ("line", "nothing"),
    [
        ("tmp /dev/vde3 /dev/urandom swap", True),
        ("tmp PARTUUID=1-2 /dev/random plain,cipher=aes-xts-plain64", True),
        ("tmp /dev/vde3 /dev/urandom luks,header=/boot/vault.header", False),
        ("tmp /dev/vde3 /dev/urandom header=/boot/vault.header,luks", False),
        ("tmp /dev/vde3 none luks,header=/boot/vault.header", False),
        ("tmp /dev/vde3 /etc/vault.key plain", False),
        ("tmp /dev/vde3 none bitlk", False),
        ("tmp /dev/vde3 /etc/dev/urandom swap", False),
        ("tmp /dev/vdd3 /dev/urandom swap", False),
        ("other /dev/vde3 /dev/urandom swap", False),
        ("# tmp /dev/vde3 /dev/urandom swap", False),
        ("", False),
    ],
)
def test_only_a_random_key_excuses_what_is_encrypted_without_a_header_on_its_device(line: str, nothing: bool) -> None:
    recording = answers("debian-raid-luks")
    opened = {"name": "tmp", "kname": "dm-9", "maj:min": "254:9", "type": "crypt", "size": 1 << 27, "fstype": "swap"}
    changed(recording, "vde3", lambda row: row.update(children=[opened]) or True)
    recording["cat /etc/crypttab"] = f"{line}\n"
    layout = capture(FakeShell(recording))
    (entry,) = [entry for entry in layout.left_out if entry.name == "/dev/mapper/tmp"]
    assert entry.lost != nothing and bool(entry.on) != nothing


@pytest.mark.parametrize(
    ("line", "key_file", "options"),
    [
        ("vault /dev/md/system none luks", "", "luks"),
        ("vault /dev/md/system - luks", "", "luks"),
        ("vault /dev/md/system /etc/keys/vault -", "/etc/keys/vault", ""),
        ("vault /dev/md/system - none", "", ""),
        ("vault /dev/md/system", "", ""),
        ("vault /dev/md/system # luks, the archive", "", ""),
        ("vault /dev/md/system none luks#1 # x", "", "luks#1"),
    ],
)
def test_a_field_of_crypttab_with_a_hyphen_or_a_comment_is_empty(line: str, key_file: str, options: str) -> None:
    layout = capture(FakeShell({**answers("debian-raid-luks"), "cat /etc/crypttab": f"{line}\n"}))
    (vault,) = [item for item in layout if isinstance(item, Luks) and item.name == "vault"]
    assert (vault.key_file, vault.crypttab_options) == (key_file, options)
    assert not [line for line in notes(vault, Site(layout, {})) if "key file" in line] or key_file


def test_what_a_snapshot_shows_is_lost_with_it_and_nobody_is_asked() -> None:
    recording = answers("debian-lvm-thin")
    before = capture(FakeShell(recording))
    uuid = before["mount:/srv/linear"].needs[0].partition(":")[2]
    changed(recording, "data-before", lambda row: row.update(fstype="ext4", uuid=uuid) or True)
    recording["dumpe2fs -h /dev/mapper/data-before"] = recording["dumpe2fs -h /dev/mapper/data-linear"]
    layout = capture(FakeShell(recording))
    assert [item.id for item in layout] == [item.id for item in before]
    assert [entry.on for entry in layout.left_out if entry.lost and "before" in f"{entry.name} {entry.reason}"] == [
        (),
        (),
    ]


def test_an_array_without_enough_members_is_lost_on_them() -> None:
    recording = answers("debian-raid-luks")
    changed(recording, "md125", lambda row: row.update(type="md", size=0, fstype=None, uuid=None) or True)
    recording["blkid --probe --output export /dev/md125"] = Outcome((), 2, "", "", 0)
    export = "mdadm --detail --export /dev/md125"
    outcome = recording[export]
    text = outcome.stdout if isinstance(outcome, Outcome) else str(outcome)
    recording[export] = "".join(line for line in text.splitlines(keepends=True) if "MD_LEVEL" not in line)
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if entry.name == "/dev/md125"]
    assert entry.lost and "a stopped array" in entry.reason
    assert len(entry.on) == 3


def test_a_physical_volume_that_lvm_does_not_show_is_lost() -> None:
    recording = answers("debian-lvm-thin")
    changed(recording, "vdb2", lambda row: row.update(fstype="LVM2_member", uuid="abc") or True)
    assert "filters leave it out" in lost(capture(FakeShell(recording)))["physical volume on /dev/vdb2"]


def test_physical_volumes_are_known_by_the_names_that_lvm_prefers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `preferred_names = [ "^/dev/disk/by-" ]` in lvm.conf."""
    recording = answers("debian-lvm-thin")
    before = capture(FakeShell(recording))
    (report,) = [command for command in recording if command.startswith("lvm fullreport")]
    shown = recording[report]
    assert isinstance(shown, Outcome)
    names = re.sub(r"/dev/(vd\w+)", r"/dev/disk/by-path/pci-0000:00:04.0-\1", shown.stdout)
    assert names != shown.stdout
    numbers = {device.kernel_name: device.number for device in read_devices(FakeShell(recording), print).values()}
    monkeypatch.setattr(survey, "device_number", lambda name: numbers[name.rpartition("-")[2]])
    assert capture(FakeShell({**recording, report: names})) == before


@pytest.mark.parametrize("include", [(), ["/dev/mapper/mpathz"]])
@pytest.mark.parametrize("known", [{}, {"fstype": "xfs", "uuid": "xx"}, {"children": [PART]}])
def test_a_multipath_disk_without_paths_is_lost_and_never_read(known: dict[str, object], include: list[str]) -> None:
    """Nobody recorded that it is: what reads it may wait for ever for a path."""
    recording = answers("debian-multipath")
    before = capture(FakeShell(recording))
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    dead = {"name": "mpathz", "kname": "dm-9", "maj:min": "253:9", "type": "mpath", "size": 10 << 30, **known}
    recording[LSBLK] = json.dumps({"blockdevices": [*tree["blockdevices"], dead]})
    layout = capture(FakeShell(recording), include=include)
    assert layout.items == before.items
    assert lost(layout)["/dev/mapper/mpathz"] == "all paths of this multipath disk are missing"


@pytest.mark.parametrize("path", ["sdb", "sdc"])
def test_a_multipath_disk_is_described_by_a_path_that_is_not_left_out(path: str) -> None:
    recording = answers("debian-multipath")
    before = capture(FakeShell(recording))
    changed(recording, path, lambda row: row.update(size=0) or True)
    layout = capture(FakeShell(recording))
    assert layout.items == before.items
    assert {*layout.left_out} - {*before.left_out} == {LeftOut(f"/dev/{path}", "no medium is in it")}


def second_group(recording: dict[str, Answer], *, runs: bool) -> None:
    """Give the machine a second volume group `data`, on a disk that comes first; its volumes run or not."""
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    old = {"name": "sda", "kname": "sda", "maj:min": "8:0", "type": "disk", "size": 1 << 30, "tran": "sata"}
    old.update(fstype="LVM2_member", uuid="OLD-PV", serial="old")
    volume = {"name": "data-old", "kname": "dm-99", "maj:min": "253:99", "type": "lvm", "size": 1 << 25}
    if runs:
        old.update(children=[{**volume, "fstype": "ext4", "uuid": "OLD-FS"}])
    recording[LSBLK] = json.dumps({"blockdevices": [old, *json.loads(lsblk.stdout)["blockdevices"]]})
    (command,) = [command for command in recording if command.startswith("lvm fullreport")]
    shown = recording[command]
    assert isinstance(shown, Outcome)
    report = json.loads(shown.stdout)["report"]
    full = next(part for part in report if part.get("vg"))
    first = next(row for row in full["lv"] if row["lv_name"] == "linear")
    names = {"linear": "linear", "old": "data-old"}
    second = {
        "vg": [{**full["vg"][0], "vg_uuid": "OLD-VG"}],
        "pv": [{**full["pv"][0], "pv_name": "/dev/sda", "pv_uuid": "OLD-PV"}],
        "lv": [{**first, "lv_name": name, "lv_uuid": name, "lv_dm_path": f"/dev/mapper/data-{name}"} for name in names],
        "seg": [
            {**row, "lv_uuid": name, "seg_pe_ranges": "/dev/sda:0-7"}
            for row in full["seg"]
            if row["lv_uuid"] == first["lv_uuid"]
            for name in names
        ],
    }
    recording[command] = json.dumps({"report": [second, *report]})
    recording["sfdisk --json /dev/sda"] = Outcome((), 1, "", "does not contain a recognized partition table", 0)
    recording["dumpe2fs -h /dev/mapper/data-old"] = "Filesystem UUID: OLD-FS\nBlock count: 1\n"


@pytest.mark.parametrize("runs", [False, True])
def test_of_two_volume_groups_with_one_name_that_in_use_is_described(runs: bool) -> None:
    recording = answers("debian-lvm-thin")
    before = capture(FakeShell(recording))
    second_group(recording, runs=runs)
    layout = capture(FakeShell(recording))
    assert {item.id for item in layout} == {item.id for item in before} | {"disk:old"}
    assert all(layout[item.id] == item for item in before)
    found = [entry for entry in layout.left_out if entry.on == ("disk:old",)]
    assert all(entry.lost for entry in found)
    assert [entry.name for entry in found] == [
        *(["file system OLD-FS"] if runs else []), "volume group data (OLD-VG)",
    ]  # fmt: skip
    assert "vgrename OLD-VG" in found[-1].reason


def test_a_clone_of_an_open_luks_volume_is_another_one() -> None:
    recording = answers("debian-raid-luks")
    before = capture(FakeShell(recording))
    vault = next(item for item in before if isinstance(item, Luks) and item.name == "vault")
    for options in ("", "--dump-json-metadata "):
        recording[f"cryptsetup luksDump {options}/dev/sdz"] = recording[f"cryptsetup luksDump {options}/dev/md126"]
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    clone = {"name": "sdz", "kname": "sdz", "maj:min": "65:144", "type": "disk", "size": 1 << 30, "tran": "sata"}
    clone.update(fstype="crypto_LUKS", uuid=vault.uuid, serial="old")
    for nodes in (
        [clone, *json.loads(lsblk.stdout)["blockdevices"]],
        [*json.loads(lsblk.stdout)["blockdevices"], clone],
    ):
        recording[LSBLK] = json.dumps({"blockdevices": nodes})
        layout = capture(FakeShell(recording))
        both = [item for item in layout if isinstance(item, Luks) and item.uuid == vault.uuid]
        (opened,) = [item for item in both if item.name]
        assert len(both) == 2 and opened.needs == vault.needs
        inside = {item.id: item.needs for item in before if vault.id in item.needs}
        assert {id: layout[id].needs for id in inside} == {
            id: tuple(opened.id if need == vault.id else need for need in needs) for id, needs in inside.items()
        }


def test_a_damaged_header_of_luks_is_lost_where_nothing_is_open() -> None:
    recording = answers("debian-raid-luks")
    recording["cryptsetup luksDump /dev/vde5"] = Outcome((), 1, "", "Device /dev/vde5 is not a valid LUKS device.", 0)
    assert "not a valid LUKS device" in lost(capture(FakeShell(recording)))["crypto_LUKS on /dev/vde5"]


def test_a_clone_is_no_further_disk_of_a_btrfs() -> None:
    recording = answers("debian-btrfs-nvme-sata")
    before = capture(FakeShell(recording))
    tree = next(item for item in before if item.type == "btrfs" and len(item.needs) == 1)
    name = getattr(before[tree.needs[0]], "device", "").rpartition("/")[2]
    clone = {"name": "sdz", "kname": "sdz", "maj:min": "65:144", "type": "disk", "size": 1 << 30, "tran": "sata"}
    clone.update(fstype="btrfs", uuid=getattr(tree, "uuid", ""))
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    nodes = json.loads(lsblk.stdout)["blockdevices"]
    recording[LSBLK] = json.dumps({"blockdevices": [*nodes, clone]})
    recording[f"btrfs filesystem show --raw /dev/{name}"] = f"devid 1 size 1 used 1 path /dev/{name}\n"
    superblock = recording[f"btrfs inspect-internal dump-super /dev/{name}"]
    recording["btrfs inspect-internal dump-super /dev/sdz"] = superblock
    recording["btrfs filesystem show --raw /dev/sdz"] = recording[f"btrfs filesystem show --raw /dev/{name}"]
    layout = capture(FakeShell(recording))
    assert layout[tree.id] == tree
    assert lost(layout)["btrfs on /dev/sdz"] == f"a clone of the file system on /dev/{name}"


def test_a_partition_of_an_array_is_one_to_old_tools_as_well() -> None:
    """lsblk of util-linux 2.32 calls it `md`, as the array."""
    node = {"name": "md127p1", "kname": "md127p1", "type": "md"}
    assert _type(node) == "part"
    assert _type({**node, "kname": "md127"}) == "md"
