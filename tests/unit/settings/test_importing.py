# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Relax-and-Recover is carried over, a remark for each line, and nothing of it is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core import Setting, builtin
from rear_core.cli.session import settings_of
from rear_core.plugins import discover
from rear_core.settings import Sources, commands, evaluate, parse
from rear_core.settings.answers import Imported, Outcome
from rear_core.settings.hiding import hidden_in_comment
from rear_core.settings.importing import carried_over
from rear_core.settings.statements import statements

ROOT = Path(__file__).parents[3]
# Of the default.conf of Relax-and-Recover 2.9.
NAMES = (Path(__file__).parent / "original_names.txt").read_text().split()


def everything() -> list[Setting]:
    core = [setting for module in builtin.modules() for setting in getattr(module, "rear_settings", list)()]
    return [*core, *(setting for plugin in discover() for setting in settings_of(plugin))]


SETTINGS = list({setting.name: setting for setting in everything()}.values())


def carry(text: str) -> Imported:
    return carried_over({"local.conf": text}, SETTINGS)["local.conf"]


def outcomes(text: str) -> list[tuple[Outcome, Sequence[str]]]:
    return [(answer.outcome, [*answer.lines]) for answer in carry(text).answers]


@pytest.mark.parametrize(
    ("text", "outcome", "lines"),
    [
        ("OUTPUT=ISO", Outcome.SAME, ["OUTPUT=ISO"]),
        ("BACKUP=NETFS", Outcome.RENAMED, ["BACKUP=NFS"]),
        ("BACKUP=BORG", Outcome.SAME, ["BACKUP=BORG"]),
        ("BACKUP=GALAXY11", Outcome.MISSING, []),
        ("BACKUP_URL=nfs://server/export # here", Outcome.SAME, ["BACKUP_URL=nfs://server/export # here"]),
        ("BACKUP_URL=ftp://server/export", Outcome.MISSING, []),
        ("NETFS_URL=nfs://server/export", Outcome.RENAMED, ["BACKUP_URL=nfs://server/export"]),
        ("export NETFS_URL='nfs://server/export'", Outcome.RENAMED, ["BACKUP_URL='nfs://server/export'"]),
        ("COPY_AS_IS+=( /a\n /b )", Outcome.RENAMED, ["RESCUE_FILES+=( /a", " /b )"]),
        ("{ SSH_ROOT_PASSWORD='$6$a' ; } 2>>/dev/null", Outcome.SAME, ["SSH_ROOT_PASSWORD='$6$a'"]),
        ("{ SSH_ROOT_PASSWORD='$6$a' ; } 2>>/dev/$SECRET_OUTPUT_DEV", Outcome.SAME, ["SSH_ROOT_PASSWORD='$6$a'"]),
        ("{ BACKUP_PROG_CRYPT_KEY='a } b;c long' ;} 2>>/dev/null # x", Outcome.RENAMED, ["BACKUP_KEY='a } b;c long'"]),
        ("{ BACKUP_KEY='a\nbcdefghi'\n} 2>\"/dev/null\"", Outcome.SAME, ["BACKUP_KEY='a", "bcdefghi'"]),
        ("EXCLUDE_BACKUP+=( fs:/data )", Outcome.OTHERWISE, ["BACKUP_PROG_EXCLUDE+=( '/data/*' )"]),
        ("EXCLUDE_BACKUP+=( /dev/vg )", Outcome.MISSING, []),
        ("EXCLUDE_MODULES=( a b )", Outcome.SAME, ["EXCLUDE_MODULES=( a b )"]),
        ("ISO_DEFAULT=automatic", Outcome.OTHERWISE, ['KERNEL_CMDLINE+=" rear.auto=recover"']),
        ("ISO_DEFAULT=manual", Outcome.NEEDLESS, []),
        ("ISO_RECOVER_MODE=unattended", Outcome.NEEDLESS, []),
        ("KEEP_BUILD_DIR=yes", Outcome.NEEDLESS, []),
        ("GRUB_RESCUE=y", Outcome.SAME, ["GRUB_RESCUE=y"]),
        ("USE_CFG2HTML=y", Outcome.MISSING, []),
        ("USE_CFG2HTML=n", Outcome.NEEDLESS, []),
        ("BACKUP_TYPE=incremental", Outcome.MISSING, []),
        ("BORGBACKUP_REPO=/srv/borg", Outcome.OTHERWISE, ["BACKUP_URL=file:///srv", "BORG_REPOSITORY=borg"]),
        ("EXCLUDE_RECREATE+=( fs:/data )", Outcome.MISSING, []),
        ("OUTPUT_NONSENSE=1", Outcome.MISSING, []),
        ("ISO_VOLID=a\\ \\ ; ", Outcome.SAME, ["ISO_VOLID=a\\ \\ "]),
        ("ISO_VOLID=$(hostname)", Outcome.CODE, []),
        ('test "$A" && B=2 || \\\n  C=3', Outcome.CODE, []),
        ("f() {\n  OUTPUT=USB\n}", Outcome.CODE, []),
        ("cat <<EOF >/tmp/x\nOUTPUT=PXE\nEOF", Outcome.CODE, []),
        ("echo 'it is\nOUTPUT=PXE\n", Outcome.CODE, []),
        ("ISO_VOLID=a\0b", Outcome.CODE, []),
        ("BACKUP_KEY=a\0b # \0", Outcome.CODE, []),
        ("(\nOUTPUT=PXE\n)", Outcome.CODE, []),
        ("( OUTPUT=PXE # )\nBACKUP=NETFS\n) &", Outcome.CODE, []),
        ("OUTPUT=$(\nBACKUP=NETFS\necho ISO\n)", Outcome.CODE, []),
        ("( case $A in\n  a) B=')' ;;\n esac\nOUTPUT=PXE\n)", Outcome.CODE, []),
        ("case $A in (a) B=1 ;; b) C=2 ;; esac", Outcome.CODE, []),
        ("f() (\nOUTPUT=PXE\n)", Outcome.CODE, []),
        ("if a; then\n  if b; then OUTPUT=USB; fi\nfi", Outcome.CODE, []),
    ],
)
def test_each_line_has_an_answer(text: str, outcome: Outcome, lines: list[str]) -> None:
    assert outcomes(text) == [(outcome, lines)]


