# SPDX-License-Identifier: GPL-3.0-or-later
"""Values, their types and origins, and what is said about assignments that cannot be meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.places.url import Url
from rear_core.settings import Setting, Settings, Sources, assign, dump_lines, evaluate, parse

DECLARED = [
    Setting("OUTPUT", default="ISO", choices=("ISO", "USB")),
    Setting("OUTPUT_URL", check=lambda url: "" if ":" in url else "is no URL"),
    Setting("TIMEOUT", int, default=30),
    Setting("VERBOSE", bool),
    Setting("MODULES", list, choices=("all_modules", "loaded_modules")),
    Setting("RESCUE_BINARIES", list, default=["bash"], aliases=("PROGS", "REQUIRED_PROGS")),
    Setting("TMPDIR", default="/tmp", environment=True),
    Setting("DIRECTORIES", list, environment=True),
    Setting("RETRIES", int, environment=True),
    Setting("PASSWORD", secret=True, choices=("correct", "horse")),
    Setting("PLACE", Url),
]


def read(text: str, environment: Mapping[str, str] | None = None, strict: bool = True) -> Settings:
    sources = Sources(assignments=tuple(parse(text, "local.conf")), variables={"HOSTNAME": "web1"})
    return evaluate(sources, DECLARED, environment or {}, lambda name: name.startswith("OTHER_"), strict)


def failure(text: str, environment: Mapping[str, str] | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read(text, environment)
    return caught.value


@pytest.mark.parametrize(
    ("declare", "fault"),
    [
        (lambda: Setting("bad-name"), "'bad-name' cannot name a setting"),
        (lambda: Setting("1ST"), "'1ST' cannot name a setting"),
        (lambda: Setting("NEW", aliases=("OLD NAME",)), "'OLD NAME' cannot name a setting"),
        (lambda: Setting("A", float), "A: a setting is a str, int, bool, list or Url"),
        (lambda: Setting("A", int, default="seven"), "A: the default of type int cannot be 'seven'"),
        (lambda: Setting("A", int, default=True), "A: the default of type int cannot be True"),
        (lambda: Setting("A", bool, default=0), "A: the default of type bool cannot be 0"),
        (lambda: Setting("A", default=5), "A: the default of type str cannot be 5"),
        (lambda: Setting("A", list, default="one two"), "A: the default of type list cannot be 'one two'"),
    ],
)
def test_what_no_file_could_set_cannot_be_declared(declare: Callable[[], Setting], fault: str) -> None:
    with pytest.raises((TypeError, ValueError), match=fault):
        declare()


def test_without_any_file_every_setting_has_its_default() -> None:
    settings = read("")
    assert dict(settings) == {s.name: s.default for s in DECLARED}
    assert {settings.origin(name) for name in settings} == {"default"}
    assert settings.declaration("OUTPUT") is DECLARED[0]


def test_values_have_the_declared_type_and_the_place_they_came_from() -> None:
    settings = read("OUTPUT=USB\nTIMEOUT=7\nVERBOSE=Yes\n\nMODULES=( all_modules )")
    assert [settings[name] for name in ("OUTPUT", "TIMEOUT", "VERBOSE", "MODULES")] == [
        "USB",
        7,
        True,
        ("all_modules",),
    ]
    assert settings.origin("MODULES") == "local.conf:5"


@pytest.mark.parametrize("text", ["yes", "Y", "true", "T", "1", "ON"])
def test_yes_is_written_in_many_ways(text: str) -> None:
    assert read(f"VERBOSE={text}")["VERBOSE"] is True


@pytest.mark.parametrize("text", ["no", "N", "False", "f", "0", "off", ""])
def test_no_is_written_in_many_ways(text: str) -> None:
    assert read(f"VERBOSE=yes\nVERBOSE={text}")["VERBOSE"] is False


def test_an_empty_number_is_the_default() -> None:
    assert read("TIMEOUT=")["TIMEOUT"] == 30


def test_the_last_assignment_wins() -> None:
    settings = read("TIMEOUT=1\nTIMEOUT=2")
    assert (settings["TIMEOUT"], settings.origin("TIMEOUT")) == (2, "local.conf:2")


def test_appending_extends_the_default_and_earlier_values_and_names_all_places() -> None:
    settings = read("RESCUE_BINARIES+=( a )\nRESCUE_BINARIES+=( b )\nTMPDIR+=/x")
    assert settings["RESCUE_BINARIES"] == ("bash", "a", "b")
    assert settings.origin("RESCUE_BINARIES") == "default, local.conf:1, local.conf:2"
    assert settings["TMPDIR"] == "/tmp/x"


def test_a_list_replaced_has_only_the_new_words() -> None:
    settings = read("RESCUE_BINARIES=( a )")
    assert (settings["RESCUE_BINARIES"], settings.origin("RESCUE_BINARIES")) == (("a",), "local.conf:1")


def test_old_names_are_read_for_the_new_one() -> None:
    settings = read('PROGS+=( a )\nTMPDIR="/x/${PROGS[*]}"')
    assert settings["RESCUE_BINARIES"] == ("bash", "a")
    assert settings["TMPDIR"] == "/x/bash a"


def test_two_old_names_of_one_list_do_not_discard_each_other() -> None:
    assert read("PROGS=( a b )\nREQUIRED_PROGS=( c )")["RESCUE_BINARIES"] == ("a", "b", "c")


def test_references_see_the_values_so_far() -> None:
    settings = read(
        'OUTPUT_URL="nfs://$HOSTNAME/${OUTPUT}/$TIMEOUT/$VERBOSE"\nOUTPUT=USB\n'
        'RESCUE_BINARIES=( "${RESCUE_BINARIES[@]}" x$OUTPUT )\n'
        'TMPDIR="${RESCUE_BINARIES[@]}" PASSWORD=${PASSWORD:-horse}'
    )
    assert settings["OUTPUT_URL"] == "nfs://web1/ISO/30/no"
    assert settings["RESCUE_BINARIES"] == ("bash", "xUSB")
    assert settings["TMPDIR"] == "bash xUSB"
    assert settings["PASSWORD"] == "horse"


def test_the_environment_wins_where_it_may() -> None:
    settings = read(
        "TMPDIR=/file\nOUTPUT=USB\nOUTPUT_URL=file:$TMPDIR",
        {"TMPDIR": "/env", "OUTPUT": "ISO", "DIRECTORIES": "/a  /b", "RETRIES": "3"},
    )
    assert [settings[n] for n in ("TMPDIR", "OUTPUT", "OUTPUT_URL", "DIRECTORIES", "RETRIES")] == [
        "/env",
        "USB",
        "file:/env",
        ("/a", "/b"),
        3,
    ]
    assert settings.origin("TMPDIR") == "environment"


def test_an_empty_environment_variable_counts_as_none() -> None:
    assert read("", {"TMPDIR": ""})["TMPDIR"] == "/tmp"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("#\n  MODULES=all_modules", "2:3: MODULES is a list and needs parentheses", "write MODULES=( ... )"),
        ("PROGS+=x", "1:1: PROGS is a list and needs parentheses", "write PROGS+=( ... )"),
        ("TIMEOUT=( 1 )", "1:1: TIMEOUT has one value and is no list", 'write TIMEOUT="value"'),
        ("OUTPUT=CD", "1:1: OUTPUT is 'CD', which is not one of the choices", "choose from: ISO, USB"),
        (
            "MODULES=( all_modules\nfew )",
            "1:1: MODULES is 'few', which is not one of the choices",
            "choose from: all_modules",
        ),
        ("\nOUTPUT_URL=server", "2:1: OUTPUT_URL is 'server': is no URL", "write another value"),
        ("TIMEOUT=soon", "1:1: TIMEOUT is 'soon', which is not a whole number", "a whole number"),
        (
            "TIMEOUT=1000000000000000000",
            "1:1: TIMEOUT is '1000000000000000000', which has more than 18 digits",
            "a whole number",
        ),
        ("TIMEOUT=1_0", "1:1: TIMEOUT is '1_0', which is not a whole number", "a whole number"),
        ("VERBOSE=maybe", "1:1: VERBOSE is 'maybe', which is neither yes nor no", "yes or no"),
        ("OUTPT=ISO", "1:1: OUTPT is not a setting", "did you mean OUTPUT?"),
        ("tmpdir=x", "1:1: tmpdir is not a setting", "did you mean TMPDIR?"),
        ("XYZZY=1", "1:1: XYZZY is not a setting", "rear config default"),
        ("X=1 X=$X/2", "1:1: X is not a setting", ""),
        ('TMPDIR="/x/$OUTPTU"', "1:12: $OUTPTU has no value here", "did you mean OUTPUT?"),
        ('TMPDIR="$LATER"\nLATER=1', "1:9: $LATER has no value here", ""),
        ("TMPDIR=$MODULES", "1:8: MODULES is a list", 'write "${MODULES[@]}"'),
        ("X=( 1 ) TMPDIR=${X[*]}\nX=1", "2:1: X is a list in one place only", "X=( ... )"),
    ],
)
def test_what_cannot_be_meant_is_an_error_at_its_place(text: str, message: str, hint: str) -> None:
    error = failure(text)
    assert error.message == f"local.conf:{message}" or error.message.startswith(f"local.conf:{message} ")
    assert hint in error.hint


def test_a_bad_environment_variable_is_named() -> None:
    assert failure("", {"RETRIES": "many"}).message == (
        "environment variable RETRIES is 'many', which is not a whole number"
    )


def test_the_value_of_a_secret_is_not_in_the_error() -> None:
    error = failure("PASSWORD=hunter2")
    assert error.message == "local.conf:1:1: PASSWORD has a value, which is not one of the choices"


# What an unquoted passphrase can look like; WORD is the part that must not be shown.
PARTS = ["WORD", "x", "OUTPUT", "${", "+=", *"$};!&|=()[]'\"\\`- "]
BEGINNINGS = ["PASSWORD=", "BACKUPKEY=", "PASSWORD=( ", 'export PASSWORD="']


@pytest.mark.parametrize("name", ["PASSWORD", "BACKUPKEY"])
@pytest.mark.parametrize(
    "value",
    [
        "Tr0ub$WORD", "abc;WORD!Rest9", '"${WORD}tail"', "x;WORD=y", "x WORD=y", "x;WORD", "x; WORD = y", "x;my-WORD=y",
        "x;WORD=a b", "x y=1;WORD=2", "x;TIMEOUT=WORD", "x;OUTPUT=WORD", "x;OUTPUT_URL=WORD", "x$MODULES;WORD",
        "(a)WORD", "$WORD\\\ny", "x;WORD= ( y )", "x;WORD[1]=y", "x;WORD() y", '"a\nb";WORD=y', '"a\n$WORD"',
    ],
)  # fmt: skip
def test_no_part_of_what_may_be_a_passphrase_is_in_the_error(name: str, value: str) -> None:
    error = failure(f"{name}={value}\nX=$BACKUPKEY")
    assert error.message.startswith("local.conf:") and error.hint
    assert "WORD" not in (error.message + error.hint).replace("PASSWORD", "")


@given(st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(PARTS)))
@example("PLACE=nfs://user:", ["x", "$", "WORD", "@host/x"])
@example("PLACE=nfs://user:", ["x", ";", "WORD", "=", "@host/x"])
def test_no_error_of_a_line_with_a_passphrase_shows_a_word_of_it(begin: str, parts: list[str]) -> None:
    try:
        read(f"{begin}{''.join(parts)}\nX=$BACKUPKEY")
    except ConfigurationError as error:
        assert "WORD" not in (error.message + error.hint).replace("PASSWORD", "")


def test_a_reference_elsewhere_is_named() -> None:
    assert "$NOTHING has no value" in failure("OUTPUT=$NOTHING").message
    assert "Foo is not a setting" in failure("OUTPUT=ISO;Foo=x").message


def test_a_name_that_others_refer_to_is_the_administrators_own() -> None:
    settings = read('SITE=berlin HOSTS=( a b )\nTMPDIR="/srv/$SITE" RESCUE_BINARIES=( "${HOSTS[@]}" )')
    assert settings["TMPDIR"] == "/srv/berlin"
    assert settings["RESCUE_BINARIES"] == ("a", "b")
    assert "SITE" not in settings


def test_settings_of_plugins_that_are_not_selected_are_accepted_silently() -> None:
    settings = read("OTHER_X=1\nOTHER_Y=( a )\nTMPDIR=/$OTHER_X")
    assert (settings["TMPDIR"], settings.warnings) == ("/1", [])


def test_references_to_what_a_plugin_not_in_use_declares_are_empty() -> None:
    assert read('TMPDIR="/x$OTHER_X" PROGS=( "${OTHER_Y[@]}" )')["TMPDIR"] == "/x"


def test_a_list_of_the_original_that_was_never_set_is_empty() -> None:
    settings = read('NETFS_X=( "${NETFS_X[@]}" /x )\nPROGS=( ${NETFS_X[@]} )')
    assert settings["RESCUE_BINARIES"] == ("/x",)


def test_names_of_the_original_without_meaning_give_a_warning_with_advice() -> None:
    settings = read("OUTPUT=USB\nNETFS_URL=nfs://x/y\nAUTOEXCLUDE_DISKS=n")
    assert settings.warnings[0] == "local.conf:2: NETFS_URL has no effect: it is BACKUP_URL now"
    assert settings.warnings[1].startswith("local.conf:3: AUTOEXCLUDE_DISKS has no effect: ")
    assert len(settings.warnings) == 2


def test_a_first_look_passes_over_what_is_not_known_yet() -> None:
    text = "PLUGIN_URL=x\nOUTPUT=USB\nTMPDIR=/$UNKNOWN/${WORDS[@]}\nTIMEOUT=${NUMBER}x\nXYZZY=1"
    settings = read(text, strict=False)
    assert (settings["OUTPUT"], settings["TMPDIR"], settings["TIMEOUT"]) == ("USB", "//", 30)
    assert settings.warnings == []


def test_the_same_sources_can_be_evaluated_twice() -> None:
    sources = Sources(assignments=tuple(parse("OUTPUT=USB\nRESCUE_BINARIES+=( a )", "f")))
    first = evaluate(sources, DECLARED[:1], {}, strict=False)
    second = evaluate(sources, DECLARED, {})
    assert (first["OUTPUT"], second["RESCUE_BINARIES"]) == ("USB", ("bash", "a"))


def test_a_script_hands_back_values_for_the_names_it_may_set() -> None:
    before = read("RESCUE_BINARIES+=( a )")
    text = 'RESCUE_BINARIES+=( strace "$HOSTNAME" )\n'
    after = assign(before, text, "/etc/rear/build/10_x.sh", ["RESCUE_BINARIES"])
    assert after["RESCUE_BINARIES"] == ("bash", "a", "strace", "web1")
    assert after.origin("RESCUE_BINARIES") == "default, local.conf:1, /etc/rear/build/10_x.sh:1"
    assert before["RESCUE_BINARIES"] == ("bash", "a")


@pytest.mark.parametrize("text", ["OUTPUT=USB", "PLUGH=1"])
def test_a_script_that_sets_anything_else_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        assign(read(""), text, "/etc/rear/10_x.sh", ["RESCUE_BINARIES"])
    assert caught.value.message == f"/etc/rear/10_x.sh:1:1: this script may not set {text.split('=')[0]}"
    assert "RESCUE_BINARIES" in caught.value.hint


def test_a_script_that_sets_a_name_twice_or_by_its_old_name_extends_what_stands() -> None:
    after = assign(read(""), "PROGS+=( a )\nRESCUE_BINARIES+=( b )", "s", ["RESCUE_BINARIES"])
    assert after["RESCUE_BINARIES"] == ("bash", "a", "b")


LOCAL_CONF_OF_THE_ORIGINAL = """\
# Default is to create Relax-and-Recover rescue media as ISO image
OUTPUT=ISO
BACKUP=NETFS
BACKUP_URL="nfs://nas.example.com/export/rear"; BACKUP_OPTIONS="nfsvers=4,nolock"
OUTPUT_URL=$BACKUP_URL/iso
BACKUP_PROG_EXCLUDE=( "${BACKUP_PROG_EXCLUDE[@]}" '/tmp/*' '/dev/shm/*' /var/crash )
BACKUP_PROG_EXCLUDE+=( "$VAR_DIR/output/*" )
NETFS_KEEP_OLD_BACKUP_COPY=yes
NETFS_PREFIX="$HOSTNAME"
REQUIRED_PROGS+=( snapper chattr )
PROGS+=( lsattr )
COPY_AS_IS+=( /usr/lib/snapper/installation-helper
              /etc/snapper/config-templates/default )  # for SLES
