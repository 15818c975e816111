"""Where the values of settings come from: command line, environment, a TOML file or a rabbitmq.conf.

The first one given wins: command line, `PILLARBOX_*` environment, the `RABBITMQ_DEFAULT_*` variables that
RabbitMQ's container image reads, file, default. What is unknown or cannot be read is an error that names its
place; a variable that nobody knows is told and overlooked.

Not here: the settings (`config`), how their values are written (`config_values`).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from pillarbox.config import BY_NAME, ENV_PREFIX, OPTIONS, Config, ConfigError

CONFIG_FILE_ENV = "PILLARBOX_CONFIG"


class ClientEnv(NamedTuple):
    """The variables that say to commands of operators which broker is meant; a broker overlooks them."""

    url: str = "PILLARBOX_URL"
    vhost: str = "PILLARBOX_VHOST"
    user: str = "PILLARBOX_USER"
    password: str = "PILLARBOX_PASSWORD"
    password_file: str = "PILLARBOX_PASSWORD_FILE"
    tls_authorities: str = "PILLARBOX_TLS_CA"


CLIENT_ENV = ClientEnv()
RABBITMQ_SUFFIX = ".conf"
"""A file of this name is a rabbitmq.conf, not TOML."""


class Loaded(NamedTuple):
    """A configuration, where each option that was set came from, and what the operator should know."""

    config: Config
    sources: dict[str, str]
    warnings: list[str]


def load(
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Loaded:
    """Gather the configuration from a command line (by option name), an environment and a TOML file.

    Raises ConfigError for a file that cannot be read or understood, an unknown option, a bad value.
    """
    environ = environ or {}
    file = file or environ.get(CONFIG_FILE_ENV) or None
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    warnings: list[str] = []
    for name, written, source in _settings(file, environ, warnings) if file else ():
        option = BY_NAME.get(name)
        if option is None:
            raise ConfigError(f'{file}: unknown option "{name}"{_suggestion(name, BY_NAME)}')
        values[option.field] = option.read(written, source=source)
        sources[name] = cast(str, file)
    for option in OPTIONS:
        # The stronger variable comes first in `env`, so it is read last.
        for variable in reversed(option.env):
            text = environ.get(variable, "")
            if text and not _is_service_link(variable, text):
                values[option.field] = option.read(text, source=variable)
                sources[option.name] = variable
    for name, written in (flags or {}).items():
        option = BY_NAME[name]
        values[option.field] = option.read(written, source=option.flag)
        sources[name] = option.flag
    return Loaded(Config(**values), sources, warnings + _unknown_variables(environ))


def _settings(
    file: str, environ: Mapping[str, str], warnings: list[str]
) -> Iterable[tuple[str, object, str]]:
    """What a file sets: option, value as it is written, and where that stands."""
    if file.endswith(RABBITMQ_SUFFIX):
        from pillarbox.rabbitmq_conf import translate

        given, told = translate(file, environ)
        warnings += told
        return given
    return [(name, written, f"{file}: {name}") for name, written in read_file(file).items()]


def read_file(file: str) -> dict[str, object]:
    """Return the table that a TOML file holds. Raises ConfigError."""
    import tomllib

    try:
        return tomllib.loads(Path(file).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f'; did you mean "{by_lower[close[0]]}"?' if close else ""


_SERVICE_LINK = re.compile(ENV_PREFIX + r"(\w+_)?(PORT(_\d+_TCP.*)?|SERVICE_(HOST|PORT.*))")


def _is_service_link(variable: str, text: str) -> bool:
    """Tell a variable that Kubernetes or Docker made for a service named `pillarbox` from a setting.

    For such a service every container gets PILLARBOX_PORT=tcp://10.0.0.1:5672 and the like, which is
    nothing that an operator wrote; so it is for one named `pillarbox-management`.
    """
    is_ours = any(variable in option.env for option in OPTIONS)
    return _SERVICE_LINK.fullmatch(variable) is not None and (not is_ours or "://" in text)


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {CONFIG_FILE_ENV, *CLIENT_ENV, *(variable for option in OPTIONS for variable in option.env)}
    return [
        f'the environment variable "{variable}" is unknown{_suggestion(variable, known)}'
        for variable, text in environ.items()
        if variable.startswith(ENV_PREFIX) and variable not in known and not _is_service_link(variable, text)
    ]
