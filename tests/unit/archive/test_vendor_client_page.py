# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin that the documentation shows for a vendor's client works as it stands there."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

from lab.vendors import LabShell
from rear_core import Refused, builtin
from rear_core.archive.external import FileSystem
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse

PAGE = Path(__file__).parents[3] / "docs/how-to/vendor-client.md"
# A client whose server is a folder.
ACME = """\
#!/bin/sh
vault=$(dirname "$0")/vault
case $1 in
    list) test ! -f "$vault/path" || printf '%s\\t%s\\n' "$(cat "$vault/path")" 2026-11-22 ;;
    save) mkdir "$vault" && echo "$2" > "$vault/path" && tar --create --file="$vault/tar" --directory="$2" . ;;
    restore) tar --extract --file="$vault/tar" --directory="$3"; echo 'skipped a socket'; exit 3 ;;
    *) exit 2 ;;
esac
"""


@pytest.fixture
def acme() -> ModuleType:
    found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    module = ModuleType("acme")
    exec(compile(found[1], "acme.py", "exec"), vars(module))
    return module


def make_run(acme: ModuleType, folder: Path, config: str = "") -> Run:
    plugins = Plugins([*builtin.modules(), acme])
    settings = evaluate(Sources(assignments=tuple(parse(config, "local.conf"))), plugins.call("rear_settings"), {})
    options = Options(config_dir=folder / "etc", target=folder / "target")
    run = Run(settings, plugins, options, Report(terminal=io.StringIO()), build_dir=folder)
    run.sh = LabShell(folder=folder)
    return run


def test_the_plugin_of_the_page_saves_proves_and_restores(acme: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "acme").write_text(ACME)
    (tmp_path / "acme").chmod(0o755)
    data = tmp_path / "data"
    (data / "folder").mkdir(parents=True)
    (data / "folder/file").write_text("text")
    (tmp_path / "etc/recovery").mkdir(parents=True)
    document = {"version": 1, "file_systems": [asdict(FileSystem(str(data), 0, ("folder",)))]}
    (tmp_path / "etc/recovery/files.json").write_text(json.dumps(document))

    run = make_run(acme, tmp_path)
    (check,), (save,), (restore,) = acme.rear_verify(), acme.rear_backup(), acme.rear_restore()
    with pytest.raises(Refused, match="no backup of"):
        check.action(run)
    save.action(run)
    check.action(run)
    restore.action(run)
    assert Path(f"{run.target}{data}/folder/file").read_text() == "text"
    assert run.report.warnings == [f"1 files of {data} were skipped; the log names them"]
    with pytest.raises(Refused, match="the newest backup alone"):
        check.action(make_run(acme, tmp_path, "ACME_TIME=2026-11-22\n"))
