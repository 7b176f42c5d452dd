# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of commands that answer a mistyped name with the nearest one."""

from __future__ import annotations

from difflib import get_close_matches

import click


class Group(click.Group):
    """A group whose error for an unknown command names the nearest one, whatever Click is installed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """That of Click; an option in the place of a command is its business."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            advice = f"did you mean '{ctx.command_path} {near[0]}'?" if near else f"try '{ctx.command_path} --help'"
            raise click.UsageError(f"no such command '{args[0]}'; {advice}", ctx)
        return super().resolve_command(ctx, args)
