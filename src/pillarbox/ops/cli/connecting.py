"""Which broker, and as whom: the options and variables of every command that speaks to the management API.

Who gives neither finds the broker of this machine as a broker started in the same environment would be:
PILLARBOX_MANAGEMENT_PORT says where, RABBITMQ_DEFAULT_USER and its like say who.

Not here: HTTP (`pillarbox.ops.api_client`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import click

from pillarbox.config import ENV_PREFIX
from pillarbox.config_sources import CLIENT_ENV
from pillarbox.endpoints import in_url
from pillarbox.ops.api_client import DEFAULT_PORT, TIMEOUT_S, ApiClient
from pillarbox.ops.cli.passwords import ask, read_password

GUEST = "guest"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "": "127.0.0.1"}


class Setting(NamedTuple):
    """What may be given: by option, else by the first of these variables, else it is the default. `field`:
    how a command calls what was given, which no argument of its own may be called.
    """

    field: str
    flag: str
    metavar: str
    help: str
    env: Sequence[str]
    default: str = ""


SETTINGS = (
    Setting(
        "api_url",
        "--url",
        "URL",
        "The management API.",
        (CLIENT_ENV.url,),
        f"http://127.0.0.1:{DEFAULT_PORT}",
    ),
    Setting(
        "api_user",
        "--user",
        "NAME",
        "Who asks.",
        (CLIENT_ENV.user,),
        GUEST,
    ),
    Setting(
        "api_password",
        "--password",
        "TEXT",
        "The password. Others on this machine can see it here: use the variable or the file.",
        (CLIENT_ENV.password,),
    ),
    Setting(
        "api_password_file",
        "--password-file",
        "FILE",
        "A file with the password in its first line; - for standard input.",
        (CLIENT_ENV.password_file,),
    ),
    Setting(
        "api_authorities",
        "--tls-authorities",
        "FILE",
        "A PEM file with those that may have signed the broker's certificate.",
        (CLIENT_ENV.tls_authorities,),
    ),
)
VHOST = Setting(
    "vhost",
    "--vhost",
    "NAME",
    "The virtual host.",
    (CLIENT_ENV.vhost, f"{ENV_PREFIX}DEFAULT_VHOST", "RABBITMQ_DEFAULT_VHOST"),
    "/",
)
TIMEOUT = click.Option(
    ["--timeout", "timeout_s"],
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the broker.",
)


def option_of(setting: Setting) -> click.Option:
    """The flag of one setting. It hands over what was given, and None otherwise."""
    known = [f"default: {setting.default}"] if setting.default else []
    known.append(f"env: {', '.join(setting.env)}")
    return click.Option(
        [setting.flag, setting.field], metavar=setting.metavar, help=f"{setting.help}  [{'; '.join(known)}]"
    )


def connection_options() -> list[click.Parameter]:
    return [*map(option_of, SETTINGS), TIMEOUT]


def value_of(setting: Setting, given: Mapping[str, object], environ: Mapping[str, str]) -> str | None:
    """What holds, None if nothing was said."""
    value = given.get(setting.field)
    if value is not None:
        return str(value)
    return next((environ[name] for name in setting.env if environ.get(name)), None)


def vhost_of(given: Mapping[str, object]) -> str:
    return value_of(VHOST, given, os.environ) or VHOST.default


def connect(given: Mapping[str, object], *, timeout_s: float | None = None, asks: bool = True) -> ApiClient:
    """A client for what was given. Asks for a password at the terminal if a user is named without one and it
    `asks`; otherwise that user will not be let in.

    Raises PillarboxError.
    """
    environ = os.environ
    url, user, password, file, authorities = (value_of(setting, given, environ) for setting in SETTINGS)
    if file and given.get("api_password") is None and (given.get("api_password_file") or not password):
        password = read_password(file)
    url = url or _local_url(environ)
    with_login = urlsplit(url if "://" in url else f"//{url}")
    user = user or unquote(with_login.username or "") or _default(environ, "USER")
    if password is None and with_login.password is None:
        password = _known_password(user, environ, asks)
    return ApiClient(
        url,
        user,
        password,
        timeout_s=timeout_s or float(str(given.get("timeout_s") or TIMEOUT_S)),
        authorities=authorities,
    )


def _known_password(user: str, environ: Mapping[str, str], asks: bool) -> str:
    """The password of the user that a broker makes at its first start, or what the terminal says."""
    if user == _default(environ, "USER"):
        return _default(environ, "PASS")
    if not asks:
        return ""
    if not sys.stdin.isatty():
        raise click.UsageError(f"no password for {user}: set {CLIENT_ENV.password}, or give --password-file")
    return ask(f"Password of {user}")


def _default(environ: Mapping[str, str], part: str) -> str:
    return environ.get(f"{ENV_PREFIX}DEFAULT_{part}") or environ.get(f"RABBITMQ_DEFAULT_{part}") or GUEST


def _local_url(environ: Mapping[str, str]) -> str:
    host = environ.get(f"{ENV_PREFIX}MANAGEMENT_HOST") or environ.get(f"{ENV_PREFIX}HOST") or ""
    host = _ANY_ADDRESS.get(host, in_url(host))
    port = environ.get(f"{ENV_PREFIX}MANAGEMENT_PORT") or ""
    return f"http://{host}:{port if port.isdigit() and port != '0' else DEFAULT_PORT}"