def test_nothing_is_carried_over_that_another_assignment_takes_back() -> None:
    assert outcomes("ISO_DEFAULT=automatic\nISO_DEFAULT=manual") == [(Outcome.NEEDLESS, [])] * 2
    assert outcomes("ISO_DEFAULT=automatic\nKERNEL_CMDLINE=quiet")[0] == (Outcome.MISSING, [])
    assert outcomes("ISO_DEFAULT=automatic\nKERNEL_CMDLINE+=quiet")[0][0] == Outcome.OTHERWISE
    assert outcomes("EXCLUDE_BACKUP+=( fs:/data )\nBACKUP_PROG_EXCLUDE=( '/tmp/*' )")[0] == (Outcome.MISSING, [])
    own = 'BACKUP_PROG_EXCLUDE=( "${BACKUP_PROG_EXCLUDE[@]}" /x )\nEXCLUDE_BACKUP+=( fs:/data )'
    assert outcomes(own)[1] == (Outcome.OTHERWISE, ["BACKUP_PROG_EXCLUDE+=( '/data/*' )"])
    assert outcomes("EXCLUDE_BACKUP=( fs:/a )\nEXCLUDE_BACKUP=( fs:/b )") == [(Outcome.MISSING, [])] * 2


def test_a_line_may_go_on_with_another_assignment() -> None:
    assert outcomes("OUTPUT=ISO\\\n BACKUP=NETFS") == [
        (Outcome.SAME, ["OUTPUT=ISO"]),
        (Outcome.RENAMED, ["BACKUP=NFS"]),
    ]


