# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry that GRUB starts by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.boot.grub_menu import (
    MenuItem,
    choose,
    default_of,
    entries,
    menu,
    notes,
)
from rear_core.boot.loader import Entry

# Written by Debian's grub-mkconfig, shortened.
GRUB_CFG = """
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="%s"
fi
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1-2' {
        load_video
        insmod ext2
        search --no-floppy --fs-uuid --set=root 1-2
        echo    'Loading Linux 6.1.0-13-amd64 ...'
        linux   /boot/vmlinuz-6.1.0-13-amd64 root=UUID=1-2 ro  quiet
        echo    'Loading initial ramdisk ...'
        initrd  /boot/initrd.img-6.1.0-13-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1-2' {
        menuentry 'Debian GNU/Linux, with Linux 6.1.0-12-amd64' $menuentry_id_option 'gnulinux-6.1.0-12' {
                linux   /boot/vmlinuz-6.1.0-12-amd64 root=UUID=1-2 ro  quiet
                initrd  /boot/ucode.img /boot/initrd.img-6.1.0-12-amd64
        }
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
        fwsetup
}
"""
NEWEST, OLDER = "/boot/vmlinuz-6.1.0-13-amd64", "/boot/vmlinuz-6.1.0-12-amd64"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "boot/grub").mkdir(parents=True)
    return tmp_path


def configure(target: Path, default: str, environment: str = "") -> Entry | None:
    (target / "boot/grub/grub.cfg").write_text(GRUB_CFG % default)
    (target / "boot/grub/grubenv").write_text(f"# GRUB Environment Block\n{environment}".ljust(1024, "#"))
    return next(iter(entries(target)), None)


@pytest.mark.parametrize(
    ("default", "environment", "kernel"),
    [
        ("0", "", NEWEST),
        ("Debian GNU/Linux", "", NEWEST),
        ("gnulinux-advanced-1-2>gnulinux-6.1.0-12", "", OLDER),
        ("${saved_entry}", "saved_entry=gnulinux-advanced-1-2>gnulinux-6.1.0-12\n", OLDER),
        # GRUB looks for a name in the menu that it shows, and not inside of submenus.
        ("${saved_entry}", "saved_entry=gnulinux-6.1.0-12\n", NEWEST),
        ("1>0", "", OLDER),
        ("1", "", OLDER),
        ("1>5", "", OLDER),
        ("Advanced options for Debian GNU/Linux>0", "", OLDER),
        ("1>Debian GNU/Linux, with Linux 6.1.0-12-amd64", "", OLDER),
        ("0>1", "", NEWEST),
        ("9", "", NEWEST),
        ("${saved_entry}", "", NEWEST),
        ("no such entry", "", NEWEST),
    ],
)
def test_the_default_is_what_grub_would_take(target: Path, default: str, environment: str, kernel: str) -> None:
    entry = configure(target, default, environment)
    assert entry is not None and entry.kernel == kernel


def test_an_entry_has_all_that_is_loaded(target: Path) -> None:
    assert configure(target, "1>0") == Entry(
        "Debian GNU/Linux, with Linux 6.1.0-12-amd64", "gnulinux-6.1.0-12", OLDER,
        ("/boot/ucode.img", "/boot/initrd.img-6.1.0-12-amd64"), ("root=UUID=1-2", "ro", "quiet"),
    )  # fmt: skip


