"""`pillarbox backup`: a consistent copy of a data folder, also while a broker works on it, verified at once.

Not here: how the copy becomes consistent, which is `pillarbox.engine.backup`'s.
"""

from __future__ import annotations

import os

import click

from pillarbox.config import BY_NAME
from pillarbox.errors import PillarboxError
from pillarbox.ops.cli import CONTEXT, EXIT_FAILED
from pillarbox.ops.cli.options import CONFIG_FILE, click_option, configuration


def run(config_file: str | None, target: str, **given: object) -> int:
    """Copy the folder and verify the copy; return 0 if a broker would start on it without loss, 1 if not."""
    from pillarbox.engine.backup import back_up
    from pillarbox.engine.verify import verify
    from pillarbox.store.files import DiskFiles

    config = configuration(given, config_file)
    target = os.path.expanduser(target)
    files = DiskFiles()
    try:
        copied = back_up(config.data, target, files)
    except OSError as error:
        raise PillarboxError(f"cannot copy {config.data} to {target}: {error.strerror or error}") from None
    report = verify(target, files)
    for line in report.problems:
        click.echo(f"pillarbox: {line}", err=True)
    if report.ok:
        click.echo(
            f"{config.data} is copied to {target} ({copied.files} files, {copied.bytes} bytes); it is sound"
        )
    return 0 if report.ok else EXIT_FAILED


command = click.Command(
    "backup",
    context_settings=CONTEXT,
    callback=run,
    params=[
        click.Argument(["target"], metavar="DEST"),
        CONFIG_FILE,
        click_option(BY_NAME["data"], "The data folder to copy; a broker may be using it."),
    ],
    help="Copy the data folder to DEST, which must be empty or new, and verify the copy. A broker that uses "
    "the folder goes on meanwhile; what it had confirmed when this began is in the copy. Exit code 0 if the "
    "copy is sound, 1 if not.",
)
