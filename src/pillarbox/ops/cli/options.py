"""From the option table to click and back: what the subcommands share.

Not here: the options themselves and the reading of values, which are `pillarbox.config`'s, so that flag,
variable and file mean the same and are refused in the same words.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from pillarbox.config import OPTIONS, Config, ConfigError, Option
from pillarbox.config_sources import CONFIG_FILE_ENV, load
from pillarbox.config_values import FLAG

CONFIG_FILE = click.Option(
    ["--config", "config_file"],
    metavar="FILE",
    help='A TOML file with any options of "pillarbox serve", or a rabbitmq.conf (its name ends in .conf).  '
    f"[env: {CONFIG_FILE_ENV}]",
)


def click_option(option: Option, help_text: str = "") -> click.Option:
    """Return the flag of one row. It hands over text, which the table knows how to read.

    `help_text`: what the option means to a command other than `serve`.
    """
    help_text = help_text or option.row.help.replace("`", "")
    help_text += f"  [default: {option.default_text}; env: {', '.join(option.env)}]"
    if option.row.kind is FLAG:
        name = option.flag.removeprefix("--")
        return click.Option(
            [f"--{name}/--no-{name}", option.field], default=None, help=help_text, is_flag=True
        )
    return click.Option(
        [option.flag, *option.row.aliases, option.field],
        metavar="|".join(option.row.choices) or option.row.kind.metavar,
        help=help_text,
    )


def configuration(given: Mapping[str, object], config_file: str | None) -> Config:
    """Return the configuration of this command line, environment and file; warn on standard error.

    `given` holds what click found, by field. Raises click.UsageError.
    """
    flags = {option.name: given[option.field] for option in OPTIONS if given.get(option.field) is not None}
    try:
        loaded = load(flags=flags, environ=os.environ, file=config_file)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    for warning in loaded.warnings:
        click.echo(f"pillarbox: warning: {warning}", err=True)
    return loaded.config
