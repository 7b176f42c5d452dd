# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between the core and its plugins: every hook, in the order of a run.

A plugin is a module named by an entry point (`rear.backup`, `rear.output`, `rear.os` or `rear.extra`). It marks its
functions with `@hookimpl` (`from rear_core import hookimpl`) and leaves out any hook, and any argument of a hook, that
it does not need. Hooks only say what there is to do: the work is done by the actions of the steps they return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from .backup_access import BackupAccess
    from .boot.loader import BootLoader
    from .contents import Contents
    from .first_setup import Ask, Offer
    from .media.carried import Room
    from .media.format import Format
    from .places.place import PlaceKind
    from .run import Run
    from .settings import Setting
    from .step import Step
    from .storage.kinds import StorageKind

# The number of this contract. It rises when a plugin that keeps to it would have to be changed; a hook, argument or
# field more leaves it as it is. A plugin says which it was written for by a constant of its module: `REAR_API = 1`.
API = 1

hookspec = pluggy.HookspecMarker("rear")
hookimpl = pluggy.HookimplMarker("rear")

# Declarations: plain values, asked for at any time, also without the rights of root. They must not touch the system.


@hookspec
def rear_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """The settings that this plugin reads.

    Each is then known to the configuration files, `rear dump`, `rear config default` and the reference. ::

        yield Setting("ACME_SERVER", str, help="host name of the Acme backup server")
    """


@hookspec
def rear_setup() -> Iterable[Ask]:  # type: ignore[empty-body]
    """What `rear setup` asks the administrator for this plugin, in this order.

    Few settings: those without which it does not work, and those that nobody wants to learn of too late. `rear setup`
    then tries what was answered, with the steps of `rear_prep`, and asks again where one of them fails. A place that
    has a password or the like is asked for by its `PlaceKind`. ::

        yield Ask("ACME_SERVER", "Host name of the Acme server", needed=True)
        yield Ask("ACME_KEY_FILE", "Its key", file=SecretFile("acme.key", (SecretLine("Key"),)))
    """


@hookspec
def rear_setup_offers(run: Run) -> Iterable[Offer]:  # type: ignore[empty-body]
    """What `rear setup` offers at its end, when media and the first backup are there; nothing that cannot work here.

    ::

        yield Offer("Try the Acme restore now", "acme-try")
    """


@hookspec
def rear_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Further commands of `rear`, for plugins that are always active (`rear.extra`) and for selected ones.

    A command that needs a run asks for it with `rear_core.cli.session.open_run`. ::

        yield acme_status
    """


@hookspec
def rear_carried() -> bool:  # type: ignore[empty-body]
    """Whether the rescue system carries this plugin; it does where a plugin does not say.

    For what makes sense on the healthy machine alone. Such a plugin declares no settings, as the rescue system
    would not know them. ::

        return False
    """


@hookspec
def rear_storage_kinds() -> Iterable[StorageKind]:  # type: ignore[empty-body]
    """Storage technologies that the layout can describe.

    ::

        yield StorageKind("acmefs", items=(AcmeFileSystem,), capture=capture, contents=contents)
    """


@hookspec
def rear_boot_loaders() -> Iterable[BootLoader]:  # type: ignore[empty-body]
    """Boot loaders that can be recognized on this machine and installed again on the recovered one.

    ::

        yield BootLoader("acmeboot", find_acmeboot, "uefi", install_acmeboot, verify_acmeboot)
    """


@hookspec
def rear_places() -> Iterable[PlaceKind]:  # type: ignore[empty-body]
    """Kinds of places for media or backups, each known by the scheme of its URLs.

    For plugins that are always active (`rear.extra`). ::

        yield PlaceKind(Scheme("acme", "acme://server/folder"), files=AcmePlace)
    """


@hookspec
def rear_formats() -> Iterable[Format]:  # type: ignore[empty-body]
    """Kinds of devices that `rear format DEVICE` makes ready for this plugin's media or backups.

    The command finds the plugin that the device suits, shows what it holds, asks, and looks once more before it
    writes; see `rear_core.media.format.Format`. ::

        yield Format("Acme cartridge", is_cartridge, describe_cartridge, lambda run, device: "blank", erase_cartridge)
    """


@hookspec
def rear_rescue_contents(run: Run) -> Contents:  # type: ignore[empty-body]
    """What the rescue system must or may carry for this plugin to work there.

    Asked in prep, for the programs that must be there, and again in analyse_rescue, when `run.layout` is known. ::

        return Contents(programs=["mount.nfs"], modules=["nfs", "nfsv4"])
    """


@hookspec
def rear_missing(run: Run) -> Iterable[str]:  # type: ignore[empty-body]
    """What this machine itself lacks for making rescue media, besides the programs that the rescue system carries.

    Names of programs, or of other things that `rear_install_advice` knows. rear reports all that is missing at once, in
    prep. ::

        if not run.sh.which("acme-mkimage"):
            yield "acme-mkimage"
    """


@hookspec(firstresult=True)
def rear_install_advice(programs: Sequence[str]) -> str:  # type: ignore[empty-body]
    """The command that installs missing programs on this family of operating systems.

    Implemented by OS plugins; the first answer that is not None is shown to the user. ::

        return "apt-get install " + " ".join(package_of(program) for program in programs)
    """


@hookspec(firstresult=True)
def rear_backup_access(run: Run) -> BackupAccess:  # type: ignore[empty-body]
    """How a rescue system in a virtual machine gets at the backups of this machine, for `rear drill`.

    Implemented by backup methods; one that cannot be rehearsed, as its server has to reach the machine, leaves it
    out. The settings are those of the rescue image. ::

        return BackupAccess(server=True)
    """


@hookspec(firstresult=True)
def rear_media_room(run: Run) -> Room:  # type: ignore[empty-body]
    """How much of a backup the rescue media can carry.

    Implemented by outputs that put `run.carried` on their media; a backup method that needs it asks with
    `rear_core.media.carried.room`, which refuses an output that does not. Asked in prep, when the size of the rescue
    system has to be guessed, and again in backup. ::

        return Room(Path("/var/lib/acme"), first=4 << 30)
    """


@hookspec(firstresult=True)
def rear_media_reach(run: Run) -> str:  # type: ignore[empty-body]
    """By what the rescue system reaches `run.image.drivers` on the media of an output: `disk` or `network`.

    Implemented by outputs that put this file beside the initramfs and tell the kernel where it is
    (`RescueImage.command_line_for`); RESCUE_SPLIT is refused with the others. ::

        return "disk"
    """


# Making the rescue media and the backup: `rear mkrescue`. Each hook returns steps; see `rear_core.workflow.Step`.


@hookspec
def rear_prep(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Checks that everything needed is there, before anything is made.

    Must change nothing: raise a `RearError` that says what is missing and what to do. ::

        yield Step(40, "Check that the Acme server answers", check_server)
    """


