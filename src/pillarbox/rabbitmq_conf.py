"""`rabbitmq.conf`: RabbitMQ's own configuration file, read as far as Pillarbox has the same (R99).

One line sets one key: `key = value`, `#` begins a comment. `KEYS` says which options of ours a key sets;
`WITHOUT_EFFECT` which are known and change nothing here. Anything else is warned about, by name, because
nobody can tell whether it matters.

Not here: what the options mean. Source: RabbitMQ's configuration guide and its schema of 3.13.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from pillarbox.config import ConfigError


class Setting(NamedTuple):
    """One line: where it stands, and what it says."""

    line: int
    key: str
    value: str


class Given(NamedTuple):
    """An option of ours that a line sets, as text for the option table, and where that stands."""

    option: str
    text: str
    source: str


class WrongValue(ValueError):
    """The end of a sentence: what the value must be."""


Convert = Callable[[str, str], Mapping[str, str]]
"""(a value, the part of its key that has a star in `KEYS`) → options of ours and their values as text.

Raises WrongValue."""

_VARIABLE = re.compile(r"\$\((\w+)\)")
"""`$(NAME)` stands for a variable of the environment."""
_SETTING = re.compile(r"\s*([^#=\s]+)\s*=\s*(.*?)\s*")


def read(file: str, environ: Mapping[str, str]) -> Iterator[Setting]:
    """Yield the settings of a file, with variables put in. Raises ConfigError in words, with the line."""
    try:
        text = Path(file).expanduser().read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text") from None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _SETTING.fullmatch(re.sub(r"\s#.*$", "", line))
        if match is None:
            # The rest of the line may be a password.
            first, _, more = stripped.partition(" ")
            shown = f"{first} ..." if more else first
            raise ConfigError(f'{file}:{number}: expected "key = value", found "{shown}"')
        value = match[2]
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        for variable in _VARIABLE.findall(value):
            if variable not in environ:
                raise ConfigError(f"{file}:{number}: {match[1]}: there is no variable {variable}")
        value = _VARIABLE.sub(lambda found: environ[found[1]], value)
        yield Setting(number, match[1], value)


def translate(file: str, environ: Mapping[str, str]) -> tuple[list[Given], list[str]]:
    """What a file sets, and what the operator should know about the rest. Raises ConfigError."""
    given: list[Given] = []
    warnings: list[str] = []
    lists: dict[str, list[str]] = {}
    for line, key, value in read(file, environ):
        source = f"{file}:{line}: {key}"
        for pattern, convert in KEYS.items():
            if not fnmatchcase(key, pattern):
                continue
            try:
                options = convert(value, key.removeprefix(pattern.partition("*")[0]))
            except WrongValue as error:
                raise ConfigError(f'{source} must be {error}, not "{value}"') from None
            for option, text in options.items():
                if pattern in LISTS:
                    lists.setdefault(option, []).append(text)
                    text = ",".join(each for each in lists[option] if each != "none") or "none"
                given.append(Given(option, text, source))
            break
        else:
            known = any(fnmatchcase(key, pattern) for pattern in WITHOUT_EFFECT)
            what = "has no effect on Pillarbox" if known else "is unknown to Pillarbox and ignored"
            warnings.append(f"{source} {what}")
    return _combined(given), [*warnings, *_passed_over(given)]


def _passed_over(given: list[Given]) -> Iterator[str]:
    """What to say of listeners beyond the one that there is of each kind: nobody shall look for them."""
    for option in ("port", "tls_port"):
        lines = [each for each in given if each.option == option]
        last = {_key(each): each for each in lines}
        yield from (
            f"{each.source} has no effect on Pillarbox, which has one such listener: {lines[-1].source}"
            for key, each in last.items()
            if key != _key(lines[-1])
        )


def _key(given: Given) -> str:
    return given.source.rpartition(" ")[2]


def _combined(given: list[Given]) -> list[Given]:
    """The last line for each option; two of RabbitMQ's keys together say what certificates clients show, and
    two where the log is; a port for operators with TLS takes the place of the one without."""
    last = {each.option: each for each in given}
    if (backends := last.get("auth_backends")) is not None:
        last["auth_backends"] = backends._replace(text=_backends(backends.text))
    cached = last.get("auth_cache_cached_backend")
    if cached is not None and "=" in cached.text:
        parts = dict(entry.split("=", 1) for entry in cached.text.split(","))
        last["auth_cache_cached_backend"] = cached._replace(text=_pair(parts))
    verify, fail = last.pop("verify", None), last.pop("fail_if_no_peer_cert", None)
    if verify is not None and verify.text == "verify_peer":
        asked = "required" if fail is not None and fail.text == "true" else "optional"
        last["tls_client_certificate"] = Given("tls_client_certificate", asked, verify.source)
    folder, file = last.pop("log_dir", None), last.get("log_file")
    if folder is not None and file is not None and file.text:
        last["log_file"] = file._replace(text=str(Path(folder.text, file.text)))
    for kind in ("management", "prometheus"):
        certificate = last.get(f"{kind}_tls_certificate")
        if certificate is not None and f"{kind}_port" not in last:
            # Whoever sets up TLS alone gets the port with TLS alone, as from RabbitMQ.
            last[f"{kind}_port"] = Given(f"{kind}_port", "off", certificate.source)
    return list(last.values())


# --- how values are converted -----------------------------------------------------------------------------


def _to(option: str) -> Convert:
    return lambda value, name: {option: value}


def _flag(option: str) -> Convert:
    return _word(option, {"true": "true", "false": "false"})


def _word(option: str, words: Mapping[str, str]) -> Convert:
    def convert(value: str, name: str) -> Mapping[str, str]:
        if value not in words:
            raise WrongValue(f"one of {', '.join(words)}" if len(words) > 1 else next(iter(words)))
        return {option: words[value]}

    return convert


def _port(option: str, host: str | None) -> Convert:
    def convert(value: str, name: str) -> Mapping[str, str]:
        """`5672`, `127.0.0.1:5672` or `::1:5672`."""
        address, _, port = value.rpartition(":")
        if not port.isdecimal():
            raise WrongValue("a port or ADDRESS:PORT")
        found = {option: port}
        if address and host:
            found[host] = address.strip("[]")
        return found

    return convert


def _milliseconds(option: str) -> Convert:
    def convert(value: str, name: str) -> Mapping[str, str]:
        if value in ("undefined", "false", "infinity"):
            return {option: "0"}
        if not value.isdecimal() or int(value) % 1000:
            raise WrongValue("whole seconds in milliseconds")
        return {option: f"{int(value) // 1000}s"}

    return convert


def _memory_share(value: str, name: str) -> Mapping[str, str]:
    try:
        share = float(value)
    except ValueError:
        raise WrongValue("a share of the memory, such as 1.5") from None
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"disk_free_min": str(int(share * machine))}


_LEVELS = {
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "none": "error",
}


_BACKENDS = {
    name: ours
    for ours in ("internal", "oauth2", "http", "ldap", "cache")
    for name in (ours, f"rabbit_auth_backend_{ours}")
}


def _backend(option: str) -> Convert:
    """One of the lines that together say who is asked: what it is about stands before the name until then."""

    def convert(value: str, name: str) -> Mapping[str, str]:
        return {option: f"{name}={_word('', _BACKENDS)(value, name)['']}"}

    return convert


def _backends(text: str) -> str:
    """The lines `1=http`, `2.authn=ldap`, `2.authz=internal` in order: `http,ldap:internal`."""
    found: dict[str, dict[str, str]] = {}
    for entry in text.split(","):
        key, _, name = entry.partition("=")
        number, _, part = key.partition(".")
        found.setdefault(number, {})[part] = name
    ordered = sorted(found, key=lambda number: (int(number) if number.isdecimal() else 0, number))
    return ",".join(_pair(found[number]) for number in ordered)


def _pair(parts: Mapping[str, str]) -> str:
    """Who is asked who somebody is and who what they may do; where one is not named, it is the other."""
    if "" in parts:
        return parts[""]
    authn, authz = (parts.get(one, parts.get(other, "")) for one, other in (PARTS, PARTS[::-1]))
    return authn if authn == authz else f"{authn}:{authz}"


PARTS = ("authn", "authz")


def _scope_claims(value: str, name: str) -> Mapping[str, str]:
    return {"oauth_additional_scopes_key": ",".join(value.split())}


def _pattern(option: str) -> Convert:
    """Nothing stands for nothing."""
    return lambda value, name: {option: value or "^$"}


def _named(option: str) -> Convert:
    """The key has a name for the value."""
    return lambda value, name: {option: f"{name}={value}"}


def _names_that_are_true(option: str) -> Convert:
    def convert(value: str, name: str) -> Mapping[str, str]:
        if value not in ("true", "false"):
            raise WrongValue("true or false")
        return {option: name if value == "true" else "none"}

    return convert


def _log_file(value: str, name: str) -> Mapping[str, str]:
    return {"log_file": "" if value == "false" else value}


def _nothing(*words: str) -> Convert:
    """These values say what is so here anyway."""
    accept = _word("", dict.fromkeys(words, ""))

    def convert(value: str, name: str) -> Mapping[str, str]:
        accept(value, name)
        return {}

    return convert


_BINDS = {word: word for word in ("as_user", "anon")}


def _unless_none(option: str) -> Convert:
    return lambda value, name: {option: "" if value == "none" else value}


def _ldap_timeout(value: str, name: str) -> Mapping[str, str]:
    """RabbitMQ waits for ever if it is not told otherwise; here that is the longest time there is."""
    return (
        {"auth_ldap_timeout": "300s"}
        if value == "infinity"
        else _milliseconds("auth_ldap_timeout")(value, name)
    )


_STAMP = {"true": "overwrite", "false": "keep"}


KEYS: dict[str, Convert] = {
    "listeners.tcp": _word("port", {"none": "off"}),
    "listeners.ssl": _word("tls_port", {"none": "off"}),
    "listeners.tcp.*": _port("port", "host"),
    "listeners.ssl.*": _port("tls_port", None),
    "default_user": _to("default_user"),
    "default_pass": _to("default_pass"),
    "default_vhost": _to("default_vhost"),
    "default_user_tags.*": _names_that_are_true("default_user_tags"),
    "default_permissions.configure": _pattern("default_permissions_configure"),
    "default_permissions.write": _pattern("default_permissions_write"),
    "default_permissions.read": _pattern("default_permissions_read"),
    "disk_free_limit.absolute": _to("disk_free_min"),
    "disk_free_limit.relative": _memory_share,
    "vm_memory_high_watermark.relative": _to("memory_high_watermark"),
    "vm_memory_high_watermark.absolute": _to("memory_high_watermark"),
    "consumer_timeout": _milliseconds("consumer_timeout"),
    "heartbeat": _to("heartbeat"),
    "handshake_timeout": _milliseconds("handshake_timeout"),
    "channel_max": _to("channel_max"),
    "consumer_max_per_channel": _to("consumer_max_per_channel"),
    "connection_max": _to("connection_max"),
    "frame_max": _to("frame_max"),
    "max_message_size": _to("message_size_max"),
    "loopback_users.guest": _word("loopback_users", {"true": "guest", "false": "none"}),
    "loopback_users": _word("loopback_users", {"none": "none"}),
    "log.level": _word("log_level", _LEVELS),
    "log.console.level": _word("log_level", _LEVELS),
    "log.file.level": _word("log_level", _LEVELS),
    "log.file": _log_file,
    "log.dir": _to("log_dir"),
    "ssl_options.certfile": _to("tls_certificate"),
    "ssl_options.keyfile": _to("tls_key"),
    "ssl_options.cacertfile": _to("tls_authorities"),
    "ssl_options.verify": _word("verify", {"verify_peer": "verify_peer", "verify_none": "verify_none"}),
    "ssl_options.fail_if_no_peer_cert": _flag("fail_if_no_peer_cert"),
    "ssl_cert_login_from": _to("tls_login_from"),
    "ssl_cert_login_san_type": _to("tls_login_san_type"),
    "ssl_cert_login_san_index": _to("tls_login_san_index"),
    "auth_mechanisms.*": _to("auth_mechanisms"),
    "auth_backends.*": _backend("auth_backends"),
    "auth_cache.cached_backend": _word("auth_cache_cached_backend", _BACKENDS),
    "auth_cache.cached_backend.*": _backend("auth_cache_cached_backend"),
    "auth_cache.cache_ttl": _milliseconds("auth_cache_ttl"),
    "auth_cache.cache_refusals": _flag("auth_cache_refusals"),
    "auth_http.http_method": _to("auth_http_method"),
    "auth_http.user_path": _to("auth_http_user_path"),
    "auth_http.vhost_path": _to("auth_http_vhost_path"),
    "auth_http.resource_path": _to("auth_http_resource_path"),
    "auth_http.topic_path": _to("auth_http_topic_path"),
    "auth_http.request_timeout": _milliseconds("auth_http_request_timeout"),
    "auth_http.connection_timeout": _milliseconds("auth_http_connection_timeout"),
    "auth_http.ssl_options.cacertfile": _to("auth_http_tls_authorities"),
    "auth_http.ssl_options.verify": _nothing("verify_peer"),
    "auth_ldap.servers.*": _to("auth_ldap_servers"),
    "auth_ldap.port": _to("auth_ldap_port"),
    "auth_ldap.timeout": _ldap_timeout,
    "auth_ldap.use_ssl": _flag("auth_ldap_use_ssl"),
    "auth_ldap.use_starttls": _flag("auth_ldap_use_starttls"),
    "auth_ldap.ssl_options.cacertfile": _to("auth_ldap_tls_authorities"),
    "auth_ldap.ssl_options.verify": _nothing("verify_peer"),
    "auth_ldap.user_dn_pattern": _to("auth_ldap_user_dn_pattern"),
    "auth_ldap.user_bind_pattern": _to("auth_ldap_user_bind_pattern"),
    "auth_ldap.dn_lookup_attribute": _unless_none("auth_ldap_dn_lookup_attribute"),
    "auth_ldap.dn_lookup_base": _unless_none("auth_ldap_dn_lookup_base"),
    "auth_ldap.dn_lookup_bind": _word("auth_ldap_dn_lookup_bind", _BINDS),
    "auth_ldap.dn_lookup_bind.user_dn": _to("auth_ldap_dn_lookup_bind"),
    "auth_ldap.dn_lookup_bind.password": _to("auth_ldap_dn_lookup_bind_password"),
    "auth_ldap.other_bind": _word("auth_ldap_other_bind", _BINDS),
    "auth_ldap.other_bind.user_dn": _to("auth_ldap_other_bind"),
    "auth_ldap.other_bind.password": _to("auth_ldap_other_bind_password"),
    "auth_ldap.group_lookup_base": _unless_none("auth_ldap_group_lookup_base"),
    "auth_oauth2.resource_server_id": _to("oauth_resource_server_id"),
    "auth_oauth2.scope_prefix": _to("oauth_scope_prefix"),
    "auth_oauth2.additional_scopes_key": _scope_claims,
    "auth_oauth2.preferred_username_claims.*": _to("oauth_preferred_username_claims"),
    "auth_oauth2.issuer": _to("oauth_issuer"),
    "auth_oauth2.jwks_url": _to("oauth_keys"),
    "auth_oauth2.jwks_uri": _to("oauth_keys"),
    "auth_oauth2.signing_keys.*": _named("oauth_keys"),
    "auth_oauth2.verify_aud": _flag("oauth_verify_aud"),
    "auth_oauth2.https.cacertfile": _to("oauth_tls_authorities"),
    "proxy_protocol": _flag("proxy_protocol"),
    "load_definitions": _to("load_definitions"),
    "definitions.local.path": _to("load_definitions"),
    "management.load_definitions": _to("load_definitions"),
    "definitions.import_backend": _nothing("local_filesystem"),
    "message_interceptors.incoming.set_header_timestamp.overwrite": _word("message_timestamp", _STAMP),
    "message_interceptors.incoming.set_header_routing_node.overwrite": _word("message_routing_node", _STAMP),
    "management.tcp.port": _to("management_port"),
    "management.tcp.ip": _to("management_host"),
    "prometheus.tcp.port": _to("prometheus_port"),
    "management.ssl.port": _to("management_tls_port"),
    "management.ssl.certfile": _to("management_tls_certificate"),
    "management.ssl.keyfile": _to("management_tls_key"),
    "prometheus.ssl.port": _to("prometheus_tls_port"),
    "prometheus.ssl.certfile": _to("prometheus_tls_certificate"),
    "prometheus.ssl.keyfile": _to("prometheus_tls_key"),
    "management.listener.port": _to("management_port"),
    "management.listener.ip": _to("management_host"),
}
"""Key of RabbitMQ, `*` standing for any name → what it sets here. The first that fits counts."""

LISTS = frozenset(
    (
        "auth_mechanisms.*",
        "auth_backends.*",
        "auth_cache.cached_backend.*",
        "auth_ldap.servers.*",
        "auth_oauth2.*",
        "auth_oauth2.preferred_username_claims.*",
        "auth_oauth2.signing_keys.*",
        "default_user_tags.*",
    )
)
"""Keys of which each line adds to a list."""

WITHOUT_EFFECT = (
    "auth_cache.*",
    "auth_http.*",
    "auth_ldap.*",
    "auth_oauth2.*",
    "channel_max_per_node",
    "channel_operation_timeout",
    "classic_queue.*",
    "cluster_*",
    "collect_statistics*",
    "default_limits.*",
    "default_policies.*",
    "definitions.skip_if_unchanged",
    "deprecated_features.*",
    "disk_free_limit.*",
    "feature_flags.*",
    "log.*",
    "management.*",
    "management_agent.*",
    "mqtt.*",
    "net_ticktime",
    "num_acceptors.*",
    "password_hashing_module",
    "prometheus.*",
    "queue_index_embed_msgs_below",
    "queue_leader_locator",
    "queue_master_locator",
    "quorum_*",
    "raft.*",
    "reverse_dns_lookups",
    "ssl_options.*",
    "stomp.*",
    "stream.*",
    "tcp_listen_options.*",
    "total_memory_available_override_value",
    "vhost_max",
    "vm_memory_*",
)
"""Keys that are RabbitMQ's and change nothing here, or not yet."""
