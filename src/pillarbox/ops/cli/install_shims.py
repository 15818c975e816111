"""`pillarbox install-shims`: `rabbitmqctl` and its sisters under their own names, where that is asked for.

They are no commands of the package itself: a program that installs a message broker for its tests must not
find that `rabbitmqctl` has become another one. In a container of Pillarbox's own nobody else has these names.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from pillarbox.errors import PillarboxError
from pillarbox.ops.cli import CONTEXT, TOOLS
from pillarbox.ops.cli.files import EXECUTABLE, write_whole

MARK = "# Written by pillarbox install-shims."


def run(folder: str, force: bool) -> None:
    """Write the scripts; refuse to replace what is not ours, and say what else is found by these names."""
    for tool in TOOLS:
        path = os.path.join(folder, tool)
        if os.path.lexists(path) and not force and not _is_ours(path):
            raise PillarboxError(f"{path} is somebody else's: remove it, or give --force")
    for tool in TOOLS:
        path = os.path.join(folder, tool)
        text = f'#!/bin/sh\n{MARK}\nexec {shlex.quote(sys.executable)} -m pillarbox {tool} "$@"\n'
        write_whole(path, text, EXECUTABLE)
        found = shutil.which(tool)
        note = ""
        if found is None or not os.path.samefile(found, path):
            note = f" ({found} is found first)" if found else " (the folder is not on the PATH)"
        click.echo(f"{path}{note}")


def _is_ours(path: str) -> bool:
    try:
        return MARK.encode() in Path(path).read_bytes()
    except OSError:
        return False


command = click.Command(
    "install-shims",
    context_settings=CONTEXT,
    callback=run,
    params=[
        click.Argument(["folder"], type=click.Path(exists=True, file_okay=False)),
        click.Option(["--force"], is_flag=True, help="Replace files that are not ours."),
    ],
    help="Write scripts into FOLDER that run Pillarbox's commands of these names, for health checks and "
    f"tools that call them: {', '.join(TOOLS)}.",
)