@hookspec
def rear_analyse_dr(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Describe the machine for its recovery: disks, network, boot loader.

    Writes below `run.recovery_dir`; also run by `rear savelayout`. ::

        yield Step(50, "Describe the Acme volumes", describe_volumes)
    """


@hookspec
def rear_analyse_rescue(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Decide what the rescue system will be made of: kernel, programs, modules.

    ::

        yield Step(50, "Find the Acme client", find_client)
    """


@hookspec
def rear_build(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Fill the tree of the rescue system below `run.rootfs_dir`.

    Skeletons are laid at 10, programs, Python, modules and files at 20 to 50, configuration at 60; the finished tree
    is checked from 90 on. ::

        yield Step(70, "Configure the Acme client", write_client_configuration)
    """


@hookspec
def rear_pack(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Pack the tree into `run.image`: kernel and initramfs. Later phases do without the tree.

    ::

        yield Step(80, "Sign the kernel", sign_kernel)
    """


@hookspec
def rear_backup(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Save the files of this machine.

    ::

        yield Step(50, "Save the files to the Acme server", save_files)
    """


@hookspec
def rear_output(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Make the rescue media from `run.image` and append the finished files to `run.results`.

    ::

        yield Step(50, "Write the Acme boot medium", write_medium)
    """


# Recovering, on the booted rescue system: `rear recover`.


@hookspec
def rear_config(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Settle what the recovery works with: the recorded description and this machine's hardware.

    ::

        yield Step(50, "Start the Acme client", start_client)
    """


@hookspec
def rear_verify(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Prove that the recovery can succeed, before anything is written to a disk.

    Must change nothing: raise `Refused` with the reason. The other steps run all the same, so that all problems are
    told at once: `run.layout` and `run.plan` (from number 15 on) are None when they could not be made. ::

        yield Step(40, "Check that the Acme server has the backup", check_backup)
    """


@hookspec
def rear_recreate(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Recreate the storage and mount it below the target.

    ::

        yield Step(80, "Make the Acme volumes", make_volumes)
    """


@hookspec
def rear_restore(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Bring the files back.

    ::

        yield Step(50, "Restore the files from the Acme server", restore_files)
    """


@hookspec
def rear_finalize(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Make the restored system bootable and prove it.

    From 20 on `rear_core.boot.chroot.run_inside` runs programs in it. Names of devices and network cards are put right
    at 30 to 35, the OS plugin makes the initramfs at 50, boot loaders are installed at 60, the result is proven at 80
    and reported at 99. Append what was done to `run.recovery.done`, and to `run.recovery.problems` what will keep the
    system from starting: the recovery then fails at its end, with all of them named. ::

        yield Step(50, "Register the Acme client again", register_client)
    """


# Backups that are there: `rear backup`. A method leaves out what it cannot do, and the command says so.


@hookspec
def rear_list(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Add the backups of this machine to `run.kept`, oldest first; each a `Kept`.

    ::

        yield Step(50, "Ask the Acme server for backups", list_backups)
    """


@hookspec
def rear_fetch(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Restore the files and folders `run.options.paths` below the target, by their paths, from what verify has proven.

    Report each that did not come with `run.lack`. ::

        yield Step(50, "Restore the files from the Acme server", restore_some)
    """


@hookspec
def rear_mount(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Show the backups of this machine as folders, by `rear_core.archive.mounting.show`, until the user ends it.

    ::

        yield Step(50, "Show the backups on the Acme server", show_backups)
    """


@hookspec
def rear_forget(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Remove the one backup that `run.options.backup` names in full; ask before, and never remove another.

    ::

        yield Step(50, "Remove the backup from the Acme server", remove_backup)
    """


# At the end of every workflow that ran a phase, also after a failure.


@hookspec
def rear_cleanup(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Undo what the run left behind and could not put on `run.undo`.

    ::

        yield Step(50, "Log out of the Acme server", log_out)
    """


# After every command that holds the lock, also one that failed.


@hookspec
def rear_notify(run: Run) -> Iterable[Step]:  # type: ignore[empty-body]
    """Tell somebody of the run, which `run.record` describes: a `rear_core.records.Record`.

    The run is over, with its work area and mounts; one that cannot be told of does not fail, but gets a warning. ::

        yield Step(50, "Tell the Acme server", post_record)
    """
