"""Who may log in by other means than a password of this broker's own: tokens, and others who are asked (R8).

Not here: how they are asked (`logins`, `oauth`), what their answers allow (`broker.auth`, `broker.outside`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.broker.auth import INTERNAL, OAUTH2
from pillarbox.broker.outside import Backend
from pillarbox.errors import StartupError
from pillarbox.logins.options import backend_pair

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.config import Config
    from pillarbox.logins.asker import Asker
    from pillarbox.oauth.keys import KeyRing


class Logins:
    """What runs beside the core for them, from `start` to `stop`."""

    def __init__(self, config: Config, core: Core, begin: Callable[[], None]) -> None:
        self._config = config
        self._core = core
        self._begin = begin
        self._keys: KeyRing | None = None
        """Of those who may sign tokens."""
        self._asker: Asker | None = None
        """Asks others who somebody is."""

    async def start(self) -> None:
        """Begin what is configured. Raises StartupError."""
        self._core.users.backends = _backends(self._config)
        await self._take_tokens()
        self._ask_outside()

    async def stop(self) -> None:
        """End it; also what a failed start has begun."""
        if self._keys is not None:
            self._keys.stop()
        if self._asker is not None:
            await self._asker.stop()

    async def _take_tokens(self) -> None:
        config, core = self._config, self._core
        if OAUTH2 not in config.auth_backends:
            return
        try:
            from pillarbox.oauth.keys import KeyRing
            from pillarbox.oauth.tokens import TokenBackend, TokenReader
        except ImportError:
            raise StartupError(
                'auth_backends "oauth2" needs joserfc: pip install "pillarbox[oauth]"'
            ) from None
        keys = self._keys = KeyRing(
            config.oauth_keys,
            issuer=config.oauth_issuer,
            authorities=config.oauth_tls_authorities,
            warn=core.warn,
        )
        reader = TokenReader(
            keys,
            audience=config.oauth_resource_server_id,
            prefix=config.oauth_scope_prefix,
            issuer=config.oauth_issuer,
            verify_audience=config.oauth_verify_aud,
            additional_scopes=config.oauth_additional_scopes_key,
            name_claims=config.oauth_preferred_username_claims,
        )
        core.users.by_token = TokenBackend(reader, lambda: core.changes.now_ms, core.warn)
        await keys.start()

    def _ask_outside(self) -> None:
        core = self._core
        wanted = {name for backend in core.users.backends for name in (backend.authn, backend.authz)}
        wanted -= {INTERNAL, OAUTH2}
        if wanted:
            from pillarbox.logins.asker import Asker
            from pillarbox.logins.backends import BACKENDS

            backends = {name: BACKENDS[name](self._config) for name in sorted(wanted)}
            self._asker = Asker(backends, core.users.outside, begin=self._begin, warn=core.warn)


def _backends(config: Config) -> tuple[Backend, ...]:
    """What is asked who somebody is. What `cache` stands for keeps its answers."""
    found = []
    for entry in config.auth_backends:
        if entry == "cache":
            pair = backend_pair(config.auth_cache_cached_backend)
            found.append(Backend(*pair, config.auth_cache_ttl_s * 1000, config.auth_cache_refusals))
        else:
            found.append(Backend(*backend_pair(entry)))
    return tuple(found)