MODULES_LOAD=( )
AUTOEXCLUDE_MULTIPATH=n
AUTOEXCLUDE_DISKS=n
ONLY_INCLUDE_VG=( "vg00" )
USE_DHCLIENT=yes
TIMESYNC=NTP
USE_CFG2HTML=n
ISO_MKISOFS_BIN=/usr/bin/xorrisofs
USER_INPUT_TIMEOUT="${USER_INPUT_TIMEOUT:-300}"
export BORG_PASSPHRASE='S3cret $ecret'
export TMPDIR="/var/tmp"
POST_RECOVERY_SCRIPT=( 'if snapper --no-dbus get-config | grep -q x ; then echo done ; fi' )
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_local_conf_of_the_original_reads_as_it_is(line_end: str) -> None:
    declared = [
        *DECLARED,
        Setting("BACKUP"),
        Setting("BACKUP_URL"),
        Setting("BACKUP_OPTIONS"),
        Setting("VAR_DIR", default="/var/lib/rear"),
        Setting("BACKUP_EXCLUDE", list, default=["/proc/*"], aliases=("BACKUP_PROG_EXCLUDE",)),
        Setting("RESCUE_FILES", list, aliases=("COPY_AS_IS",)),
        Setting("MODULES_LOAD", list),
        Setting("ONLY_INCLUDE_VG", list),
    ]
    text = LOCAL_CONF_OF_THE_ORIGINAL.replace("\n", line_end)
    sources = Sources(assignments=tuple(parse(text, "local.conf")), variables={"HOSTNAME": "web1"})
    settings = evaluate(sources, declared, {})
    assert settings["OUTPUT_URL"] == "nfs://nas.example.com/export/rear/iso"
    assert settings["BACKUP_EXCLUDE"] == (
        "/proc/*",
        "/tmp/*",
        "/dev/shm/*",
        "/var/crash",
        "/var/lib/rear/output/*",
    )
    assert settings["RESCUE_BINARIES"] == ("bash", "snapper", "chattr", "lsattr")
    assert settings["RESCUE_FILES"] == (
        "/usr/lib/snapper/installation-helper",
        "/etc/snapper/config-templates/default",
    )
    assert settings["TMPDIR"] == "/var/tmp"
    assert [line.split()[1] for line in settings.warnings] == [
        "NETFS_KEEP_OLD_BACKUP_COPY",
        "NETFS_PREFIX",
        "AUTOEXCLUDE_MULTIPATH",
        "AUTOEXCLUDE_DISKS",
        "USE_DHCLIENT",
        "TIMESYNC",
        "USE_CFG2HTML",
        "ISO_MKISOFS_BIN",
        "USER_INPUT_TIMEOUT",
        "BORG_PASSPHRASE",
        "POST_RECOVERY_SCRIPT",
    ]
    assert settings.warnings[0].startswith("local.conf:8: ")


