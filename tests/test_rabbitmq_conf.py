"""`rabbitmq.conf`: keys that users set mean the same here, nothing is passed over in silence (R99)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox.config import BY_NAME, ConfigError
from pillarbox.config_sources import Loaded, load
from pillarbox.rabbitmq_conf import KEYS, WITHOUT_EFFECT
from tests.test_cli import assert_one_line_error, connected, environment, pillarbox, serve

pytestmark = pytest.mark.row("R99")

MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read(tmp_path: Path, *lines: str) -> Loaded:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("\n".join(lines))
    return load(file=str(file), environ={"WHO": "me", "SECRET": "p$"})


TAGS = {"default_user_tags": ("monitoring",)}


PAIR = ("ssl_options.certfile = /c.pem", "ssl_options.keyfile = /k.pem")
MANAGEMENT_PAIR = ("management.ssl.certfile = /c.pem", "management.ssl.keyfile = /k.pem")
PROMETHEUS_PAIR = ("prometheus.ssl.certfile = /c.pem", "prometheus.ssl.keyfile = /k.pem")
PEERS = (*PAIR, "ssl_options.cacertfile = /a.pem")


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        (("listeners.tcp.default = 5673",), {"port": 5673}),
        (("listeners.tcp.1 = 0.0.0.0:5673",), {"port": 5673, "host": "0.0.0.0"}),
        (("listeners.tcp.local = ::1:5673",), {"port": 5673, "host": "::1"}),
        (("listeners.ssl.default = 5681",), {"tls_port": 5681}),
        (
            ("default_user = shop", "default_pass = s3#cret"),
            {"default_user": "shop", "default_pass": "s3#cret"},
        ),
        (("default_vhost = v  # a comment",), {"default_vhost": "v"}),
        (("disk_free_limit.absolute = 2GB",), {"disk_free_min": 2_000_000_000}),
        (("disk_free_limit.absolute = 50000",), {"disk_free_min": 50_000}),
        (("disk_free_limit.relative = 1.5",), {"disk_free_min": int(1.5 * MEMORY)}),
        (("vm_memory_high_watermark.relative = 0.6",), {"memory_high_watermark": 0.6}),
        (("vm_memory_high_watermark.absolute = 2GiB",), {"memory_high_watermark": 2 << 30}),
        (("consumer_timeout = 1800000",), {"consumer_timeout_s": 1800}),
        (("heartbeat = 30",), {"heartbeat_s": 30}),
        (("handshake_timeout = 5000",), {"handshake_timeout_s": 5}),
        (("channel_max = 128",), {"channel_max": 128}),
        (("frame_max = 262144",), {"frame_max": 262_144}),
        (("max_message_size = 1048576",), {"message_size_max": 1 << 20}),
        (("loopback_users = none",), {"loopback_users": ()}),
        (("loopback_users.guest = false",), {"loopback_users": ()}),
        (("loopback_users.guest = true",), {"loopback_users": ("guest",)}),
        (("log.console.level = warning",), {"log_level": "warning"}),
        (("log.file.level = notice",), {"log_level": "info"}),
        (PAIR, {"tls_certificate": "/c.pem", "tls_key": "/k.pem", "tls_client_certificate": "none"}),
        ((*PEERS, "ssl_options.verify = verify_none"), {"tls_client_certificate": "none"}),
        ((*PEERS, "ssl_options.verify = verify_peer"), {"tls_client_certificate": "optional"}),
        (
            (*PEERS, "ssl_options.fail_if_no_peer_cert = true", "ssl_options.verify = verify_peer"),
            {"tls_client_certificate": "required", "tls_authorities": "/a.pem"},
        ),
        (
            (*MANAGEMENT_PAIR, "management.ssl.port = 15681"),
            {"management_tls_certificate": "/c.pem", "management_tls_port": 15681, "management_port": -1},
        ),
        (
            (*MANAGEMENT_PAIR, "management.tcp.port = 15682"),
            {"management_tls_key": "/k.pem", "management_port": 15682},
        ),
        (
            (*PROMETHEUS_PAIR, "prometheus.ssl.port = 15691"),
            {"prometheus_tls_certificate": "/c.pem", "prometheus_tls_port": 15691, "prometheus_port": -1},
        ),
        (("ssl_cert_login_from = common_name",), {"tls_login_from": "common_name"}),
        (
            ("auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL"),
            {"auth_mechanisms": ("PLAIN", "EXTERNAL")},
        ),
        (
            (
                "auth_backends.1 = rabbit_auth_backend_oauth2",
                "auth_backends.2 = internal",
                "auth_oauth2.resource_server_id = rabbitmq",
                "auth_oauth2.issuer = https://issuer",
                "auth_oauth2.scope_prefix = api://",
                "auth_oauth2.additional_scopes_key = roles extra",
                "auth_oauth2.preferred_username_claims.1 = user_name",
                "auth_oauth2.preferred_username_claims.2 = email",
                "auth_oauth2.verify_aud = false",
                "auth_oauth2.https.cacertfile = /ca.pem",
            ),
            {
                "auth_backends": ("oauth2", "internal"),
                "oauth_resource_server_id": "rabbitmq",
                "oauth_issuer": "https://issuer",
                "oauth_scope_prefix": "api://",
                "oauth_additional_scopes_key": ("roles", "extra"),
                "oauth_preferred_username_claims": ("user_name", "email"),
                "oauth_verify_aud": False,
                "oauth_tls_authorities": "/ca.pem",
            },
        ),
        (
            (
                "auth_backends.10 = internal",
                "auth_backends.2.authz = internal",
                "auth_backends.2.authn = http",
                "auth_backends.1 = rabbit_auth_backend_cache",
                "auth_backends.3.authn = internal",
                "auth_cache.cached_backend = http",
                "auth_cache.cache_ttl = 5000",
                "auth_cache.cache_refusals = true",
                "auth_http.http_method = post",
                "auth_http.user_path = https://auth/user",
                "auth_http.vhost_path = https://auth/vhost",
                "auth_http.resource_path = https://auth/resource",
                "auth_http.topic_path = https://auth/topic",
                "auth_http.request_timeout = 20000",
                "auth_http.connection_timeout = 2000",
                "auth_http.ssl_options.cacertfile = /ca.pem",
                "auth_http.ssl_options.verify = verify_peer",
            ),
            {
                "auth_backends": ("cache", "http:internal", "internal", "internal"),
                "auth_cache_cached_backend": "http",
                "auth_cache_ttl_s": 5,
                "auth_cache_refusals": True,
                "auth_http_method": "post",
                "auth_http_user_path": "https://auth/user",
                "auth_http_vhost_path": "https://auth/vhost",
                "auth_http_resource_path": "https://auth/resource",
                "auth_http_topic_path": "https://auth/topic",
                "auth_http_request_timeout_s": 20,
                "auth_http_connection_timeout_s": 2,
                "auth_http_tls_authorities": "/ca.pem",
            },
        ),
        (
            (
                "auth_backends.1 = ldap",
                "auth_ldap.servers.1 = a.example",
                "auth_ldap.servers.2 = b.example",
                "auth_ldap.port = 636",
                "auth_ldap.timeout = 5000",
                "auth_ldap.use_ssl = true",
                "auth_ldap.use_starttls = false",
                "auth_ldap.ssl_options.cacertfile = /ca.pem",
                "auth_ldap.ssl_options.verify = verify_peer",
                "auth_ldap.user_dn_pattern = cn=${username},ou=People,dc=example,dc=com",
                "auth_ldap.user_bind_pattern = ${username}@example.com",
                "auth_ldap.dn_lookup_attribute = userPrincipalName",
                "auth_ldap.dn_lookup_base = dc=example,dc=com",
                "auth_ldap.dn_lookup_bind.user_dn = cn=reader",
                "auth_ldap.dn_lookup_bind.password = one",
                "auth_ldap.other_bind.user_dn = cn=other",
                "auth_ldap.other_bind.password = two",
                "auth_ldap.group_lookup_base = ou=groups",
            ),
            {
                "auth_backends": ("ldap",),
                "auth_ldap_servers": ("a.example", "b.example"),
                "auth_ldap_port": 636,
                "auth_ldap_timeout_s": 5,
                "auth_ldap_use_ssl": True,
                "auth_ldap_use_starttls": False,
                "auth_ldap_tls_authorities": "/ca.pem",
                "auth_ldap_user_dn_pattern": "cn=${username},ou=People,dc=example,dc=com",
                "auth_ldap_user_bind_pattern": "${username}@example.com",
                "auth_ldap_dn_lookup_attribute": "userPrincipalName",
                "auth_ldap_dn_lookup_base": "dc=example,dc=com",
                "auth_ldap_dn_lookup_bind": "cn=reader",
                "auth_ldap_dn_lookup_bind_password": "one",
                "auth_ldap_other_bind": "cn=other",
                "auth_ldap_other_bind_password": "two",
                "auth_ldap_group_lookup_base": "ou=groups",
            },
        ),
        (
            (
                "auth_ldap.timeout = infinity",
                "auth_ldap.dn_lookup_attribute = none",
                "auth_ldap.dn_lookup_bind = anon",
                "auth_ldap.other_bind = as_user",
            ),
            {
                "auth_ldap_timeout_s": 300,
                "auth_ldap_dn_lookup_attribute": "",
                "auth_ldap_dn_lookup_bind": "anon",
                "auth_ldap_other_bind": "as_user",
            },
        ),
        (
            ("auth_cache.cached_backend.authz = internal", "auth_cache.cached_backend.authn = http"),
            {"auth_cache_cached_backend": "http:internal"},
        ),
        (("auth_oauth2.jwks_url = https://i/keys",), {"oauth_keys": ("https://i/keys",)}),
        (
            ("auth_oauth2.signing_keys.a = /a.pem", "auth_oauth2.signing_keys.b = /b.pem"),
            {"oauth_keys": ("a=/a.pem", "b=/b.pem")},
        ),
        ((*PAIR, "listeners.tcp = none"), {"port": -1}),
        (("listeners.ssl = none",), {"tls_port": -1}),
        (("default_user_tags.monitoring = true", "default_user_tags.administrator = false"), TAGS),
        (("default_user_tags.administrator = false",), {"default_user_tags": ()}),
        (
            (
                "default_permissions.configure = ^a",
                "default_permissions.write =",
                "default_permissions.read = .*",
            ),
            {
                "default_permissions_configure": "^a",
                "default_permissions_write": "^$",
                "default_permissions_read": ".*",
            },
        ),
        (("log.file = /var/log/x.log",), {"log_file": "/var/log/x.log"}),
        (("log.dir = /var/log", "log.file = x.log"), {"log_file": "/var/log/x.log"}),
        (("log.dir = /var/log", "log.file = false"), {"log_file": ""}),
        (("log.dir = /var/log",), {"log_file": ""}),
        (("definitions.import_backend = local_filesystem",), {"load_definitions": ""}),
        (
            ("message_interceptors.incoming.set_header_timestamp.overwrite = true",),
            {"message_timestamp": "overwrite"},
        ),
        (
            ("default_user = $(WHO)-x", "default_pass = $(SECRET)"),
            {"default_user": "me-x", "default_pass": "p$"},
        ),
        (("proxy_protocol = true",), {"proxy_protocol": True}),
        (("load_definitions = /etc/d.json",), {"load_definitions": "/etc/d.json"}),
        (("management.load_definitions = /etc/d.json",), {"load_definitions": "/etc/d.json"}),
        (("management.tcp.port = 8080",), {"management_port": 8080}),
        (("management.tcp.ip = 127.0.0.1",), {"management_host": "127.0.0.1"}),
        (("## heading", "", "  # heartbeat = 1", "heartbeat=2"), {"heartbeat_s": 2}),
        (("default_pass = '  x  '",), {"default_pass": "  x  "}),
        (("heartbeat = 1", "heartbeat = 2"), {"heartbeat_s": 2}),
    ],
    ids=str,
)
def test_key_sets_its_option(tmp_path: Path, lines: tuple[str, ...], options: dict[str, Any]) -> None:
    loaded = read(tmp_path, *lines)
    assert {name: getattr(loaded.config, name) for name in options} == options
    assert loaded.warnings == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("", "heartbeat = soon"), ":2: heartbeat must be a time of whole seconds"),
        (
            ("listeners.tcp.default = here",),
            ':1: listeners.tcp.default must be a port or ADDRESS:PORT, not "here"',
        ),
        (("listeners.tcp = none",), "there is no port for clients: port is off"),
        (("listeners.tcp = all",), ":1: listeners.tcp must be none"),
        (("default_user_tags.administrator = yes",), ":1: default_user_tags.administrator must be true or"),
        (("default_permissions.read = (",), 'default_permissions_read must be a regular expression, not "("'),
        (("definitions.import_backend = https",), ":1: definitions.import_backend must be local_filesystem"),
        (("auth_backends.1 = dummy",), ":1: auth_backends.1 must be one of internal"),
        (("auth_cache.cached_backend.authn = x",), ":1: auth_cache.cached_backend.authn must be one of"),
        (("default_user = $(NO_SUCH)",), ":1: default_user: there is no variable NO_SUCH"),
        (("default_pass s3cret",), ':1: expected "key = value", found "default_pass ..."'),
        (
            ("listeners.tcp.default = 70000",),
            ":1: listeners.tcp.default must be a port from 0 to 65535",
        ),
        (("disk_free_limit.absolute = much",), ":1: disk_free_limit.absolute must be a size"),
        (("disk_free_limit.relative = much",), ":1: disk_free_limit.relative must be a share of the memory"),
        (("consumer_timeout = 1500",), ":1: consumer_timeout must be whole seconds in milliseconds"),
        (("proxy_protocol = yes",), ':1: proxy_protocol must be one of true, false, not "yes"'),
        (("loopback_users = guest",), ":1: loopback_users must be none"),
        (("log.console.level = loud",), ":1: log.console.level must be one of debug, info"),
        (("ssl_options.verify = sure",), ":1: ssl_options.verify must be one of verify_peer, verify_none"),
        (("# fine", "heartbeat 60"), ':2: expected "key = value", found "heartbeat ..."'),
        (("ssl_options.certfile = c.pem",), "tls_certificate and tls_key are given together"),
    ],
    ids=str,
)
def test_wrong_value_is_told_with_file_and_line(tmp_path: Path, lines: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *lines)
    assert told in str(caught.value)


def test_unknown_key_is_warned_about_by_name_and_so_is_one_without_effect(tmp_path: Path) -> None:
    loaded = read(tmp_path, "heartbeet = 1", "management.rates_mode = basic", "heartbeat = 7")
    file = tmp_path / "rabbitmq.conf"
    assert loaded.warnings == [
        f"{file}:1: heartbeet is unknown to Pillarbox and ignored",
        f"{file}:2: management.rates_mode has no effect on Pillarbox",
    ]
    assert loaded.config.heartbeat_s == 7


def test_further_listeners_are_warned_about(tmp_path: Path) -> None:
    """RabbitMQ opens all of them; a client of one that is not there would find nobody, without a word."""
    loaded = read(
        tmp_path,
        "listeners.tcp.local = 127.0.0.1:5673",
        "listeners.tcp.net = 0.0.0.0:5674",
        "listeners.ssl.default = 5681",
    )
    file = tmp_path / "rabbitmq.conf"
    assert (loaded.config.host, loaded.config.port, loaded.config.tls_port) == ("0.0.0.0", 5674, 5681)
    assert loaded.warnings == [
        f"{file}:1: listeners.tcp.local has no effect on Pillarbox, which has one such listener: "
        f"{file}:2: listeners.tcp.net"
    ]


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("default_user = file")
    loaded = load(file=str(file), environ={"RABBITMQ_DEFAULT_USER": "environment"})
    assert loaded.config.default_user == "environment"


def test_no_key_is_in_both_tables() -> None:
    assert not set(KEYS) & set(WITHOUT_EFFECT)
    assert "port" in BY_NAME


def test_broker_starts_with_a_rabbitmq_conf(tmp_path: Path) -> None:
    """A real client logs in as the user that it names; what is not understood is in the log."""
    file = tmp_path / "rabbitmq.conf"
    file.write_text("listeners.tcp.default = 0\ndefault_user = shop\ndefault_pass = s3cret\nvm_swap = 1\n")
    with serve("--config", str(file), "--data", str(tmp_path / "data"), env=environment()) as broker:
        with connected(broker, "shop:s3cret") as channel:
            assert channel.is_open
        _, stderr = broker.stop()
    assert f"pillarbox: warning: {file}:4: vm_swap is unknown to Pillarbox and ignored" in stderr


def test_wrong_line_is_one_line_and_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("\nheartbeat = soon\n")
    assert_one_line_error(pillarbox("serve", "--config", str(file)), 2, f"{file}:2: heartbeat must be")