def test_entries_of_the_boot_loader_specification_are_read_newest_first(target: Path) -> None:
    (target / "boot/grub2").mkdir()
    (target / "boot/grub2/grub.cfg").write_text('set default="${saved_entry}"\ninsmod blscfg\nblscfg\n')
    (target / "boot/grub2/grubenv").write_text("kernelopts=root=/dev/mapper/rl-root ro\n")
    (target / "boot/loader/entries").mkdir(parents=True)
    for version in ("5.14.0-70", "5.14.0-427"):
        (target / f"boot/loader/entries/abc-{version}.conf").write_text(
            f"title Rocky\nlinux /vmlinuz-{version}\ninitrd /initramfs-{version}.img $tuned_initrd\n"
            "options $kernelopts $tuned_params\n"
        )
    entry = next(iter(entries(target)), None)
    assert entry is not None
    assert (entry.kernel, entry.initramfs) == ("/boot/vmlinuz-5.14.0-427", ("/boot/initramfs-5.14.0-427.img",))
    assert entry.arguments[:2] == ("root=/dev/mapper/rl-root", "ro")


def put_on_esp(target: Path, program: bytes, **files: str) -> None:
    """As SUSE's sdbootutil fills an EFI system partition: entries for two snapshots, and GRUB's program."""
    names = {"grubenv": "boot/efi/EFI/sles/grubenv", "default": "sys/none"}
    for number, name in (("2", "snapper"), ("3", "system")):
        names[number] = f"boot/efi/loader/entries/{name}-abc-6.12-{number}.conf"
        files[number] = (
            f"# Boot Loader Specification type#1 entry\ntitle\tSLES\nversion    {number}@6.12\n"
            f"options    root=UUID=1 rootflags=subvol=@/.snapshots/{number}/snapshot\n"
            "linux      /abc/6.12/linux-0123\ninitrd     /abc/6.12/initrd-4567\n"
        )
    (target / "boot/efi/EFI/sles").mkdir(parents=True)
    (target / "boot/efi/loader/entries").mkdir(parents=True)
    (target / "boot/efi/abc/6.12").mkdir(parents=True)
    (target / "boot/efi/EFI/sles/grub.efi").write_bytes(program)
    for path in ("linux-0123", "initrd-4567"):
        (target / "boot/efi/abc/6.12" / path).touch()
    for name, text in files.items():
        (target / names[name]).write_text(text)


@pytest.mark.parametrize(
    ("environment", "number"), [("", "3"), ("default=snapper-abc-6.12-2.conf\n", "2"), ("default=gone\n", "3")]
)
def test_a_grub_with_its_configuration_inside_starts_the_entries_of_its_partition(
    target: Path, environment: str, number: str
) -> None:
    put_on_esp(target, b"MZ... blscfg ...", grubenv=environment)
    entry = entries(target)[0]
    assert (entry.title, entry.version) == ("SLES", f"{number}@6.12")
    assert (entry.kernel, entry.initramfs) == (
        "/boot/efi/abc/6.12/linux-0123", ("/boot/efi/abc/6.12/initrd-4567",),
    )  # fmt: skip
    assert entry.arguments == ("root=UUID=1", f"rootflags=subvol=@/.snapshots/{number}/snapshot")


def test_entries_beside_a_grub_that_does_not_read_them_are_not_its_own(target: Path) -> None:
    put_on_esp(target, b"MZ... configfile ...")
    assert entries(target) == []


FALLBACK_COUNTING = """
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="${saved_entry}"
fi
if [ x$feature_timeout_style = xy ] ; then set timeout=5 ; fi
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
"""


def test_what_grub_takes_after_failed_starts_is_not_the_default() -> None:
    assert default_of(FALLBACK_COUNTING, {}) == "0"
    assert default_of(FALLBACK_COUNTING, {"saved_entry": "abc-5.14"}) == "abc-5.14"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("set default=2 ", "2"),
        ("if [ $grub_platform = efi ]; then\n set default=2\nfi", "2"),
        ("if [ $boot_counter = 0 ]; then\n set default=2\nelse\n set default=3\nfi", "3"),
    ],
    ids=["outside", "another condition", "otherwise"],
)
def test_what_is_set_behind_the_counting_of_starts_is_the_default(more: str, expected: str) -> None:
    assert default_of(FALLBACK_COUNTING + more, {"saved_entry": "abc-5.14"}) == expected