def test_a_name_that_kept_something_from_being_written_is_an_error_and_not_passed_over() -> None:
    sources = Sources(assignments=tuple(parse('EXCLUDE_RECREATE+=( "fs:/data" )', "local.conf")), variables={})
    with pytest.raises(ConfigurationError, match=r"local\.conf:1:1: EXCLUDE_RECREATE") as error:
        evaluate(sources, DECLARED, {})
    assert "EXCLUDE_COMPONENTS" in error.value.hint


PIECES = st.sampled_from(
    [
        "OUTPUT=",
        "TIMEOUT=",
        "VERBOSE=",
        "PROGS=(",
        "PROGS+=(",
        "NETFS_URL=",
        "X=",
        ")",
        " ",
        "\n",
        "$X",
        "${PROGS[@]}",
        '"',
        "'",
        "ISO",
        "1",
        "yes",
        "$",
        "#",
        "${Y:-z}",
        "$OUTPUT",
        ";",
    ]
)


@given(st.lists(PIECES, max_size=15).map("".join), st.booleans())
def test_no_assignments_raise_anything_but_a_configuration_error_with_place(text: str, strict: bool) -> None:
    try:
        read(text, strict=strict)
    except ConfigurationError as error:
        source, line, column, _ = error.message.split(":", 3)
        assert (source, int(line) > 0, int(column) > 0) == ("local.conf", True, True)