def test_what_was_several_settings_is_one() -> None:
    assert outcomes("BORGBACKUP_HOST=h BORGBACKUP_USERNAME=u\nBORGBACKUP_PORT=22\nBORGBACKUP_REPO=/srv/b") == [
        *[(Outcome.OTHERWISE, [])] * 3,
        (Outcome.OTHERWISE, ["BORG_REPOSITORY=ssh://u@h:22/srv/b"]),
    ]
    keep = "BORGBACKUP_PRUNE_KEEP_DAILY=7\nBORGBACKUP_PRUNE_KEEP_WEEKLY=4\nBORGBACKUP_PRUNE_KEEP_YEARLY=0\n"
    assert outcomes(keep)[0] == (Outcome.OTHERWISE, ["BORG_KEEP=( daily 7 weekly 4 )"])


@pytest.mark.parametrize(
    ("text", "outcome", "line"),
    [
        ("OUTPUT_PREFIX=$HOSTNAME", Outcome.SAME, "OUTPUT_PREFIX=$HOSTNAME"),
        ('NETFS_URL="nfs://nas/$HOSTNAME"', Outcome.RENAMED, 'BACKUP_URL="nfs://nas/$HOSTNAME"'),
        ("RESCUE_FILES+=( $CONFIG_DIR/x )", Outcome.SAME, "RESCUE_FILES+=( $CONFIG_DIR/x )"),
        ('NETFS_URL=nfs://a/b\nOUTPUT_URL="$NETFS_URL"/c', Outcome.SAME, 'OUTPUT_URL="$BACKUP_URL"/c'),
        ("NETFS_URL=nfs://a/b\nOUTPUT_URL=${NETFS_URL:-'\n'}", Outcome.CODE, None),
        ("NETFS_URL=nfs://a/b\nOUTPUT_URL=${NETFS_URL:-x}", Outcome.SAME, "OUTPUT_URL=${BACKUP_URL:-x}"),
        (
            "COPY_AS_IS=( \"${COPY_AS_IS[@]}\" '$COPY_AS_IS' )",
            Outcome.RENAMED,
            "RESCUE_FILES=( \"${RESCUE_FILES[@]}\" '$COPY_AS_IS' )",
        ),
        ("HOSTNAME=web\nOUTPUT_PREFIX=$HOSTNAME", Outcome.SAME, "OUTPUT_PREFIX=$HOSTNAME"),
        ("BACKUP_URL=ftp://a/b\nOUTPUT_URL=$BACKUP_URL/c", Outcome.MISSING, None),
        ("USE_CFG2HTML=y\nKERNEL_CMDLINE=a=$USE_CFG2HTML", Outcome.MISSING, None),
        ("BORGBACKUP_REPO=/srv/$HOSTNAME", Outcome.OTHERWISE, "BACKUP_URL=file:///srv"),
        ("BORGBACKUP_HOST=h\nBORGBACKUP_REPO=/a/$HOSTNAME", Outcome.OTHERWISE, 'BORG_REPOSITORY=ssh://h/a/"$HOSTNAME"'),
    ],
)
def test_references_stay_references(text: str, outcome: Outcome, line: str | None) -> None:
    """The same file is for several machines; what a reference leads to is carried over, or the line is not."""
    answer = carry(text).answers[-1]
    assert (answer.outcome, next(iter(answer.lines), None)) == (outcome, line)
    assert "single quotes" not in answer.remark


def test_a_part_of_a_password_with_a_dollar_is_not_shown() -> None:
    (answer,) = carry('BACKUP_KEY="long$hunter2"').answers
    assert answer.outcome is Outcome.MISSING and "hunter2" not in answer.remark


