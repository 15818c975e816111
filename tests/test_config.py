"""The option table: what users may write, where, which of it wins, and how mistakes are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import config_values as kinds
from pillarbox.config import BY_NAME, DEFAULTS, OPTIONS, Config, ConfigError, Option
from pillarbox.config_sources import CLIENT_ENV, load
from pillarbox.config_values import parse_seconds, parse_size, show_size

by_name = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


COMPANIONS = {
    "tls_certificate": {"tls_key": "key.pem"},
    "tls_key": {"tls_certificate": "certificate.pem"},
    "management_tls_certificate": {"management_tls_key": "key.pem"},
    "management_tls_key": {"management_tls_certificate": "certificate.pem"},
    "prometheus_tls_certificate": {"prometheus_tls_key": "key.pem"},
    "prometheus_tls_key": {"prometheus_tls_certificate": "certificate.pem"},
    "kafka_advertised_listeners": {"kafka_listeners": "outside://0.0.0.0:9094"},
    "auth_backends": {"oauth_resource_server_id": "rabbitmq", "oauth_keys": "keys.json"},
    "tls_client_certificate": {"tls_authorities": "authorities.pem"},
}
"""What must be given with an option."""

SHAPED = {
    "kafka_advertised": "broker.example:9092",
    "auto_protocols": "amqp",
    "kafka_listeners": "inside://127.0.0.1:9092,outside://0.0.0.0:9094",
    "kafka_advertised_listeners": "outside://broker.example:9094",
    "tls_sni": "shop.example=a.pem:b.pem,*.example=c.pem:d.pem",
    "stomp_composite_destinations": "/queue/a = /queue/b, /topic/c; /topic/a += /queue/d [n > 1]",
    "stomp_advisories": "MessageDelivered,FULL",
    "stomp_topics_keep": "/topic/a.> = last; /topic/b = 60s",
    "stomp_destination_policies": "/queue/a.> = limit 1MiB, full drop; /topic/b = pending 10",
    "auth_mechanisms": "PLAIN,EXTERNAL",
    "auth_backends": "internal,oauth2",
    "auth_cache_cached_backend": "http:internal",
    "auth_http_user_path": "https://elsewhere/user",
    "auth_http_vhost_path": "https://elsewhere/vhost",
    "auth_http_resource_path": "https://elsewhere/resource",
    "auth_http_topic_path": "https://elsewhere/topic",
}
"""Options whose values have a form of their own."""


def another_value(option: Option) -> str:
    """Return text for a good value that is not the default."""
    if option.name in SHAPED:
        return SHAPED[option.name]
    if option.row.choices:
        return option.row.choices[-1]
    if isinstance(option.default, bool):
        return str(not option.default).lower()
    if isinstance(option.default, float):
        return "0.25"
    if isinstance(option.default, int):
        higher = max(option.default, option.row.minimum) + 1
        return str(higher if higher <= option.row.maximum else option.default - 1)
    return "/elsewhere"


@by_name
def test_option_reads_back_its_own_default(option: Option) -> None:
    """What the manual shows as the default is something that a user may write."""
    text = option.row.kind.show(option.default)
    assert not text or option.read(text, source="test") == option.default


@by_name
def test_option_is_the_same_from_file_environment_and_flag(option: Option, tmp_path: Path) -> None:
    values = {option.name: another_value(option), **COMPANIONS.get(option.name, {})}
    file = tmp_path / "pillarbox.toml"
    file.write_text("".join(f'{name} = "{text}"\n' for name, text in values.items()))
    from_file = load(file=str(file)).config
    from_environment = load(environ={BY_NAME[name].env[0]: text for name, text in values.items()}).config
    from_flag = load(flags=values).config
    assert from_file == from_environment == from_flag
    assert len(option.row.choices) == 1 or from_flag != DEFAULTS


@pytest.mark.parametrize(
    "option",
    [
        option
        for option in OPTIONS
        # Rows have a form of their own: what is wrong with one is told in its own words.
        if option.row.kind
        not in (kinds.TEXT, kinds.FOLDER, kinds.FILE, kinds.ADDRESS, kinds.NAME, kinds.ROWS)
    ],
    ids=lambda option: option.name,
)
def test_option_refuses_what_it_cannot_read_and_says_where(option: Option) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={option.env[0]: "a,,b"})
    assert str(caught.value) == f'{option.env[0]} must be {option.expected}, not "a,,b"'


def test_command_line_wins_over_environment_over_rabbitmq_names_over_file(tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text('default_user = "file"\n')
    rabbitmq = {"RABBITMQ_DEFAULT_USER": "rabbitmq"}
    own = {**rabbitmq, "PILLARBOX_DEFAULT_USER": "own"}
    assert load(file=str(file)).config.default_user == "file"
    assert load(file=str(file), environ=rabbitmq).config.default_user == "rabbitmq"
    assert load(file=str(file), environ=own).config.default_user == "own"
    loaded = load(file=str(file), environ=own, flags={"default_user": "flag"})
    assert loaded.config.default_user == "flag"
    assert loaded.sources == {"default_user": "--default-user"}


def test_rabbitmq_variables_name_first_user_and_vhost() -> None:
    """T17: containers set these three names."""
    environ = {"RABBITMQ_DEFAULT_USER": "u", "RABBITMQ_DEFAULT_PASS": "p", "RABBITMQ_DEFAULT_VHOST": "v"}
    config = load(environ=environ).config
    assert (config.default_user, config.default_pass, config.default_vhost) == ("u", "p", "v")


def test_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text("port = 0\n")
    assert load(environ={"PILLARBOX_CONFIG": str(file)}).config.port == 0


def test_empty_variable_is_as_good_as_none() -> None:
    assert load(environ={"PILLARBOX_PORT": ""}).config == DEFAULTS


def test_unknown_option_in_a_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text("prot = 5672\n")
    with pytest.raises(ConfigError) as caught:
        load(file=str(file))
    assert str(caught.value) == f'{file}: unknown option "prot"; did you mean "port"?'


def test_variables_of_the_commands_are_no_mistake_beside_a_broker() -> None:
    assert load(environ=dict.fromkeys(CLIENT_ENV, "x")).warnings == []


def test_unknown_variable_warns_with_a_suggestion() -> None:
    loaded = load(environ={"PILLARBOX_PROT": "1", "OTHER_PORT": "2"})
    assert loaded.config == DEFAULTS
    assert loaded.warnings == [
        'the environment variable "PILLARBOX_PROT" is unknown; did you mean "PILLARBOX_PORT"?'
    ]


def test_variables_of_a_kubernetes_service_are_no_settings() -> None:
    """A service named `pillarbox` gives every container these variables."""
    environ = {
        "PILLARBOX_PORT": "tcp://10.0.0.1:5672",
        "PILLARBOX_PORT_5672_TCP": "tcp://10.0.0.1:5672",
        "PILLARBOX_PORT_5672_TCP_ADDR": "10.0.0.1",
        "PILLARBOX_SERVICE_HOST": "10.0.0.1",
        "PILLARBOX_SERVICE_PORT_AMQP": "5672",
    }
    loaded = load(environ=environ)
    assert loaded.config == DEFAULTS
    assert loaded.warnings == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = true", 'FILE: port must be a port from 0 to 65535, or "off", not "True"'),
        ("port = 70000", 'FILE: port must be a port from 0 to 65535, or "off", not "70000"'),
        ("port = 1.5", 'FILE: port must be a port from 0 to 65535, or "off", not "1.5"'),
        ("memory = 1", 'FILE: memory must be true or false, not "1"'),
        ('durability = "maybe"', 'FILE: durability must be one of fsync, os, not "maybe"'),
        ("default_pass = 7", "FILE: default_pass must be a text that is not empty, not the value given"),
        ("[server]\nport = 1", 'FILE: unknown option "server"'),
        ("port = ", "FILE is not valid TOML: Invalid value (at end of document)"),
        ("frame_max = 4096\nframe_min = 8192", "frame_min (8192) must not be larger than frame_max (4096)"),
    ],
)
def test_mistake_in_a_file_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file=str(file))
    assert str(caught.value) == sentence.replace("FILE", str(file))


def test_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file=str(tmp_path / "missing.toml"))
    assert str(caught.value) == f"cannot read {tmp_path}/missing.toml: No such file or directory"
    (tmp_path / "latin.toml").write_bytes(b'default_user = "\xe9"')
    with pytest.raises(ConfigError, match=r"latin.toml is not UTF-8 text"):
        load(file=str(tmp_path / "latin.toml"))


def test_config_made_in_code_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"^port must be a port from 0 to 65535, or \"off\", not \"-2\"$"):
        Config(port=-2)
    with pytest.raises(ConfigError, match=r"^there is no port for clients: port is off"):
        Config(port=-1)
    with pytest.raises(ConfigError, match=r"^default_permissions_read must be a regular expression, not"):
        Config(default_permissions_read="(")
    with pytest.raises(ConfigError, match=r"^port must be"):
        Config(port="5672")  # type: ignore[arg-type]


def test_repr_shows_what_was_changed_and_no_password() -> None:
    config = Config(port=0, default_pass="secret")
    assert repr(config) == "<Config port=0 default_pass=***>"
    assert repr(DEFAULTS) == "<Config all defaults>"


def test_folder_is_expanded_and_does_not_depend_on_the_working_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P5: data seemed lost because its folder followed something that changed."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Config().data == "/home/somebody/.local/share/pillarbox"
    assert Config(data="/srv/mq").data == "/srv/mq"


def test_names_are_a_list_in_toml_and_commas_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text('loopback_users = ["a", "b"]\n')
    assert load(file=str(file)).config.loopback_users == ("a", "b")
    assert load(environ={"PILLARBOX_LOOPBACK_USERS": "a, b"}).config.loopback_users == ("a", "b")
    assert load(environ={"PILLARBOX_LOOPBACK_USERS": "none"}).config.loopback_users == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64kB", 64_000),
        ("64KiB", 65_536),
        ("64k", 65_536),
        ("1.5 GiB", 1_610_612_736),
        ("50MB", 50_000_000),
        ("1t", 1 << 40),
    ],
)
def test_size_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1PB", "MB", "1e3", "0x10", "1 2"])
def test_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_size(text)


@given(st.integers(0, 2**62))
def test_size_shown_reads_back(size: int) -> None:
    assert parse_size(show_size(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("60", 60), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("2000ms", 2)],
)
def test_time_units(text: str, seconds: int) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1500ms", "1y", "s"])
def test_time_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_seconds(text)


def test_every_option_has_a_name_of_its_own_and_help() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    variables = [variable for option in OPTIONS for variable in option.env]
    assert len(set(variables)) == len(variables)
    assert all(option.row.help.endswith(".") for option in OPTIONS)


SOURCE = Path(kinds.__file__).parent


@by_name
def test_option_is_read_by_the_broker(option: Option) -> None:
    """An option that nothing reads would be a lie in the manual."""
    uses = re.compile(rf"\b_?config\.{option.field}\b")
    files = [path for path in SOURCE.rglob("*.py") if path.name != "config.py"]
    readers = [path for path in files if "cli" not in path.relative_to(SOURCE).parts]
    assert any(uses.search(path.read_text()) for path in readers)
