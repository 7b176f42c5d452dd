# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=ISO with a backup on its images: several discs, their sizes and names, and burning."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rear_output_iso
from rear_core import ConfigurationError, RearError, Refused, RescueImage, Run, builtin
from rear_core.archive import manifest, repository, signature
from rear_core.builtin import core
from rear_core.media.carried import Carried, CarriedFile, room
from rear_core.media.grub import find_modules
from rear_core.media.iso import file_extents, volume_size
from rear_core.places.delivery import beside, checksum
from rear_core.plugins import Plugins, discover
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS
from rear_output_iso.burn import burn, read_back
from rear_output_iso.discs import DISCS, MIB, further_paths, image_path, put_all_in_place, size_of

pytestmark = pytest.mark.slow

needs_loaders = pytest.mark.skipif(
    not (find_modules("i386-pc") and Shell().which("xorriso")), reason="GRUB for BIOS or xorriso is not installed"
)
FIRST, SECOND = "2026-11-22T183000Z", "2026-11-23T183000Z"


def make_run(tmp_path: Path, config: str = "", workflow: str = "mkbackup") -> Run:
    text = f"ISO_DIR={tmp_path}/output\n{config}"
    declared = [*core.rear_settings(), *rear_output_iso.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    build = tmp_path / "build"
    build.mkdir(exist_ok=True)
    run = Run(
        settings, Plugins([rear_output_iso]), Options(config_dir=build), build_dir=build, phases=WORKFLOWS[workflow]
    )
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    kernel, initramfs = build / "kernel", build / "initramfs"
    kernel.write_bytes(b"kernel" * 1000)
    initramfs.write_bytes(b"initramfs" * 50000)
    run.image = RescueImage(kernel, initramfs, "6.1.0-13-amd64", "console=ttyS0")
    return run


def carry(run: Run, name: str, *contents: bytes) -> None:
    """Have the run carry these contents, one on each medium."""
    media = []
    for number, content in enumerate(contents, start=1):
        source = run.build_dir / f"{name}.{number}"
        source.write_bytes(content)
        media.append({f"/backup/web1/part.{number}": CarriedFile(source, hashlib.sha256(content).hexdigest())})
    run.carried = Carried(name, tuple(media))


def make(run: Run) -> list[Path]:
    """Run the steps of the output in their order."""
    with run.undo:
        for step in sorted(rear_output_iso.rear_output(run), key=lambda step: step.number):
            step.action(run)
    return run.results


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@needs_loaders
def test_a_backup_goes_along_on_one_image(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    carry(run, FIRST, b"backup" * 1000)
    [iso] = make(run)
    assert "/backup/web1/part.1" in file_extents(run.sh, iso)
    assert names(tmp_path / "output") == ["rear-web1.iso", "rear-web1.iso.sha256"]
    assert names(tmp_path / "build") == ["initramfs", "iso", "kernel"], "the pieces are used up"


@needs_loaders
def test_the_rest_goes_on_further_images_with_labels_of_their_own(tmp_path: Path) -> None:
    run = make_run(tmp_path, f"ISO_VOLID={'X' * 32}\nOUTPUT_URL=file://{tmp_path}/copies")
    carry(run, FIRST, b"one", b"two" * 99999, b"three")
    made = make(run)
    assert [path.name for path in made[:3]] == [
        "rear-web1.iso", f"rear-web1_{FIRST}_02.iso", f"rear-web1_{FIRST}_03.iso"
    ]  # fmt: skip
    for number, path in enumerate(made[:3], start=1):
        assert f"/backup/web1/part.{number}" in file_extents(run.sh, path)
        assert ("/boot/vmlinuz" in file_extents(run.sh, path)) == (number == 1)
    told = run.sh.query("xorriso", "-indev", made[1], "-pvd_info")
    assert f"Volume Id    : {'X' * 28}_02" in told
    assert names(tmp_path / "copies") == names(tmp_path / "output")
    for path in made:
        run.sh.run("sha256sum", "--check", "--strict", f"{path.name}.sha256", cwd=path.parent)


@needs_loaders
def test_the_previous_set_goes_when_the_new_one_is_there_and_others_stay(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    carry(run, FIRST, b"one", b"two", b"three")
    make(run)
    output = tmp_path / "output"
    for foreign in (f"rear-web12_{FIRST}_02.iso", "rear-web1_notes_02.iso"):
        (output / foreign).touch()
    beside(output / f"rear-web1_{FIRST}_04.iso").touch()
    run = make_run(tmp_path)
    carry(run, SECOND, b"one", b"two")
    make(run)
    assert [name for name in names(output) if not name.endswith(".sha256")] == [
        "rear-web1.iso", f"rear-web12_{FIRST}_02.iso", f"rear-web1_{SECOND}_02.iso", "rear-web1_notes_02.iso",
    ]  # fmt: skip


@needs_loaders
@pytest.mark.parametrize("disc", [1, 2, 3])
def test_a_piece_that_was_damaged_leaves_the_previous_set_as_it_was(tmp_path: Path, disc: int) -> None:
    run = make_run(tmp_path)
    carry(run, FIRST, b"one", b"two", b"three")
    make(run)
    before = {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir()}
    run = make_run(tmp_path)
    carry(run, SECOND, b"one", b"two", b"three")
    assert run.carried
    (file,) = run.carried.media[disc - 1].values()
    file.source.write_bytes(b"damaged")
    with pytest.raises(RearError, match="missing or damaged"):
        make(run)
    assert {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir()} == before


class Ended(BaseException):
    """What ends a run as a signal does: nothing may take it for a failure of its own."""


def end_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, *, done: bool) -> Iterator[int]:
    """Have one of the calls that change files fail, before it or, with `done`, after it did its work.

    Returns what counts the calls.
    """
    counter = itertools.count(1)

    def ending(call: Callable[..., object]) -> Callable[..., object]:
        def called(*args: object, **options: object) -> object:
            now = next(counter) == step
            if now and not done:
                raise error
            result = call(*args, **options)
            if now:
                raise error
            return result

        return called

    monkeypatch.setattr(os, "fsync", ending(os.fsync))
    for name in ("replace", "unlink", "write_text"):
        monkeypatch.setattr(Path, name, ending(getattr(Path, name)))
    return counter


def lay_out(run: Run, name: str) -> None:
    """Put the images of a set beside their places."""
    carry(run, name, b"1", b"2", b"3")
    image_path(run).parent.mkdir(exist_ok=True)
    for path in (image_path(run), *further_paths(run)):
        beside(path).write_text(name)


def is_whole(folder: Path) -> bool:
    """Whether the first image has all further ones of its set, and each checksum belongs to its image."""
    whose = (folder / "rear-web1.iso").read_text()
    further = [folder / f"rear-web1_{whose}_{number:02d}.iso" for number in (2, 3)]
    sums = [path.read_text().splitlines()[-1].split() for path in folder.glob("*.sha256")]
    return all(path.exists() for path in further) and all(checksum(folder / name) == digest for digest, name in sums)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), Ended()], ids=["error", "signal"])