def test_a_line_that_ends_the_file_with_a_backslash_is_carried_over() -> None:
    assert outcomes("NETFS_URL=nfs://a/b\\\n") == [(Outcome.RENAMED, ["BACKUP_URL=nfs://a/b"])]
    assert outcomes("BACKUP_KEY=long-enough\\\\\n") == [(Outcome.SAME, ["BACKUP_KEY=long-enough\\\\"])]


def test_remarks_have_lines_that_can_be_read() -> None:
    text = "".join(f"{name}=word\n" for name in NAMES)
    for width in (60, 100):
        lines = carried_over({"local.conf": text}, SETTINGS)["local.conf"].text(width).splitlines()
        assert max(len(line) for line in lines if line.startswith("# ")) <= width


def test_a_damaged_comment_is_no_reason_to_refuse_a_file() -> None:
    assert carry("# a\0b\nOUTPUT=ISO\n").text() == "# a\\0b\n# line 2, same\nOUTPUT=ISO\n"


def test_lists_and_quotes_have_any_number_of_lines() -> None:
    lines = "\n".join(f"'/d/{number}'" for number in range(2000))
    (listed,) = carry(f"COPY_AS_IS+=(\n{lines}\n)").answers
    assert listed.outcome is Outcome.RENAMED and len(listed.lines) == 2002
    text = lines.replace("'", "")
    (quoted, code) = carry(f'ISO_VOLID="{text}"\nif "{text}"; then\nOUTPUT=PXE\nfi').answers
    assert "never closed" not in quoted.remark and code.outcome is Outcome.CODE


def test_commands_become_scripts() -> None:
    imported = carry(
        "PRE_BACKUP_SCRIPT='/root/stop now'\n"
        'POST_RECOVERY_COMMANDS=( "lost" )\nPOST_RECOVERY_COMMANDS=( "chroot $TARGET_FS_ROOT a" )\n'
        "POST_RECOVERY_COMMANDS+=( b )\nPRE_RECOVERY_SCRIPT=( )\nPRE_RECOVERY_COMMANDS=$OTHER\nOTHER=x\n"
        "POST_BACKUP_SCRIPT=/root/start\n"
    )
    scripts = imported.scripts
    assert scripts.pop("cleanup/10_post_backup.sh").splitlines() == [
        "#!/bin/bash",
        "set -u",
        "case $REAR_COMMAND in mkbackup | mkbackuponly) ;; *) exit 0 ;; esac",
        "TARGET_FS_ROOT=/mnt/local",
        "/root/start",
    ]
    begin = "#!/bin/bash\nset -eu\nTARGET_FS_ROOT=/mnt/local\n"
    assert scripts == {
        "backup/05_pre_backup.sh": f"{begin}/root/stop now\n",
        "finalize/96_post_recovery.sh": f"{begin}chroot /mnt/local a\nb\n",
    }
    assert [answer.outcome for answer in imported.answers][-4:-1] == [
        Outcome.NEEDLESS,
        Outcome.MISSING,
        Outcome.MISSING,
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("PRE_BACKUP_SCRIPT=( /bin/stop --all oracle )", ["/bin/stop --all oracle"]),
        ("PRE_RECOVERY_SCRIPT=( 'while false;' do 'true;' done )", ["while false; do true; done"]),
        ("POST_BACKUP_SCRIPT=( /bin/start )\nPOST_BACKUP_SCRIPT+=( --all )", ["/bin/start --all"]),
        ("POST_RECOVERY_SCRIPT=/bin/a\nPOST_RECOVERY_SCRIPT+=bc", ["/bin/abc"]),
        ("PRE_BACKUP_SCRIPT=( a b )\nPRE_BACKUP_SCRIPT=c", ["c b"]),
        ("PRE_RECOVERY_COMMANDS=( 'a b' c )", ["a b", "c"]),
    ],
)
def test_words_of_a_script_are_one_command_and_each_of_commands_is_one(text: str, lines: list[str]) -> None:
    """As the original runs them: eval "${NAME_SCRIPT[@]}", and eval of each word of NAME_COMMANDS."""
    (script,) = carry(text).scripts.values()
    assert script.splitlines()[-len(lines) - 1 :] == ["TARGET_FS_ROOT=/mnt/local", *lines]


