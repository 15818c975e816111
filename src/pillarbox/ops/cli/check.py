"""`pillarbox check`: read a whole data folder as a start would, change nothing, and say what is there.

Not here: what makes a folder sound, which is the engine's to know.
"""

from __future__ import annotations

import click

from pillarbox.config import BY_NAME
from pillarbox.ops.cli import CONTEXT, EXIT_FAILED
from pillarbox.ops.cli.options import CONFIG_FILE, click_option, configuration


def run(config_file: str | None, folder: str | None, **given: object) -> int:
    """Verify a folder; return 0 if a broker would start on it without loss, 1 if not."""
    if folder and given["data"]:
        raise click.UsageError("give the folder once, as an argument or with --data")

    from pillarbox.engine.verify import verify
    from pillarbox.store.files import DiskFiles

    config = configuration({"data": folder or given["data"]}, config_file)
    report = verify(config.data, DiskFiles())
    for line in report.lines:
        if line in report.problems:
            click.echo(f"pillarbox: {line}", err=True)
        else:
            click.echo(line)
    if report.ok:
        click.echo(f"{config.data} is sound")
    return 0 if report.ok else EXIT_FAILED


command = click.Command(
    "check",
    context_settings=CONTEXT,
    callback=run,
    params=[
        click.Argument(["folder"], required=False, metavar="[DATA]"),
        CONFIG_FILE,
        click_option(BY_NAME["data"], "The data folder, if DATA does not name it."),
    ],
    help="Verify the data folder DATA, or the configured one, which no broker may be using. Nothing is "
    "changed. Exit code 0 if it is sound, 1 if not.",
)