def test_whenever_it_ends_one_set_is_whole_and_one_of_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, done: bool
) -> None:
    run = make_run(tmp_path, f"OUTPUT_URL=file://{tmp_path}/copies")
    for step in itertools.count(1):
        for folder in ("output", "copies"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        lay_out(run, FIRST)
        put_all_in_place(run)
        rear_output_iso.copy_image(run)
        lay_out(run, SECOND)
        with monkeypatch.context() as patched, suppress(OSError, RearError, Ended):
            calls = end_at(patched, step, error, done=done)
            put_all_in_place(run)
            rear_output_iso.copy_image(run)
        assert is_whole(tmp_path / "output") and is_whole(tmp_path / "copies"), step
        if next(calls) <= step:
            break
    assert step > 50


@needs_loaders
def test_rescue_media_without_a_backup_never_replace_those_with_one(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    carry(run, FIRST, b"one")
    make(run)
    with pytest.raises(Refused, match="carries a backup"):
        rear_output_iso.check_places(make_run(tmp_path, workflow="mkrescue"))
    rear_output_iso.check_places(make_run(tmp_path))
    (tmp_path / "output/rear-web1.iso").write_bytes(b"no image at all")
    rear_output_iso.check_places(make_run(tmp_path, workflow="mkrescue"))


@needs_loaders
def test_the_backup_of_a_clone_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder or on a disc, whether its identity or only its key is another one."""
    made = manifest.Manifest(FIRST, "web1", "backup.tar", 0, "", "none", 0, 0, machine="same")
    text = manifest.dumps(made, sign=lambda _: "first")
    monkeypatch.setattr(repository, "computed", lambda: "same")
    monkeypatch.setattr(signature, "verify", lambda _, __, signed, keys: signed in keys)
    monkeypatch.setattr(signature, "public_key", lambda _: "first")
    run = make_run(tmp_path)
    source = run.build_dir / manifest.NAME
    source.write_text(text)
    name = f"/backup/web1/{FIRST}/{manifest.NAME}"
    run.carried = Carried(FIRST, ({name: CarriedFile(source, hashlib.sha256(text.encode()).hexdigest())},))
    (image,) = make(run)
    confs = [f"VAR_DIR={tmp_path}/var\n"]
    for word in ("copies", "disc"):
        (tmp_path / word).mkdir()
        shutil.copy(image, tmp_path / word)
    elsewhere = f"{confs[0]}ISO_DIR={tmp_path}/elsewhere\n"
    confs += [
        f"{elsewhere}OUTPUT_URL=file://{tmp_path}/copies\n",
        f"{elsewhere}ISO_BURN=stdio:{tmp_path}/disc/{image.name}\n",
    ]
    for conf in confs:
        rear_output_iso.check_places(make_run(tmp_path, conf))
    monkeypatch.setattr(signature, "public_key", lambda _: "second")
    for conf in confs:
        with pytest.raises(Refused, match=f"carries web1/{FIRST}, a backup of web1, and it was signed by a key that"):
            rear_output_iso.check_places(make_run(tmp_path, conf))
    with pytest.raises(Refused, match="signed by a key"):
        burn(make_run(tmp_path, confs[2]), [image])
    # A machine without a key cannot tell.
    monkeypatch.setattr(signature, "public_key", lambda _: "")
    rear_output_iso.check_places(make_run(tmp_path))
    monkeypatch.setattr(repository, "computed", lambda: "other")
    with pytest.raises(Refused, match="a backup of another machine"):
        rear_output_iso.check_places(make_run(tmp_path))


@needs_loaders
@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"computed": "other"}, "identity same, this one is other"),
        ({"computed": "same", "public_key": "second"}, "of the same identity, with another key"),
    ],
)
def test_the_image_of_a_clone_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Mapping[str, str], told: str
) -> None:
    """In a place that both share, also without a backup; its own image a machine replaces."""

    def be(computed: str, public_key: str = "first") -> None:
        monkeypatch.setattr(repository, "computed", lambda: computed)
        monkeypatch.setattr(signature, "public_key", lambda _: public_key)

    conf = f"OUTPUT_URL=file://{tmp_path}/copies"
    be("same")
    for _ in range(2):
        run = make_run(tmp_path, conf)
        rear_output_iso.check_places(run)
        make(run)
        rear_output_iso.copy_image(run)
    subprocess.run(["sha256sum", "--check", "--strict", "rear-web1.iso.sha256"], cwd=tmp_path / "copies", check=True)
    be(**other)
    with pytest.raises(Refused, match=rf"rear-web1\.iso in OUTPUT_URL is the rescue image of another machine \({told}"):
        rear_output_iso.check_places(make_run(tmp_path, conf))
    (tmp_path / "copies/rear-web1.iso.sha256").unlink()
    rear_output_iso.check_places(make_run(tmp_path, conf))


@needs_loaders
def test_an_image_larger_than_the_medium_is_an_error(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ISO_MAX_SIZE=1MiB")
    with pytest.raises(RearError, match="a medium 1 MiB"):
        make(run)
    assert names(tmp_path / "output") == []


@needs_loaders
@pytest.mark.parametrize("size", ["20MiB", "30MiB"])
def test_what_fills_the_room_fits_the_medium(tmp_path: Path, size: str) -> None:
    run = make_run(tmp_path, f"ISO_MAX_SIZE={size}")
    found = room(run)
    assert found.first and found.further
    carry(run, FIRST, b"\x01" * found.first, b"\x02" * found.further)
    for path in make(run):
        assert volume_size(path) <= path.stat().st_size <= int(size[:2]) * MIB


def test_without_a_limit_one_image_takes_it_all(tmp_path: Path) -> None:
    found = room(make_run(tmp_path))
    assert (found.first, found.directory) == (None, tmp_path / "output")


def test_cdrom_is_another_name_of_it() -> None:
    names = {plugin.name: plugin.target for plugin in discover() if plugin.distribution == "rear-output-iso"}
    assert names == {"ISO": "rear_output_iso", "CDROM": "rear_output_iso"}


def test_an_output_that_carries_nothing_is_refused() -> None:
    sources = Sources(assignments=tuple(parse("OUTPUT=PXE\nBACKUP=CDROM", "local.conf")))
    plugins = Plugins(builtin.modules())
    with pytest.raises(Refused, match="OUTPUT=PXE cannot hold a backup"):
        room(Run(evaluate(sources, plugins.settings(), {}), plugins))


@given(st.integers(1, 10**6), st.sampled_from(["", "M", "MiB", "mb", "G", "GB", " GiB", "k"]))
def test_sizes_are_what_they_say(number: int, unit: str) -> None:
    factor = {"": MIB, "M": MIB, "MIB": MIB, "MB": 10**6, "G": MIB << 10, "GB": 10**9, "GIB": MIB << 10, "K": 1024}
    assert size_of(f"{number}{unit}") == number * factor[unit.strip().upper()]


def test_a_disc_may_be_named() -> None:
    assert size_of("dvd") == DISCS["DVD"] == 2295104 * 2048
    assert size_of("4.7GB") == 4_700_000_000
    assert size_of("") is None


@pytest.mark.parametrize("line", ["ISO_MAX_SIZE=huge", "ISO_MAX_SIZE=-5", "ISO_MAX_SIZE=4,7GB", "ISO_BURN=sr0"])
def test_bad_settings_are_errors_of_the_configuration(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line.partition("=")[0]):
        make_run(tmp_path, line)


@needs_loaders
def test_an_image_is_burned_and_read_back(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    run = make_run(tmp_path, f"ISO_BURN=stdio:{disc}", "mkrescue")
    rear_output_iso.check_places(run)
    [iso] = make(run)
    assert disc.read_bytes()[: iso.stat().st_size] == iso.read_bytes()


@needs_loaders
def test_a_disc_that_nobody_changes_is_an_error_that_names_what_is_left(tmp_path: Path) -> None:
    run = make_run(tmp_path, f"ISO_BURN=stdio:{tmp_path}/disc")
    carry(run, FIRST, b"one", b"two")
    with pytest.raises(RearError, match="disc 2 of 2") as caught:
        make(run)
    assert f"rear-web1_{FIRST}_02.iso" in caught.value.hint
    assert len([name for name in names(tmp_path / "output") if name.endswith(".iso")]) == 2, "the images are finished"


def test_only_an_optical_drive_is_burned_on(tmp_path: Path) -> None:
    for drive in ("/dev/null", "/dev/no-such-drive", "stdio:/dev/loop0"):
        with pytest.raises(Refused, match="ISO_BURN"):
            rear_output_iso.check_places(make_run(tmp_path, f"ISO_BURN={drive}", "mkrescue"))


def test_a_disc_that_differs_is_an_error(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    disc.write_bytes(b"x" * 10)
    with pytest.raises(RearError, match="2 bytes too early"):
        read_back(disc, 12)
    assert read_back(disc, 9) == hashlib.sha256(b"x" * 9).hexdigest()


@needs_loaders
def test_a_drive_that_fails_is_named_with_the_command_to_try(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    image.write_bytes(os.urandom(MIB))
    with pytest.raises(RearError, match="cannot burn") as caught:
        burn(make_run(tmp_path, f"ISO_BURN=stdio:{tmp_path}/none/disc"), [image])
    assert "xorriso -as cdrecord" in caught.value.hint


@needs_loaders
def test_a_kept_image_keeps_the_rest_of_its_backup(tmp_path: Path) -> None:
    config = f"KEEP_OLD_OUTPUT_COPY=yes\nOUTPUT_URL=file://{tmp_path}/copies"
    third = "2026-11-24T183000Z"
    for name in (FIRST, SECOND, third):
        carry(run := make_run(tmp_path, config), name, b"1", b"2")
        make(run)
    for folder in (tmp_path / "output", tmp_path / "copies"):
        images = [f"rear-web1{rest}" for rest in (".iso", ".iso.old", f"_{SECOND}_02.iso", f"_{third}_02.iso")]
        assert sorted(path.name for path in folder.iterdir() if path.suffix != ".sha256") == sorted(images)
        assert all((folder / f"{name}.sha256").exists() for name in images)
