"""Which backends there are outside, and how each is made of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.config import Config
    from pillarbox.logins.asker import Backend


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


BACKENDS: dict[str, Callable[[Config], Backend]] = {"http": _http}
"""Name of a backend → what makes it; raises StartupError where something is missing."""