def test_return_ends_what_prepares_the_network_and_not_the_recovery() -> None:
    """The example of the original; an address that is there already ends nothing either."""
    imported = carry("NETWORKING_PREPARATION_COMMANDS=( 'ip link set dev eth0 up' 'return' )")
    assert imported.scripts["config/05_network.sh"].splitlines() == [
        "#!/bin/bash",
        "set -u",
        "TARGET_FS_ROOT=/mnt/local",
        "commands() {",
        "ip link set dev eth0 up",
        "return",
        "}",
        "commands",
        "exit 0",
    ]
    (answer,) = imported.answers
    assert "`return` ends this script alone" in answer.remark and "a command that fails ends nothing" in answer.remark


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("LogPrint 'it is done'", "it calls LogPrint"),
        ("test -e /x && Error no", "it calls Error"),
        ('echo "it', "a quote or backslash is open"),
        ("echo a \\\\", "a quote or backslash is open"),
    ],
)
def test_a_command_that_no_script_can_run_is_named(command: str, reason: str) -> None:
    (answer,) = carry(f"PRE_RECOVERY_COMMANDS=( $'{command}' )".replace("'it is done'", "it")).answers
    assert answer.outcome is Outcome.MISSING and reason in answer.remark and not answer.script


@given(st.lists(st.sampled_from(["echo", "true;", "a b", "'x'", "return", "#", "return 1 || :", "{", "$(", "fi"])))
def test_every_script_is_read_by_a_shell_or_its_fault_is_that_of_the_words(words: list[str]) -> None:
    """A folder of scripts holds commands, and what is around them never makes one of another."""
    quoted = " ".join(map(shlex.quote, words))
    for name, kind in commands.KINDS.items():
        for path, text in carry(f"{name}=( {quoted} )").scripts.items():
            assert path == kind.path and text.startswith("#!/bin/bash\nset -")
            inside = text.split("TARGET_FS_ROOT=/mnt/local\n")[1]
            assert all(command in inside for command in commands.of_words(name, words))


@pytest.mark.parametrize(
    "text",
    [
        "BORGBACKUP_PASSPHRASE='hunter2 x'",
        "BACKUP_PROG_CRYPT_KEY=$(echo hunter2)",
        "COVE_INSTALLATION_TOKEN=hunter2",
        "OPAL_PBA_TKNKEY=hunter2",
        "NETFS_URL=cifs://user:hunter2@host/share",
        "NETFS_URL=cifs://user:a/b@hunter2@host/share",
        "BACKUP_URL=rsync://u:hunter2@h/x",
        "OUTPUT_URL=sftp://u:hunter2@h/$HOSTNAME",
        "BACKUP_DUPLICITY_URL=ftp://u:hunter2@h/x",
        "BACKUP_MOUNTCMD='mount -o username=u,password=hunter2 //h/x'",
        "BACKUP_KEY ='hunter2'",
        "'BACKUP_KEY'=hunter2",
        ": ${BACKUP_KEY:=hunter2}",
        "BACKUP_KEY[0]=hunter2",
        'BACKUP_KEY="a\nhunter2\n',
        "BACKUP_KEY=$'a\\'b\nhunter2\n'$(x)",
        "BACKUP_KEY=a\nhunter2",
        "BACKUP_KEY=a hunter2=b",
        "BACKUP_KEY=a b hunter2",
        "BACKUP_KYE=hunter2",
        "if a; then\n  mine=hunter2\nfi",
        "if a; then BACKUP_KEY='a\nhunter2'; fi",
        "echo 'BACKUP_KEY=\nhunter2' >x",
        "openssl --password hunter2",
        "PRE_BACKUP_SCRIPT='curl -u anna:hunter2 x'",
        "sshpass -phunter2 ssh nas",
        "# BACKUP_KEY=hunter2",
        "# once NETFS_URL=cifs://u:hunter2@h/x",
    ],
)
def test_passwords_are_not_repeated(text: str) -> None:
    written = carry(text).text()
    assert "hunter2" not in written and "..." in written


