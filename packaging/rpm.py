# SPDX-License-Identifier: GPL-3.0-or-later
"""RPM packages for RHEL and SLES: one for each distribution.

Their releases have not all Python libraries that rear needs, and not for the Python that it needs: rear-core brings
them, in a folder that nothing else reads.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from description import CHECKOUT, LICENSE, MAINTAINER, Package, packages
from offline import site

HERE = Path(__file__).parent
SITE = "/usr/lib/rear/site"
# The first of these that a machine has runs rear: RHEL 9 and SLES 15 have newer ones beside their own.
START = """\
#!/bin/sh
# Isolated: nothing of the environment or of a user is imported.
for python in python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3; do
    program=$(command -v $python) || continue
    exec "$program" -Is /usr/lib/rear/start.py "$@"
done
echo 'rear: Python 3.9 or newer is not installed: dnf install python3.11, or zypper install python311' >&2
exit 3
"""
START_PY = f"""\
import sys
sys.path.insert(0, {SITE!r})
from rear_core.cli import main
main()
"""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/rear",
    "zsh": "usr/share/zsh/site-functions/_rear",
    "fish": "usr/share/fish/vendor_completions.d/rear.fish",
}
HEAD = """\
%global __os_install_post %{{nil}}
%global debug_package %{{nil}}
%define _build_id_links none
Name: rear-core
Version: {version}
Release: 1
Summary: {summary}
License: {license}
Packager: {maintainer}
BuildArch: noarch
AutoReqProv: no
Source0: root.tar
{needs}Requires: (python3.11 or python311 or python3 >= 3.9)
Conflicts: rear

%description
{text}

{others}
%preun
[ "$1" != 0 ] || /usr/sbin/rear schedule disable >/dev/null 2>&1 || :

%postun
[ "$1" != 0 ] || rm -rf --one-file-system /usr/lib/rear /var/cache/rear

%install
mkdir -p %{{buildroot}}
tar --extract --file %{{SOURCE0}} --directory %{{buildroot}}

{files}
%changelog
* {date} {maintainer} - {version}-1
- Packages of version {version}.
"""


def build(work: Path, output: Path) -> list[Path]:
    """All packages in the folder `output`."""
    found, root = packages(), work / "root"
    _lay_out(root, work)
    top = work / "rpmbuild"
    (top / "SOURCES").mkdir(parents=True)
    argv: list[str | Path] = ["tar", "--create", "--owner=0", "--group=0", "--numeric-owner", "--directory", root, "."]
    subprocess.run([*argv, "--file", top / "SOURCES/root.tar"], check=True)
    spec = work / "rear.spec"
    spec.write_text(_spec(found, root))
    subprocess.run(["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", spec], check=True)
    output.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, output)) for path in sorted(top.glob("RPMS/noarch/*.rpm"))]


def _lay_out(root: Path, work: Path) -> None:
    """The files of all packages below a folder."""
    site(root / SITE.lstrip("/"), work)
    for name, text, mode in (
        ("usr/sbin/rear", START, 0o755),
        ("usr/lib/rear/start.py", START_PY, 0o644),
        ("etc/rear/local.conf", (HERE / "local.conf").read_text(), 0o600),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (root / "etc/rear").chmod(0o700)
    shutil.copytree(CHECKOUT / "ansible", root / "usr/share/rear/ansible")
    rear = [sys.executable, "-I", "-B", "-c", START_PY.replace(SITE, f"{root}{SITE}")]
    pages = work / "pages"
    pages.mkdir()
    subprocess.run([*rear, "manual", "--write", pages], check=True)
    for page in pages.iterdir():
        place = root / f"usr/share/man/man{page.suffix[1:]}" / page.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, place)
    for shell, name in COMPLETIONS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        script = subprocess.run([*rear, "completion", shell], check=True, capture_output=True).stdout
        (root / name).write_bytes(script)


def _spec(found: list[Package], root: Path) -> str:
    """The description of all packages; the core has what no plugin has."""
    core, *plugins = found
    own = {plugin.name: sorted(_modules(root, plugin)) for plugin in plugins}
    taken = {path for paths in own.values() for path in paths}
    rest = [f"{SITE}/{path.name}" for path in sorted((root / SITE.lstrip("/")).iterdir())]
    files = [
        "%files\n%dir %attr(0700,root,root) /etc/rear\n%config(noreplace) %attr(0600,root,root) /etc/rear/local.conf",
        "%dir /usr/share/rear\n/usr/share/rear/ansible",
        "/usr/sbin/rear\n%dir /usr/lib/rear\n/usr/lib/rear/start.py\n%dir /usr/lib/rear/site",
        "/usr/share/man/man*/rear*\n" + "\n".join(f"/{name}" for name in COMPLETIONS.values()),
        *(path for path in rest if path not in taken),
        *(f"\n%files -n {name}\n" + "\n".join(paths) for name, paths in own.items()),
    ]
    return HEAD.format(
        version=core.version, summary=core.summary, license=LICENSE, maintainer=MAINTAINER, needs=_needs(core),
        text=core.text, others="\n".join(map(_subpackage, plugins)), files="\n".join(files),
        date=time.strftime("%a %b %d %Y"),
    )  # fmt: skip


def _modules(root: Path, plugin: Package) -> Iterator[str]:
    """The module of a plugin, and what describes its distribution."""
    module = _module(plugin)
    for path in (root / SITE.lstrip("/")).iterdir():
        if path.name == module or path.name.startswith(f"{module}-"):
            yield f"{SITE}/{path.name}"


def _module(plugin: Package) -> str:
    return plugin.name.replace("-", "_")


def _subpackage(plugin: Package) -> str:
    return (
        f"%package -n {plugin.name}\nSummary: {plugin.summary}\nRequires: rear-core = %{{version}}-%{{release}}\n"
        f"{_needs(plugin)}\n%description -n {plugin.name}\n{plugin.text}\n\n"
        # Byte code is made by the Python that the machine has, and belongs to no package.
        f'%postun -n {plugin.name}\n[ "$1" != 0 ] || rm -rf --one-file-system {SITE}/{_module(plugin)}\n'
    )


def _needs(package: Package) -> str:
    lines = [f"Requires: {name}\n" for name in package.needs("rpm", "depends")]
    return "".join([*lines, *(f"Recommends: {name}\n" for name in package.needs("rpm", "recommends"))])
