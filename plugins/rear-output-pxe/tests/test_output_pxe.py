# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=PXE: a real tree is made and looked into."""

from __future__ import annotations

import io
import re
import stat
import tempfile
from collections.abc import Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rear_output_pxe
from lab import servers
from rear_core import ConfigurationError, RearError, Refused, RescueImage, Run
from rear_core.archive import repository, signature
from rear_core.builtin import core, network, rescue
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_output_pxe import lock
from rear_output_pxe.loaders import Loader, files_of, find_loaders
from rear_output_pxe.nodes import file_names, node

# Every file waits until it is on the disk, and a disk may be busy.
pytestmark = pytest.mark.timeout(300)

NODES = "PXE_NODES=( 52:54:00:aa:00:01 10.0.2.15 b8945908-d6a6-41a9-611d-74a6ab80b83d )\n"
# Boot loaders take their time to make, and most tests do without.
QUICK = NODES + "PXE_BOOT_LOADERS=none\n"
MENUS = (
    "pxelinux.cfg/01-52-54-00-aa-00-01",
    "pxelinux.cfg/0A00020F",
    "pxelinux.cfg/b8945908-d6a6-41a9-611d-74a6ab80b83d",
    "grub/grub.cfg-01-52-54-00-aa-00-01",
    "grub/grub.cfg-10.0.2.15",
    "ipxe/0a00020f",
)


def found_loaders() -> Sized:
    """The boot loaders that are installed here."""
    with tempfile.TemporaryDirectory() as folder:
        return find_loaders(make_run(Path(folder)))


