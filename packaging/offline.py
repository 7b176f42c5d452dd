# SPDX-License-Identifier: GPL-3.0-or-later
"""For machines without a network: wheels with an installer, and one file with rear and all plugins."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipapp
from pathlib import Path

from description import CHECKOUT, packages

HERE = Path(__file__).parent
# The oldest Python that rear runs with: what is made for it, newer ones run as well.
OLDEST = "3.9"
# MarkupSafe has its own part in C for each Python and C library, which it can do without.
NATIVE = "*.so"
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = [f"--platform=manylinux_2_{minor}_{machine}" for machine in ("x86_64", "aarch64") for minor in (17, 28, 34)]


def wheelhouse(work: Path, output: Path) -> list[Path]:
    """rear-VERSION.tar.gz: wheels of rear, its plugins and all that they need, and an installer."""
    version = packages()[0].version
    folder = work / f"rear-{version}"
    own = _wheels(folder / "wheels")
    for python in PYTHONS:
        _download(folder / "wheels", own, python, *PLATFORMS)
    shutil.copy(HERE / "install.sh", folder / "install.sh")
    shutil.copy(CHECKOUT / "LICENSE", folder)
    shutil.copytree(CHECKOUT / "ansible", folder / "ansible")
    output.mkdir(parents=True, exist_ok=True)
    made = output / f"{folder.name}.tar.gz"
    with tarfile.open(made, "w:gz") as archive:
        archive.add(folder, folder.name, filter=_of_root)
    return [made]


def single_file(work: Path, output: Path) -> list[Path]:
    """rear.pyz: rear and all plugins as one program, for any Python."""
    app = work / "app"
    site(app / "site", work)
    shutil.copy(HERE / "start.py", app / "__main__.py")
    output.mkdir(parents=True, exist_ok=True)
    made = output / "rear.pyz"
    zipapp.create_archive(app, made, interpreter="/usr/bin/env python3", compressed=True)
    made.chmod(0o755)
    return [made]


def site(folder: Path, work: Path) -> None:
    """A folder with rear, all plugins and what they need, in Python alone."""
    wheels = work / "wheels"
    own = _wheels(wheels)
    _download(wheels, own, OLDEST, *PLATFORMS)
    for wheel in sorted(wheels.glob("*.whl")):
        # As pip would, but for its own Python and platform alone.
        shutil.unpack_archive(wheel, folder, "zip")
    for native in folder.rglob(NATIVE):
        native.unlink()


def _wheels(folder: Path) -> list[Path]:
    """The wheels of this checkout, and of blkinfo, which is published as source alone."""
    folder.mkdir(parents=True)
    argv = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        f"--wheel-dir={folder}",
    ]
    subprocess.run([*argv, "blkinfo>=0.2.0", *(package.folder for package in packages())], check=True)
    return sorted(folder.glob("rear*.whl"))


def _download(folder: Path, own: list[Path], python: str, *platforms: str) -> None:
    argv: list[str | Path] = [
        sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--python-version={python}",
        f"--find-links={folder}", f"--dest={folder}", *platforms, *own,
    ]  # fmt: skip
    subprocess.run(argv, check=True)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
