# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages: one for each distribution, and python3-blkinfo, which Debian has not."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import time
from email.utils import formatdate
from pathlib import Path

from description import CHECKOUT, MAINTAINER, Package, packages

HERE = Path(__file__).parent
# Of the build, beside what `dh` brings.
BUILDERS = "debhelper-compat (= 13), dh-python, pybuild-plugin-pyproject, python3-all, python3-setuptools"
LIBRARIES = "python3-click, python3-jinja2, python3-pexpect, python3-pluggy, python3-pyroute2"
BLKINFO = "0.2.0"
# The Python that packages are for is that of the system.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def build(work: Path, output: Path) -> list[Path]:
    """All packages in the folder `output`; those that they need to be built must be installed."""
    made = _build(blkinfo_source(work / "blkinfo/source"), output)
    # Manual pages and completion are what the core itself prints, which need not be installed here.
    subprocess.run(["dpkg-deb", "--extract", *made, work / "libraries"], check=True)
    libraries = work / "libraries/usr/lib/python3/dist-packages"
    return [*made, *_build(source(work / "rear/source"), output, LIBRARIES=f"{libraries}")]


def source(folder: Path) -> Path:
    """This checkout as a source package, in a new folder."""
    wanted = ("src", "plugins", "ansible", "pyproject.toml", "README.md", "LICENSE")
    listed = subprocess.run(["git", "ls-files", "-z", *wanted], cwd=CHECKOUT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        # What was removed since is listed as well.
        if (CHECKOUT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    found = packages()
    shutil.copytree(HERE / "debian", folder / "debian")
    shutil.copy(HERE / "local.conf", folder / "debian")
    head = _stanza(
        Source="rear-core", Section="admin", Priority="optional", Maintainer=MAINTAINER,
        Build_Depends=f"{BUILDERS}, {LIBRARIES}", Standards_Version="4.6.2", Rules_Requires_Root="no",
    )  # fmt: skip
    _describe(folder, "rear-core", found[0].version, [head, *map(_binary, found)], "The rear developers")
    return folder


def _binary(package: Package) -> str:
    core = package.name == "rear-core"
    # Of what is not installed where it is built dh_python3 knows no package.
    of_core = [] if core else ["rear-core (= ${binary:Version})"]
    depends = ["${misc:Depends}", "${python3:Depends}", *of_core, *package.needs("deb", "depends")]
    return _stanza(
        Package=package.name,
        Architecture="all",
        Depends=", ".join(depends),
        Recommends=", ".join(package.needs("deb", "recommends")),
        # Relax-and-Recover has the same command and the same files of configuration.
        Conflicts="rear" if core else "",
        Description=_text(package.summary, package.text),
    )


def blkinfo_source(folder: Path) -> Path:
    """What PyPI has of blkinfo as a source package, in a new folder."""
    download = folder.parents[1] / "download"
    subprocess.run(
        ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:",
         f"--dest={download}", f"blkinfo=={BLKINFO}"], check=True,
    )  # fmt: skip
    (archive,) = download.iterdir()
    folder.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--strip-components=1", f"--directory={folder}", "--file", archive], check=True)
    head = _stanza(
        Source="blkinfo", Section="python", Priority="optional", Maintainer=MAINTAINER, Build_Depends=BUILDERS,
        Standards_Version="4.6.2", Rules_Requires_Root="no",
    )  # fmt: skip
    about = email.message_from_string((folder / "PKG-INFO").read_text())
    binary = _stanza(
        Package="python3-blkinfo", Architecture="all", Depends="${misc:Depends}, ${python3:Depends}",
        Description=_text("block devices for Python", "Names, sizes and contents of block devices, from lsblk."),
    )  # fmt: skip
    (folder / "debian").mkdir()
    rules = folder / "debian/rules"
    rules.write_text(
        "#!/usr/bin/make -f\nexport PYBUILD_NAME = blkinfo\n\n%:\n\tdh $@ --with python3 --buildsystem pybuild\n\n"
        "override_dh_auto_test:\n"
    )
    rules.chmod(0o755)
    _describe(folder, "blkinfo", BLKINFO, [head, binary], about["Author"])
    return folder


def _describe(folder: Path, name: str, version: str, stanzas: list[str], holder: str) -> None:
    """Write what is the same for each source package."""
    debian = folder / "debian"
    (debian / "control").write_text("\n".join(stanzas))
    (debian / "changelog").write_text(
        f"{name} ({version}) unstable; urgency=medium\n\n  * Packages of version {version}.\n\n"
        f" -- {MAINTAINER}  {formatdate(time.time())}\n"
    )
    (debian / "copyright").write_text(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        f"Files: *\nCopyright: {time.strftime('%Y')} {holder}\nLicense: GPL-3.0-or-later\n"
        " The license is in /usr/share/common-licenses/GPL-3.\n"
    )
    (debian / "source").mkdir()
    (debian / "source/format").write_text("3.0 (native)\n")


def _stanza(**fields: str) -> str:
    """Fields of debian/control, those with a value; `_` stands for a hyphen."""
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items() if value)


def _text(summary: str, text: str) -> str:
    """A description; its first line has no article and no capital, as it continues the name of the package."""
    short = re.sub(r"^(A|An|The) ", "", summary)[:79].rstrip(" ,")
    return "\n".join([short, *(f" {line}" for line in text.splitlines())])


def _build(folder: Path, output: Path, **environment: str) -> list[Path]:
    """Build a source package, in a folder of its own; the binary packages in the folder `output`."""
    log = folder.with_name("log")
    with log.open("wb") as file:
        argv = ["dpkg-buildpackage", "--build=binary", "--no-sign"]
        ended = subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, "PATH": SYSTEM_PATH},
        )
    if ended.returncode:
        raise SystemExit(f"{folder.name} was not built:\n" + "\n".join(log.read_text().splitlines()[-30:]))
    output.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, output)) for path in sorted(folder.parent.glob("*.deb"))]