def test_all_entries_are_told_the_default_one_first(target: Path) -> None:
    configure(target, "1>0")
    assert [entry.kernel for entry in entries(target)] == [OLDER, NEWEST]


def test_a_default_without_a_kernel_is_told_and_the_first_kernel_counts(target: Path) -> None:
    entry = configure(target, "2")
    assert entry is not None and entry.kernel == NEWEST
    said = "GRUB starts 'UEFI Firmware Settings' by default, which loads no kernel of this system"
    assert notes(target) == [said]
    configure(target, "1>0")
    assert notes(target) == []


# Written by Debian's 20_linux_xen, shortened.
XEN = """
menuentry 'Debian GNU/Linux, with Xen hypervisor' $menuentry_id_option 'xen-gnulinux-simple-1-2' {
        insmod part_gpt; insmod ext2
        if [ "$grub_platform" = "pc" -o "$grub_platform" = "" ]; then
            xen_rm_opts=
        else
            xen_rm_opts="no-real-mode edd=off"
        fi
        multiboot2      /boot/xen-4.17-amd64.gz placeholder   ${xen_rm_opts}
        module2 /boot/vmlinuz-6.1.0-13-amd64 root=UUID=1-2 ro  quiet
        module2 --nounzip   /boot/initrd.img-6.1.0-13-amd64
}
"""


def test_under_xen_the_first_module_is_the_kernel() -> None:
    assert menu(XEN) == [
        MenuItem(
            "Debian GNU/Linux, with Xen hypervisor", "xen-gnulinux-simple-1-2", NEWEST,
            ("/boot/initrd.img-6.1.0-13-amd64",), ("root=UUID=1-2", "ro", "quiet"), "/boot/xen-4.17-amd64.gz",
        )
    ]  # fmt: skip


def test_entries_are_counted_as_they_stand_in_the_menu() -> None:
    """Submenus and entries without a kernel have their numbers as well, and blscfg adds where it stands."""
    text = """
function gfxmode {
    set gfxpayload="${1}"
}
menuentry memtest { insmod x; chainloader /memtest }
blscfg
submenu \\
  'a >b' {
    if true; then
        menuentry 'c' { linux /c ; }
        submenu d {
            menuentry e {
                linux /e
            }
            menuentry f { linux /f
            }
        }
    fi
}
menuentry g { linux /g }
"""
    found = menu(text, [MenuItem("listed", "", "/listed")])
    assert [entry.title for entry in found] == ["memtest", "listed", "a >b", "g"]
    for default, kernel in {
        "0": "", "1": "/listed", "2": "/c", "2>1": "/e", "2>1>1": "/f", "a >>b>d>f": "/f", "a >b>d": "", "3": "/g",
    }.items():  # fmt: skip
        entry = choose(found, default)
        assert entry is not None and entry.kernel == kernel, default


def test_a_system_without_grub_has_no_entry(tmp_path: Path) -> None:
    assert entries(tmp_path) == []
    assert choose([], "0") is None
    assert default_of("", {}) == "0"


def test_a_configuration_on_the_efi_system_partition_counts_where_the_others_lead_nowhere(target: Path) -> None:
    (target / "boot/grub/grub.cfg").write_text("# written by hand, empty\n")
    (target / "boot/efi/EFI/centos").mkdir(parents=True)
    (target / "boot/efi/EFI/centos/grub.cfg").write_text("menuentry x {\n linuxefi /vmlinuz-4.18 ro\n}\n")
    assert next(iter(entries(target)), None) == Entry("x", "", "/boot/vmlinuz-4.18", (), ("ro",))


def test_titles_with_quotes_and_half_lines_are_no_obstacle() -> None:
    text = "menuentry 'It'\\''s Linux' {\n linux ($root)/vmlinuz 'half\n linux ($root)/vmlinuz quiet\n}\n"
    assert list(menu(text)) == [MenuItem("It's Linux", "", "($root)/vmlinuz", (), ("quiet",))]