def test_a_url_is_read_once_and_shown_as_it_was_understood() -> None:
    settings = read("PLACE=' FILE:///srv//rear '\nOUTPUT=USB")
    assert settings["PLACE"] == Url("file", "", "/srv/rear")
    assert "PLACE=file:///srv/rear" in dump_lines(settings)
    assert read("PLACE=\nOUTPUT=USB")["PLACE"] is None
    assert read("OUTPUT=USB")["PLACE"] is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("/srv/rear", "has no scheme"),
        ("sftp://server/srv", "sftp:// is not supported, write sshfs://user@server/folder"),
        ("nfs://rear:secret@server/srv", "has a password"),
    ],
)
def test_a_bad_url_is_named_with_its_place_and_without_its_password(value: str, problem: str) -> None:
    error = failure(f"PLACE={value}")
    assert error.message.startswith("local.conf:1:1: PLACE is '")
    assert problem in error.message
    assert "secret" not in error.message
    assert error.hint.startswith("write file:///folder, nfs://")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=xx\n" + 'A="$A$A"\n' * 60, "conf:21:6: this value has more than 1048576 characters"),
        ("A=xx\n" + "A+=$A\n" * 60, "conf:21:1: this value has more than 1048576 characters"),
        ("B=xx\n" + 'B="$B$B"\n' * 60 + "A=$B", "conf:21:6: this value has more than"),
        ("L=( x )\n" + 'L=( "${L[@]}" "${L[@]}" )\n' * 60, "conf:16:1: this list has more than 20000 words"),
        ("L=( x )\n" + 'L+=( "${L[@]}" )\n' * 60, "conf:16:1: this list has more than 20000 words"),
        ("L=( x )\n" + 'L=( "${L[@]} ${L[*]}" )\n' * 60, "conf:21:14: the words of this list have more"),
    ],
)
def test_references_that_multiply_a_value_end_with_an_error_at_their_place(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        evaluate(Sources(assignments=tuple(parse(text, "conf"))), [Setting("A"), Setting("L", list)], {})
    assert caught.value.message.startswith(told)


def test_a_list_may_be_extended_line_by_line() -> None:
    """Two thousand lines take no time, and not each of them is named as the place of the value."""
    for line in ("L+=( x )\n", 'L=( "${L[@]}" x )\n'):
        settings = evaluate(Sources(assignments=tuple(parse(line * 2000, "conf"))), [Setting("L", list)], {})
        assert len(settings["L"]) == 2000 and len(settings.origin("L")) < 400


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        (Setting("A", bool, help="A long story. " * 20), "write yes or no"),
        (Setting("A", int, help="A long story. " * 20), "write a whole number"),
        (
            Setting("A", check=lambda _: "is bad", help="A word. " * 9),
            "write another value; A: A word",
        ),
    ],
)
def test_what_to_do_about_a_wrong_value_is_short(setting: Setting, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        evaluate(Sources(assignments=tuple(parse("A=perhaps", "conf"))), [setting], {})
    assert caught.value.hint == hint
