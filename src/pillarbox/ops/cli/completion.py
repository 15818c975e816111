"""`pillarbox completion`: what a shell has to be told to complete our commands.

Not here: which names there are for arguments (`operate`), and how a shell asks, which is click's.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pillarbox.errors import PillarboxError
from pillarbox.ops.cli import CONTEXT, root

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PILLARBOX_COMPLETE"
"""By which the shell tells us what it wants; click makes the name of ours."""


def run(shell: str) -> None:
    """Write the script of one shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    try:
        click.echo(kind(root, {}, "pillarbox", VARIABLE).source())
    except RuntimeError as error:
        raise PillarboxError(str(error)) from None


command = click.Command(
    "completion",
    context_settings=CONTEXT,
    callback=run,
    params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
    help='Write what a shell needs to complete commands, options and names. In ~/.bashrc: eval "$(pillarbox '
    'completion bash)"; in ~/.zshrc the same with zsh; for fish: pillarbox completion fish > '
    "~/.config/fish/completions/pillarbox.fish",
)