def make_run(tmp_path: Path, config: str = QUICK, *, url: str = "", machine: str = "x86_64") -> Run:
    """A run with a packed rescue system that goes to the folder `tftp`, or to a server."""
    text = f"OUTPUT_URL={url or f'file://{tmp_path}/tftp'}\nSHARE_DIR={tmp_path}/share\n{config}"
    shared = (core, network, rescue, rear_output_pxe)
    declared = [setting for plugin in shared for setting in plugin.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    build = tmp_path / "build"
    build.mkdir(exist_ok=True)
    options = Options(config_dir=tmp_path / "etc")
    run = Run(settings, Plugins([rear_output_pxe]), options, build_dir=build, phases=("prep", "output"))
    run.system = System(OperatingSystem("debian"), "web1", machine, "6.1.0-13-amd64", Firmware("bios", None))
    kernel, initramfs = build / "kernel", build / "initramfs"
    kernel.write_bytes(b"kernel" * 1000)
    initramfs.write_bytes(b"initramfs" * 50000)
    run.image = RescueImage(kernel, initramfs, "6.1.0-13-amd64", "console=tty0 console=ttyS0,115200")
    return run


def make_tree(run: Run) -> Path:
    """Run the steps of prep and output in their order; the folder of the new version, where it is on this machine."""
    with run.undo:
        for step in (*rear_output_pxe.rear_prep(run), *rear_output_pxe.rear_output(run)):
            step.action(run)
    return run.results[0].parent if run.results else Path()


def led_to(menu: Path) -> set[str]:
    """The versions that a menu leads to."""
    return set(re.findall(r"rear/web1/([^/]+)/", menu.read_text()))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree as the first run makes it."""
    folder = tmp_path_factory.mktemp("tree")
    make_tree(make_run(folder, NODES))
    return folder / "tftp"


def test_every_menu_leads_to_kernel_and_rescue_system_of_one_version(tree: Path) -> None:
    (version,) = (path for path in (tree / "rear/web1").iterdir() if path.is_dir())
    assert sorted(path.name for path in version.iterdir()) == ["SHA256SUMS", "initramfs.img", "vmlinuz"]
    Shell().run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=version)
    for name in MENUS:
        menu = tree / name
        assert led_to(menu) == {version.name}
        base = {"grub": tree, "ipxe": tree / "ipxe"}.get(name.partition("/")[0], tree)
        for path in re.findall(r"^\s*(?:kernel|linux|initrd) (\S+)", menu.read_text(), re.MULTILINE):
            assert (base / path.lstrip("/")).is_file()


def test_drivers_of_their_own_come_by_http(tmp_path: Path) -> None:
    run = make_run(tmp_path, f"{NODES}RESCUE_SPLIT=yes\nPXE_HTTP_DOWNLOAD_URL=http://127.0.0.1:9/tftp\n")
    assert run.image is not None
    drivers = run.build_dir / "drivers"
    drivers.write_bytes(b"drivers")
    run.image = replace(run.image, drivers=drivers)
    version = make_tree(run)
    Shell().run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=version)
    assert (version / "drivers.squashfs").read_bytes() == b"drivers"
    told = f" rear.drivers=http://127.0.0.1:9/tftp/rear/web1/{version.name}/drivers.squashfs"
    for name in MENUS:
        assert (tmp_path / "tftp" / name).read_text().count(told) == 3


def test_drivers_of_their_own_need_http(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="RESCUE_SPLIT needs PXE_HTTP_DOWNLOAD_URL"):
        make_tree(make_run(tmp_path, f"{NODES}RESCUE_SPLIT=yes\n"))


def test_the_menus_have_the_entries_of_other_media(tree: Path) -> None:
    for name in MENUS:
        text = (tree / name).read_text()
        assert [word for word in ("automatic", "shell", "disk") if word not in text] == []
        assert text.count("rear.auto=recover") == text.count("rear.auto=shell") == 1
    assert "label recover\n  menu default\n  menu label Rescue system of web1: menu" in (tree / MENUS[0]).read_text()


def test_whoever_serves_the_tree_can_read_it_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_no_default_is_made_unasked(tree: Path) -> None:
    assert not [path for path in tree.rglob("*") if path.name.endswith("default")]


@pytest.mark.skipif(not Shell().which("grub-script-check"), reason="grub-script-check is not installed")
def test_grub_understands_its_files(tree: Path) -> None:
    for path in (tree / "grub").glob("grub.cfg*"):
        Shell().run("grub-script-check", path)


@pytest.mark.skipif(len(found_loaders()) < 3, reason="boot loaders are not installed")
def test_boot_loaders_are_those_of_the_distribution(tree: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    loaders = find_loaders(run)
    assert [loader.boot_file for loader in loaders] == ["pxelinux.0", "grub/core.0", "grub/bootx64.efi"]
    for loader in loaders:
        for name, source in files_of(run, loader, tmp_path).items():
            assert (tree / name).read_bytes() == source.read_bytes()
    assert {"grub/grubx64.efi", "grub/mmx64.efi"} <= set(loaders[2].files)


@pytest.mark.parametrize("target", ["i386-pc-pxe", "x86_64-efi"])
def test_grub_is_made_of_its_modules(tmp_path: Path, target: str) -> None:
    modules = Path("/usr/lib/grub", target.replace("-pxe", ""))
    if not modules.is_dir():
        pytest.skip(f"{modules} is not installed")
    loader = Loader("GRUB", "bios" if "pc" in target else "uefi", "grub/made", {}, modules, target)
    made = files_of(make_run(tmp_path), loader, tmp_path)["grub/made"].read_bytes()
    assert made.startswith(b"MZ" if "efi" in target else b"\xb2\x7f\xea")


def test_an_old_version_stays_until_it_is_one_too_many(tmp_path: Path) -> None:
    versions = [make_tree(make_run(tmp_path, QUICK + "PXE_KEEP=2\n")) for _ in range(3)]
    assert [path.exists() for path in versions] == [False, True, True]
    assert all(led_to(tmp_path / "tftp" / name) == {versions[-1].name} for name in MENUS)


@pytest.mark.slow
def test_a_run_that_fails_changes_no_menu_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    (tmp_path / "tftp").mkdir()
    with servers.http(tmp_path / "tftp") as url:
        make_tree(make_run(tmp_path, url=url + "/"))
    before = {name: (tmp_path / "tftp" / name).read_bytes() for name in MENUS}
    # The server takes the kernel, and not the larger rescue system.
    with servers.http(tmp_path / "tftp", limit=100_000) as url:
        failing = make_run(tmp_path, url=url + "/")
        with pytest.raises(RearError, match="507"):
            make_tree(failing)
    home = tmp_path / "tftp/rear/web1"
    assert {name: (tmp_path / "tftp" / name).read_bytes() for name in MENUS} == before
    assert len([path for path in home.iterdir() if path.is_dir()]) == 2
    newest = make_tree(make_run(tmp_path, QUICK + "PXE_KEEP=1\n"))
    assert [path for path in home.iterdir() if path.is_dir()] == [newest]
    assert (home / "versions").read_text().split()[:2] == [newest.name, "complete"]
    assert len((home / "versions").read_text().splitlines()) == 1


def test_machines_of_one_name_keep_each_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(machine: str, mac: str) -> Path:
        monkeypatch.setattr(repository, "computed", lambda: machine)
        config = f"PXE_NODES=( 52:54:00:aa:00:{mac} )\nPXE_BOOT_LOADERS=none\nPXE_KEEP=1\n"
        (run := make_run(tmp_path, config)).report = report
        return make_tree(run)

    terminal = io.StringIO()
    report = Report(terminal=terminal)
    before, one, other, again = made("", "01"), made("one", "01"), made("other", "02"), made("other", "02")
    assert [path.exists() for path in (before, one, other, again)] == [False, True, False, True]
    assert led_to(tmp_path / "tftp/pxelinux.cfg/01-52-54-00-aa-00-01") == {one.name}
    assert led_to(tmp_path / "tftp/pxelinux.cfg/01-52-54-00-aa-00-02") == {again.name}
    assert "of another machine (identity one, this one is other)" in terminal.getvalue()


@pytest.mark.parametrize("machine", ["same", ""])
def test_clones_of_one_identity_keep_each_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    """Copies of a board without a UUID of its own: only their keys differ."""
    report = Report(terminal=(terminal := io.StringIO()))
    monkeypatch.setattr(repository, "computed", lambda: machine)

    def made(key: str) -> Path:
        monkeypatch.setattr(signature, "public_key", lambda _: key)
        (run := make_run(tmp_path, QUICK + "PXE_KEEP=1\n")).report = report
        return make_tree(run)

    before, one, other, again = made(""), made("one"), made("other"), made("other")
    assert [path.exists() for path in (before, one, other, again)] == [False, True, False, True]
    assert "of the same identity, with another key" in terminal.getvalue()
    # Without a key it cannot tell, as before.
    assert made("").exists() and not one.exists() and not again.exists()


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_what_somebody_else_wrote_for_this_machine_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    theirs = put(tmp_path / "tftp" / MENUS[0], "label install\n")
    with pytest.raises(Refused, match="is not from rear"):
        make_tree(make_run(tmp_path))
    assert [path for path in (tmp_path / "tftp").rglob("*") if path.is_file()] == [theirs]


@pytest.mark.parametrize("asked", [False, True])
def test_a_default_is_written_over_only_when_asked(tmp_path: Path, asked: bool) -> None:
    default = put(tmp_path / "tftp/pxelinux.cfg/default", "label install\n")
    version = make_tree(make_run(tmp_path, QUICK + f"PXE_DEFAULT={'yes' if asked else 'no'}\n"))
    assert (led_to(default) == {version.name}) == asked
    assert (tmp_path / "tftp/grub/grub.cfg-default").exists() == asked


def test_what_all_machines_share_stays_as_somebody_else_made_it(tmp_path: Path) -> None:
    shared = [put(tmp_path / "tftp" / name, "theirs") for name in ("grub/grub.cfg", "boot.ipxe", "pxelinux.0")]
    run = make_run(tmp_path, NODES)
    make_tree(run)
    assert [path.read_text() for path in shared] == ["theirs"] * 3
    assert sum("is not from rear and stays" in warning for warning in run.report.warnings) == 2
    assert any(
        "lacks modules that rear's menus need: ldlinux.c32, libutil.c32, menu.c32" in w for w in run.report.warnings
    )
    make_tree(make_run(tmp_path, NODES + "PXE_BOOT_LOADERS=replace\n"))
    assert "theirs" not in [path.read_text(errors="replace") for path in shared]


def test_no_boot_loader_is_copied_unasked(tmp_path: Path) -> None:
    make_tree(make_run(tmp_path))
    assert not (tmp_path / "tftp/pxelinux.0").exists()
    assert not (tmp_path / "tftp/boot.ipxe").exists()


def test_an_administrators_template_takes_the_place_of_ours(tmp_path: Path) -> None:
    put(tmp_path / "etc/templates/PXE_per_node_config", "label ours\n  kernel {{ kernel }}\n")
    version = make_tree(make_run(tmp_path))
    text = (tmp_path / "tftp" / MENUS[0]).read_text()
    assert text.splitlines()[1:] == ["label ours", f"  kernel rear/web1/{version.name}/vmlinuz"]


def test_a_bad_template_ends_the_run_before_anything_is_made(tmp_path: Path) -> None:
    path = put(tmp_path / "etc/templates/PXE_per_node_config", "label\n  kernel {{ kernle }}\n")
    with pytest.raises(ConfigurationError, match="'kernle' is undefined") as caught:
        make_tree(make_run(tmp_path))
    assert caught.value.message.startswith(f"{path}:2: ")
    assert not (tmp_path / "tftp").exists()


def test_without_a_boot_loader_for_this_machine_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no boot loader") as caught:
        make_tree(make_run(tmp_path, NODES, machine="s390x"))
    assert "pxelinux" in caught.value.hint
    # The server may have one.
    put(tmp_path / "tftp/pxelinux.0", "theirs")
    make_tree(make_run(tmp_path, NODES, machine="s390x"))


def test_a_machine_without_bios_needs_the_loader_of_its_own_architecture(tmp_path: Path) -> None:
    put(tmp_path / "tftp/grub/bootx64.efi", "of PCs")
    with pytest.raises(Refused, match="network boot of machines with UEFI") as caught:
        make_tree(make_run(tmp_path, NODES, machine="aarch64"))
    assert "grub-arm64-efi" in caught.value.hint
    put(tmp_path / "tftp/grub/bootaa64.efi", "theirs")
    make_tree(make_run(tmp_path, NODES, machine="aarch64"))


def test_secrets_on_a_public_server_are_a_warning(tmp_path: Path) -> None:
    run = make_run(tmp_path, "SSH_HOST_KEYS=yes\n")
    rear_output_pxe.warn_of_secrets(run)
    assert "SSH_HOST_KEYS" in run.report.warnings[0]


def test_without_a_place_the_run_is_ended(tmp_path: Path) -> None:
    run = make_run(tmp_path, "OUTPUT_URL=\n")
    with pytest.raises(ConfigurationError, match="needs OUTPUT_URL"):
        list(rear_output_pxe.rear_missing(run))


@pytest.mark.parametrize(
    "line",
    [
        "PXE_NODES=( server )",
        "PXE_NODE_BY=name",
        "PXE_KEEP=0",
        "PXE_PREFIX=a/b",
        "PXE_HTTP_DOWNLOAD_URL=https://x/",
        "OUTPUT_URL=tftp://server/x",
    ],
)
def test_bad_settings_are_errors_of_the_configuration(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line.partition("=")[0]):
        make_run(tmp_path, line)


@pytest.mark.parametrize(
    ("word", "loader", "names"),
    [
        ("52:54:00:AA:00:01", "pxelinux", ["pxelinux.cfg/01-52-54-00-aa-00-01"]),
        ("52-54-00-aa-00-01", "grub", ["grub/grub.cfg-01-52-54-00-aa-00-01", "grub/grub.cfg-52-54-00-aa-00-01"]),
        ("192.0.2.91", "pxelinux", ["pxelinux.cfg/C000025B"]),
        ("192.0.2.91", "grub", ["grub/grub.cfg-C000025B", "grub/grub.cfg-192.0.2.91"]),
        ("192.0.2.91", "ipxe", ["ipxe/c000025b"]),
        ("[2001:DB8::91]", "pxelinux", []),
        ("2001:db8::91", "grub", ["grub/grub.cfg-2001:db8:0:0:0:0:0:91"]),
        ("2001:db8::91", "ipxe", ["ipxe/20010db8000000000000000000000091"]),
        (
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "pxelinux",
            [
                "pxelinux.cfg/00112233-4455-6677-8899-aabbccddeeff",
                "pxelinux.cfg/33221100-5544-7766-8899-aabbccddeeff",
            ],
        ),
    ],
)
def test_files_have_the_names_that_boot_loaders_ask_for(word: str, loader: str, names: list[str]) -> None:
    assert file_names(node(word), loader) == names


@given(st.text(max_size=40) | st.ip_addresses().map(str) | st.uuids().map(str))
def test_any_word_is_a_node_or_an_error(word: str) -> None:
    try:
        known = node(word)
    except ValueError as error:
        assert word in str(error)
    else:
        assert node(known) == known
        for loader in ("grub", "ipxe"):
            assert file_names(known, loader)


@pytest.mark.parametrize(
    ("config", "instead"),
    [("OUTPUT_PREFIX=web1\n", "PXE_PREFIX"), ("KEEP_OLD_OUTPUT_COPY=yes\nPXE_KEEP=1\n", "PXE_KEEP=2")],
)
def test_what_does_not_fit_says_what_to_write_instead(tmp_path: Path, config: str, instead: str) -> None:
    with pytest.raises(ConfigurationError, match=r"local\.conf:") as caught:
        make_tree(make_run(tmp_path, QUICK + config))
    assert instead in caught.value.hint
    make_tree(make_run(tmp_path, QUICK + "KEEP_OLD_OUTPUT_COPY=yes\n"))


def test_kernel_and_rescue_system_come_from_the_http_server_if_it_answers(tmp_path: Path) -> None:
    (tmp_path / "tftp").mkdir()
    with servers.http(tmp_path / "tftp") as url:
        version = make_tree(run := make_run(tmp_path, f"{QUICK}PXE_HTTP_DOWNLOAD_URL={url}\n"))
        assert not run.report.warnings
    server = url[len("http://") :]
    grub = (tmp_path / "tftp" / MENUS[3]).read_text()
    probe = f"/rear/web1/{version.name}/SHA256SUMS"
    assert f'if [ -s "(http,{server}){probe}" ]; then set base="(http,{server})"; fi\n' in grub
    assert f"linux ${{base}}/rear/web1/{version.name}/vmlinuz console=tty0" in grub
    ipxe = (tmp_path / "tftp/ipxe/01-52-54-00-aa-00-01").read_text()
    assert f"set base {url}\nimgfetch --name probe ${{base}}{probe} && imgfree probe || set base ..\n" in ipxe
    assert f"initrd ${{base}}/rear/web1/{version.name}/initramfs.img\n" in ipxe
    assert "http" not in (tmp_path / "tftp" / MENUS[0]).read_text()
    assert "ipv6" not in grub + ipxe
    if Shell().which("grub-script-check"):
        Shell().run("grub-script-check", tmp_path / "tftp" / MENUS[3])


def test_an_ipv6_server_is_in_brackets_and_gets_an_address_first(tmp_path: Path) -> None:
    version = make_tree(run := make_run(tmp_path, f"{QUICK}PXE_HTTP_DOWNLOAD_URL=http://[::1]:9/tftp/\n"))
    assert "what PXE_HTTP_DOWNLOAD_URL=http://[::1]:9/tftp shows" in run.report.warnings[0]
    grub = (tmp_path / "tftp" / MENUS[3]).read_text()
    assert grub.index("net_ipv6_autoconf\n") < grub.index(f'"(http,[::1]:9)/tftp/rear/web1/{version.name}/SHA256SUMS"')
    ipxe = (tmp_path / "tftp/ipxe/01-52-54-00-aa-00-01").read_text()
    assert "ifconf --configurator ipv6 ||\nset base http://[::1]:9/tftp\n" in ipxe


def test_an_http_server_that_shows_another_folder_changes_no_menu(tmp_path: Path) -> None:
    version = make_tree(make_run(tmp_path))
    (tmp_path / "other").mkdir()
    with servers.http(tmp_path / "other") as url:
        failing = make_run(tmp_path, f"{QUICK}PXE_HTTP_DOWNLOAD_URL={url}\n")
        with pytest.raises(RearError, match="is not the file that was just put to OUTPUT_URL"):
            make_tree(failing)
    assert all(led_to(tmp_path / "tftp" / name) == {version.name} for name in MENUS)


def test_a_menu_that_recovers_by_itself_says_so_loudly(tmp_path: Path) -> None:
    make_tree(run := make_run(tmp_path, f"{QUICK}PXE_RECOVER_MODE=unattended\n"))
    assert "WITHOUT A QUESTION" in run.report.warnings[0]
    loud = "!!! RECOVERS web1 WITHOUT A QUESTION, OVERWRITES ITS DISKS !!!"
    for name in MENUS:
        menu = (tmp_path / "tftp" / name).read_text()
        assert menu.count(loud) == 1 and menu.index(loud) < menu.index("menu to recover or repair")
        assert menu.count("rear.auto=recover") == 1
    assert "timeout 300\n" in (tmp_path / "tftp" / MENUS[0]).read_text()
    assert "set timeout=30\n" in (tmp_path / "tftp" / MENUS[3]).read_text()
    assert "--default automatic --timeout 30000" in (tmp_path / "tftp" / MENUS[5]).read_text()
    # The next run takes it back.
    make_tree(make_run(tmp_path))
    assert not [name for name in MENUS if loud in (tmp_path / "tftp" / name).read_text()]


@pytest.mark.parametrize("setting", ["PXE_RECOVER_MODE=unattended", 'KERNEL_CMDLINE="quiet rear.auto=recover"'])
def test_machines_that_nobody_named_never_recover_by_themselves(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigurationError, match="every machine that starts from the network"):
        make_tree(make_run(tmp_path, f"{QUICK}{setting}\nPXE_DEFAULT=yes\n"))
    assert not (tmp_path / "tftp").exists()


MENU = "PXE_MENU=yes\nPXE_BOOT_LOADERS=none\nPXE_RECOVER_MODE=unattended\n"
# Their boot loaders, too, go to one place.
AT_ONCE = MENU.replace("none", "missing")
OF_ALL = ("pxelinux.cfg/default", "grub/grub.cfg-default", "ipxe/default")


def machine(folder: Path, number: int, config: str = MENU) -> Run:
    """One of several machines that save to the tree in the folder."""
    own = folder / f"web{number}"
    own.mkdir(exist_ok=True)
    run = make_run(own, f"{config}PXE_NODES=( 52:54:00:aa:00:0{number} )\n", url=f"file://{folder}/tftp")
    run.system = replace(run.system, hostname=f"web{number}")
    assert run.image is not None
    run.image = replace(run.image, command_line=f"{run.image.command_line} rear.auto=recover")
    return run


def entries(tree: Path) -> list[list[str]]:
    """The machines in each menu of all."""
    return [sorted({*re.findall(r"rear-(web\d)", (tree / name).read_text())}) for name in OF_ALL]


def test_a_slow_machine_renews_its_lock_and_notices_who_took_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE", 0.0)
    monkeypatch.setattr(lock, "SILENT", 0.0)
    run, mark = make_run(tmp_path), tmp_path / "tftp/rear/lock"
    mark.parent.mkdir(parents=True)
    with rear_output_pxe.opened_tree(run) as place:
        with lock.locked(run, place) as renew:
            before = mark.read_text()
            renew()
            assert mark.read_text() != before
        assert not mark.exists()
        with pytest.raises(RearError, match="took this one for dead"), lock.locked(run, place) as renew:
            mark.write_text("web2 1")
            renew()
    assert mark.read_text() == "web2 1"


@pytest.mark.slow
def test_machines_that_save_at_once_all_get_their_entry(tmp_path: Path) -> None:
    (tmp_path / "tftp").mkdir()
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(make_tree, machine(tmp_path, number, AT_ONCE)) for number in (1, 2, 3)]:
            done.result()
    tree = tmp_path / "tftp"
    assert entries(tree) == [["web1", "web2", "web3"]] * 3
    assert (tree / "rear/machines").read_text() == "web1\nweb2\nweb3\n"
    assert not (tree / "rear/lock").exists() and not [*tree.rglob(".*.part")]
    assert (tree / "boot.ipxe").read_text().startswith("#!ipxe\n")
    for number in (1, 2, 3):
        for folder in ("pxelinux.cfg/", "grub/grub.cfg-", "ipxe/"):
            text = (tree / f"{folder}rear-web{number}").read_text()
            assert f"rear/web{number}/" in text and "WITHOUT A QUESTION" not in text
            assert "pxelinux" not in folder or text.index("rear.auto=recover") > text.index("label automatic")


@pytest.mark.slow
def test_a_machine_that_was_removed_leaves_the_menu(tmp_path: Path) -> None:
    for number in (1, 2):
        make_tree(machine(tmp_path, number))
    (tmp_path / "tftp/rear/machines").write_text('web2\n"; halt\n')
    make_tree(machine(tmp_path, 2))
    assert entries(tmp_path / "tftp") == [["web2"]] * 3
    assert all("halt" not in (tmp_path / "tftp" / name).read_text() for name in OF_ALL)
    if Shell().which("grub-script-check"):
        Shell().run("grub-script-check", tmp_path / "tftp/grub/grub.cfg-default")


def test_the_menu_of_all_machines_replaces_none_of_another_tool(tmp_path: Path) -> None:
    (tmp_path / "tftp/grub").mkdir(parents=True)
    (tmp_path / "tftp/grub/grub.cfg-default").write_text("# mine\n")
    with pytest.raises(Refused, match=r"grub\.cfg-default on the server is not from rear"):
        make_tree(machine(tmp_path, 1))
    with pytest.raises(ConfigurationError, match="PXE_MENU and PXE_DEFAULT"):
        make_tree(machine(tmp_path, 1, "PXE_MENU=yes\nPXE_DEFAULT=yes\n"))
    strange = machine(tmp_path, 1)
    strange.system = replace(strange.system, hostname='a"; halt')
    with pytest.raises(Refused, match="cannot be an entry"):
        make_tree(strange)