def test_what_is_no_password_is_shown() -> None:
    text = (
        "if a; then\n  OUTPUT=USB\nfi\n# the password is in the vault\nBACKUP_KEY=long-enough\nif b; then\n  c\nfi\n"
        "USE_CFG2HTML=y\nNETFS_URL=nfs://h/x y"
    )
    assert carry(text).text().count("...") == 0


SIGNS = ["BACKUP_KEY=", " ", ":", "${", "}", '"', "'", "\n", "$'", ";", "A=", "then", "(", ")", "\\", "#", "=", "://"]


@given(st.lists(st.sampled_from(SIGNS), max_size=8))
def test_no_syntax_tells_a_password(pieces: list[str]) -> None:
    """The value is carried over, as what it is, or it is not repeated."""
    imported = carry(f"BACKUP_KEY={''.join(pieces)}hunter2")
    remarks = [line for line in imported.text().splitlines() if line.startswith(("#   ", "# line"))]
    assert "hunter2" not in "".join(remarks)


def test_files_may_refer_to_each_other() -> None:
    found = carried_over({"site.conf": "PLACE=/srv", "local.conf": "BACKUP_URL=file://$PLACE/backup"}, SETTINGS)
    assert [answer.outcome for one in found.values() for answer in one.answers] == [Outcome.SAME, Outcome.SAME]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_original_has_an_answer(name: str) -> None:
    for value in (f"{name}=word", f"{name}=( word )", f"{name}+=( /word )"):
        (answer,) = carry(value).answers
        assert answer.outcome is not Outcome.CODE
        assert answer.remark != "neither rear nor Relax-and-Recover knows it"


PIECES = st.sampled_from(
    [
        "OUTPUT=ISO", "BACKUP=NETFS", "NETFS_URL=nfs://a/b", "A='", 'B="', "'", '"', "COPY_AS_IS+=(", ")", "/etc/x",
        " ", "\n", "\\\n", ";", "# remark", "if a; then", "fi", "{", "}", "for i in 1; do", "done", "$(x)", "`", "&&",
        "|", "$OUTPUT", "${A[@]}", "ISO_DEFAULT=automatic", "BORGBACKUP_REPO=", "PRE_BACKUP_SCRIPT=", "\u00e4", "\r\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40).map(lambda text: text.replace("\0", "")))
def test_whatever_comes_out_is_accepted_and_no_line_is_lost(text: str) -> None:
    imported = carry(text)
    evaluate(Sources(assignments=tuple(parse(imported.text(), "local.conf"))), SETTINGS, {})
    found = list(statements(text, "local.conf"))
    lines = [line for statement in found for line in statement.lines]
    whole = text.removeprefix("\ufeff").replace("\r\n", "\n")
    assert "".join(f"{line}\n" for line in lines) in (whole, f"{whole}\n")
    assert [part for part in imported.parts if isinstance(part, str)] == [
        hidden_in_comment(line) for one in found if not one.assignments and not one.problem for line in one.lines
    ]


def test_the_guide_tells_what_is_done() -> None:
    guide = (ROOT / "docs/how-to/from-relax-and-recover.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+\+?=.*?)` \| `([A-Z_]+\+?=.*?)` \|$", guide, re.MULTILINE)
    assert len(rows) > 10
    for there, here in rows:
        assert [line for _, lines in outcomes(there) for line in lines] == [here]
    assert f"all {len(NAMES)} names" in guide
