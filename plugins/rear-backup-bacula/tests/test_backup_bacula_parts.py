# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear makes of the texts of Bacula, which were recorded from version 9.6.7."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_backup_bacula import catalog, configuration, console, jobs, rear_settings, restoring, tree
from rear_core import ConfigurationError

DAEMON = """\
# Password = "in a comment"
Director {
  Name = web1-dir
  Password = "elndz\\"q yKrc"       # who may ask
}
Director { Name = web1-mon; Password = plain; Monitor = yes }
FileDaemon {                          # this is me
  Name = web1-fd
  FDport = 9102                  # where we listen
  WorkingDirectory = /var/lib/bacula
  Pid Directory = /run/bacula
  Plugin Directory = "/usr/lib/bacula"
  TLS Key = /etc/bacula/fd.key
  TLS Certificate = /etc/bacula/fd.crt
  FDAddresses = {
    ip = { addr = 10.0.0.1; port = 9102 }
  }
}
Messages
{
  Name = Standard
  director = web1-dir = all, !skipped, !restored
}
"""
JOB = """\
Automatically selected Catalog: catalog
Using Catalog "catalog"
           JobId: 4
             Job: restore.2026-11-30_11.18.31_27
            Name: restore
     PurgedFiles: 0
            Type: R
           Level: F
        ClientId: 1
      ClientName: web1-fd
       JobStatus: E
       SchedTime: 2026-11-30 11:18:31
       StartTime: 2026-11-30 11:18:33
         EndTime: 2026-11-30 11:18:34
     RealEndTime: 2026-11-30 11:18:34
        JobTDate: 1796037514
    VolSessionId: 4
  VolSessionTime: 1796037494
        JobFiles: 8
        JobBytes: 982926
       ReadBytes: 1114152
       JobErrors: 4
 JobMissingFiles: 0
          PoolId: 0
        PoolName: NULL
         Comment:

"""
LOG = f"""\
    Time: 2026-11-30 11:18:33
 LogText: lab-dir JobId 4: Start Restore Job restore.2026-11-30_11.18.31_27
\\

    Time: 2026-11-30 11:18:34
 LogText: web1-fd JobId 4: Error: restore.c:1390 Write error at byte=0 block=1 write_len=1 lerror=0 on /tmp/data/new
line: ERR=No space left on device
\\

    Time: 2026-11-30 11:18:34
 LogText: lab-dir JobId 4: Error: Bacula lab-dir 9.6.7 (10Dec20):
  Build OS:               x86_64-pc-linux-gnu debian bookworm/sid
  Termination:            *** Restore Error ***

\\

{JOB}"""
FOLDERS = (
    "\n1\t0\t10\t2\tP4A Jamn EHt D A A A BAA BAA I BrDVsm BrDVsn BrDVsn A A G\t.\n"
    "3\t0\t0\t0\tA A A A A A A A A A A A A A\t..\n"
    "2\t0\t9\t2\tP4A Jamo EHt C A A A BAA BAA I BrDVsm BrDVsn BrDVsn A A G\tone/\n"
)
FILES = (
    "\nUsing Catalog \"catalog\"\n1\t4\t5\t1\tP4A Jamt IGk B A A A B BAA I BrDVsk BrDVsk BrDVsk A A G\tnew\nline\n"
    "1\t5\t3\t1\tP4A Jams IGk B A A A B BAA I BrDVsk BrDVsk BrDVsk A A G\tod\td\n"
    "2\t3\t4\t1\tP4A IsC0 IGk C A A A F BAA I BrDVwU BrDVwR BrDVwS B A G\thard\n"
    "2\t5\t6\t1\tP4A IsC+ KH/ B A A A E BAA A BrDVwS BrDVwS BrDVwS A A G\tlink\n"
)  # fmt: skip


def test_a_configuration_is_read_as_bacula_reads_it() -> None:
    director, monitor, daemon, messages = configuration.resources(DAEMON)
    assert (director.kind, director.name, director.values["password"]) == ("director", "web1-dir", 'elndz"q yKrc')
    assert monitor.values == {"name": "web1-mon", "password": "plain", "monitor": "yes"}
    assert (daemon.kind, daemon.name, daemon.values["fdport"]) == ("filedaemon", "web1-fd", "9102")
    assert daemon.values["piddirectory"] == "/run/bacula"
    assert messages.kind == "messages"
    assert configuration.files(DAEMON, configuration.KEYS) == ["/etc/bacula/fd.key"]
    assert configuration.files(DAEMON, configuration.OTHERS) == ["/etc/bacula/fd.crt"]


def test_passwords_are_taken_out_and_put_in_again() -> None:
    bare = configuration.without_passwords(DAEMON)
    for word in ("elndz", "plain", "in a comment"):
        assert word not in bare
    words = {"web1-dir": 'with "quotes" and \\', "web1-mon": "b"}
    filled = configuration.with_passwords(bare, lambda one: words[one.name])
    found = [one.values.get("password") for one in configuration.resources(filled)]
    assert found == [words["web1-dir"], "b", None, None]
    assert configuration.passwords(DAEMON) == ["in a comment", 'elndz"q yKrc', "plain"]


