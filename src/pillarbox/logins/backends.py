"""Which backends there are outside, and how each is made of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.errors import StartupError

if TYPE_CHECKING:
    from pillarbox.config import Config
    from pillarbox.logins.asker import Backend
    from pillarbox.logins.ldap import Bind


def _http(config: Config) -> Backend:
    from pillarbox.logins.http import HttpBackend
    from pillarbox.logins.http_client import HttpClient

    connect_s, request_s = config.auth_http_connection_timeout_s, config.auth_http_request_timeout_s
    client = HttpClient(
        authorities=config.auth_http_tls_authorities, connect_timeout_s=connect_s, timeout_s=request_s
    )
    paths = {
        "user": config.auth_http_user_path,
        "vhost": config.auth_http_vhost_path,
        "resource": config.auth_http_resource_path,
        "topic": config.auth_http_topic_path,
    }
    return HttpBackend(client, paths, method=config.auth_http_method, timeout_s=connect_s + request_s)


def _ldap(config: Config) -> Backend:
    try:
        from pillarbox.logins.ldap import LdapBackend, LdapSettings
    except ImportError:
        raise StartupError('auth_backends "ldap" needs ldap3: pip install "pillarbox[ldap]"') from None
    return LdapBackend(
        LdapSettings(
            servers=config.auth_ldap_servers,
            port=config.auth_ldap_port,
            use_ssl=config.auth_ldap_use_ssl,
            use_starttls=config.auth_ldap_use_starttls,
            authorities=config.auth_ldap_tls_authorities,
            timeout_s=config.auth_ldap_timeout_s,
            user_dn_pattern=config.auth_ldap_user_dn_pattern,
            user_bind_pattern=config.auth_ldap_user_bind_pattern,
            lookup_attribute=config.auth_ldap_dn_lookup_attribute,
            lookup_base=config.auth_ldap_dn_lookup_base,
            lookup_bind=_bind(config.auth_ldap_dn_lookup_bind, config.auth_ldap_dn_lookup_bind_password),
            other_bind=_bind(config.auth_ldap_other_bind, config.auth_ldap_other_bind_password),
            group_base=config.auth_ldap_group_lookup_base,
            vhost_query=config.auth_ldap_vhost_access_query,
            resource_query=config.auth_ldap_resource_access_query,
            topic_query=config.auth_ldap_topic_access_query,
            tag_queries=config.auth_ldap_tag_queries,
        )
    )


def _bind(who: str, password: str) -> Bind | None:
    """As whom to look at the directory; None: as the user whom it is about."""
    from pillarbox.logins.ldap import ANON, AS_USER, Bind

    if who == AS_USER:
        return None
    return Bind("") if who == ANON else Bind(who, password)


BACKENDS: dict[str, Callable[[Config], Backend]] = {"http": _http, "ldap": _ldap}
"""Name of a backend → what makes it; raises StartupError where something is missing."""
