"""`pillarbox serve`: one flag for each row of the option table, and the life of a broker process.

Not here: what the broker does between start and stop, which is `pillarbox.app.process`'s.
"""

from __future__ import annotations

from itertools import groupby

import click

from pillarbox import __version__
from pillarbox.config import OPTIONS
from pillarbox.ops.cli import CONTEXT
from pillarbox.ops.cli.options import CONFIG_FILE, click_option, configuration

EPILOG = """\
Every option can also stand in the environment or in a TOML file; the command line is stronger than the
environment, and the environment stronger than the file. Sizes take units (64MB, 1GiB), times too (90s, 5m).

SIGTERM, SIGINT and SIGHUP stop the broker gracefully. Once clients can connect, one line is written to
standard output: "pillarbox VERSION startup complete: amqp HOST:PORT"."""


class ServeCommand(click.Command):
    """A command whose help groups the options as the manual does."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
        table = {option.field for option in OPTIONS}
        with formatter.section("General"):
            formatter.write_dl([record for name, record in records.items() if record and name not in table])
        for section, options in groupby(OPTIONS, lambda option: option.row.section):
            with formatter.section(section):
                formatter.write_dl([record for option in options if (record := records[option.field])])


def serve(config_file: str | None, **given: object) -> int:
    """Run a broker until it is told to stop."""
    config = configuration(given, config_file)

    from pillarbox.app import process

    return process.serve(config, announce=announce)


def announce(*listeners: str) -> None:
    """Say on standard output that clients can connect: one line, at once, naming `amqp HOST:PORT`."""
    print(f"pillarbox {__version__} startup complete: {', '.join(listeners)}", flush=True)


command = ServeCommand(
    "serve",
    context_settings=CONTEXT,
    callback=serve,
    params=[CONFIG_FILE, *map(click_option, OPTIONS)],
    help="Run a broker in the foreground until it is told to stop.",
    epilog=EPILOG,
)