def test_directives_are_set_to_other_values() -> None:
    changed = configuration.change(DAEMON, "FileDaemon", WorkingDirectory="/run/x", PidDirectory="/run/x")
    daemon = configuration.resources(changed)[2]
    assert daemon.values["workingdirectory"] == daemon.values["piddirectory"] == "/run/x"
    assert daemon.name == "web1-fd" and "/var/lib/bacula" not in changed


def test_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "all.conf").write_text(f'@{tmp_path}/one.conf\n@"two.conf"\n')
    (tmp_path / "one.conf").write_text("Director { Name = one }\n")
    (tmp_path / "two.conf").write_text("FileDaemon { Name = two }\n")
    assert [one.name for one in configuration.resources(configuration.read(tmp_path / "all.conf"))] == ["one", "two"]
    (tmp_path / "two.conf").write_text("@all.conf\n")
    with pytest.raises(ConfigurationError, match="includes itself"):
        configuration.read(tmp_path / "all.conf")
    (tmp_path / "two.conf").write_text("@|cat\n")
    with pytest.raises(ConfigurationError, match="the output of a program"):
        configuration.read(tmp_path / "all.conf")
    with pytest.raises(ConfigurationError, match="cannot read"):
        configuration.read(tmp_path / "gone.conf")


def test_a_folder_is_read_as_bareos_reads_it(tmp_path: Path) -> None:
    for name in ("client/myself", "director/bareos-dir"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.conf").write_text(f"{name.split('/')[0]} {{\n  Name = {name.split('/')[1]}\n}}\n")
    found = configuration.resources(configuration.read(tmp_path))
    assert [(one.kind, one.name) for one in found] == [("client", "myself"), ("director", "bareos-dir")]


def test_a_job_is_read_from_a_record() -> None:
    (job,) = catalog.jobs_in(JOB + JOB)
    assert (job.id, job.name, job.kind, job.status, job.ended) == (4, "restore", "R", "E", 1796037514)
    assert (job.files, job.bytes, job.errors, job.purged) == (8, 982926, 4, False)
    assert job.state == "ended with errors"
    # As Bareos writes them.
    (other,) = catalog.jobs_in(JOB.lower().replace("982926", "982,926").replace(": e\n", ": E\n"))
    assert (other.bytes, other.status) == (982926, "E")


def test_problems_of_a_job_are_lines() -> None:
    texts = jobs._split(LOG)
    assert len(texts) == 3
    found = [problem[1] for text in texts if (problem := jobs.PROBLEM.match(text))]
    assert found[0].startswith("Write error at byte=0") and "/tmp/data/new\nline: ERR=" in found[0]
    assert found[1].startswith("Bacula lab-dir")


def test_entries_have_names_with_any_letter() -> None:
    assert [(one.path, one.file, one.name) for one in tree.entries(FOLDERS)] == [
        (1, 10, "."), (3, 0, ".."), (2, 9, "one/"),
    ]  # fmt: skip
    new, tab, hard, link = tree.entries(FILES)
    assert (new.name, tab.name) == ("new\nline", "od\td")
    assert (new.job, new.size, new.is_regular, new.linked) == (1, 1, True, 0)
    assert (hard.linked, hard.is_regular) == (1, False)
    assert not link.is_regular


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a\\b", "../x", '/mnt/"', "/mnt/\n", "/mnt\\", " a", "", "@a;b"])
def test_what_would_not_stay_a_word_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="bconsole cannot be told"):
        console.quoted(value)


def test_names_and_folders_are_words() -> None:
    assert console.quoted("save web1") == '"save web1"'
    assert console.quoted("/mnt/a b;c") == '"/mnt/a b;c"'


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("BACULA_CLIENT", "web1-fd", True),
        ("BACULA_CLIENT", 'web1" yes', False),
        ("BACULA_JOBS", ("save web1", "other"), True),
        ("BACULA_JOBS", ("save web1", "other\nquit"), False),
        ("BACULA_RESTORE_JOB", "@exec", False),
    ],
)
def test_settings_are_names_of_resources(name: str, value: str, right: bool) -> None:
    check = next(one.check for one in rear_settings() if one.name == name)
    assert check and (check(value) == "") == right


def test_a_restore_says_how_many_files_it_selects() -> None:
    assert restoring._selected("x\n\n1,207 files selected to be restored.\n\nJob queued. JobId=3\n") == 1207
    assert restoring._selected("Job queued. JobId=3\n") == 0


def test_all_files_of_a_configuration_are_known(tmp_path: Path) -> None:
    (tmp_path / "all.conf").write_text('@"two.conf"\n')
    (tmp_path / "two.conf").write_text("FileDaemon { Name = two }\n")
    used: list[Path] = []
    configuration.read(tmp_path / "all.conf", used)
    assert used == [tmp_path / "all.conf", tmp_path / "two.conf"]
