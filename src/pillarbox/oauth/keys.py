"""The keys of those who may sign tokens: read from files, or fetched from where an issuer publishes them.

An entry of `oauth_keys` is a file with a JWK set (JSON) or one public key (PEM; `ID=FILE` says its key id),
or a URL of a JWK set. URLs are fetched in a thread: at the start, every five minutes, and half a minute after
a token named a key that is not known; what was fetched last stays valid while fetching fails.

Source: RFC 7517; OpenID Connect Discovery 1.0, section 4.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey, import_key

from pillarbox.errors import StartupError

Key = RSAKey | ECKey | OKPKey | OctKey

FETCH_S = 300
"""How often URLs are asked again: keys are published well before they are used."""
FETCH_SOON_S = 30
"""And how soon after a fetch that failed, or a token that named an unknown key: strangers choose these names,
and must not make the broker ask more often."""
FETCH_TIMEOUT_S = 10
DOCUMENT_BYTES_MAX = 1 << 20
"""More is no set of keys."""

DISCOVERY = "/.well-known/openid-configuration"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
KINDS: tuple[Literal["RSA", "EC", "OKP"], ...] = ("RSA", "EC", "OKP")


def is_url(entry: str) -> bool:
    return "://" in entry


def read_entry(entry: str) -> dict[str, Key]:
    """The keys of a file, by key id. Raises StartupError."""
    name, equals, file = entry.partition("=")
    path = Path(file if equals else entry).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StartupError(f"oauth_keys: cannot read {path}: {error.strerror}") from None
    if not data.lstrip().startswith(b"-----"):
        try:
            return key_set(data)
        except ValueError as error:
            raise StartupError(f"oauth_keys: {path}: {error}") from None
    for kind in KINDS:
        try:
            return {name if equals else "": import_key(data, kind)}
        except (JoseError, ValueError, TypeError):
            continue
    raise StartupError(f"oauth_keys: {path} holds no public key")


def key_set(data: bytes) -> dict[str, Key]:
    """The keys of a JWK set, by key id; kinds that are not known are passed over. Raises ValueError."""
    try:
        document = json.loads(data)
        found = document["keys"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("this is no JWK set") from None
    keys: dict[str, Key] = {}
    for item in found if isinstance(found, list) else ():
        try:
            (key,) = KeySet.import_key_set({"keys": [item]}).keys
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if item.get("use", "sig") == "sig":
            keys[str(item.get("kid", ""))] = key
    if not keys:
        raise ValueError("there is no key to check signatures with")
    return keys


def check_url(url: str) -> str:
    """Return a URL that may be fetched from. Raises ValueError."""
    address = urlsplit(url)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK):
        return url
    raise ValueError(f"{url} must begin with https://")


def fetch(url: str, authorities: str) -> bytes:
    """Get a document; `authorities`: a PEM file, or "" for the system's. Raises OSError, ValueError."""
    context = ssl.create_default_context(cafile=authorities or None)
    with urllib.request.urlopen(check_url(url), timeout=FETCH_TIMEOUT_S, context=context) as answer:
        check_url(answer.url)
        data: bytes = answer.read(DOCUMENT_BYTES_MAX + 1)
    if len(data) > DOCUMENT_BYTES_MAX:
        raise ValueError("this is too large for a set of keys")
    return data


def published_keys(issuer: str, authorities: str) -> str:
    """Where an issuer says that its keys are. Raises OSError, ValueError."""
    try:
        document = json.loads(fetch(issuer.rstrip("/") + DISCOVERY, authorities))
        return check_url(document["jwks_uri"])
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{issuer} does not say where its keys are") from None


class KeyRing:
    """All keys by their ids; see the module. `warn` takes a sentence for the operator."""

    def __init__(
        self,
        entries: Iterable[str],
        *,
        issuer: str = "",
        authorities: str = "",
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._urls = [entry for entry in entries if is_url(entry)]
        self._issuer = issuer if not tuple(entries) else ""
        self._authorities = authorities
        self._warn = warn
        self._own: dict[str, Key] = {}
        for entry in entries:
            if not is_url(entry):
                self._own.update(read_entry(entry))
        self.by_id: dict[str, Key] = dict(self._own)
        self._timer: asyncio.TimerHandle | None = None
        self._fetching: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<KeyRing {sorted(self.by_id)}>"

    def find(self, key_id: str | None) -> Key:
        """The key of this id; a token that names none means the only one. Raises KeyError."""
        if key_id is None and len(self.by_id) == 1:
            return next(iter(self.by_id.values()))
        found = self.by_id.get(key_id or "")
        if found is None:
            self._ask_soon()
            raise KeyError(key_id)
        return found

    # --- fetching --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Fetch what there is to fetch, and go on doing so. A failure is a warning: it is tried again."""
        if self._urls or self._issuer:
            await self._refresh()

    def stop(self) -> None:
        """Fetch no more."""
        for one in (self._timer, self._fetching):
            if one is not None:
                one.cancel()
        self._urls, self._issuer = [], ""

    def fetch_all(self) -> dict[str, Key]:
        """Fetch every set of keys. Raises OSError, ValueError. Blocks: to be called in a thread."""
        urls = [published_keys(self._issuer, self._authorities)] if self._issuer else self._urls
        found: dict[str, Key] = {}
        for url in urls:
            try:
                found.update(key_set(fetch(url, self._authorities)))
            except ValueError as error:
                raise ValueError(f"{url}: {error}") from None
        return found

    async def _refresh(self) -> None:
        self._timer = None
        try:
            self.by_id = {**await asyncio.to_thread(self.fetch_all), **self._own}
            again_s = FETCH_S
        except Exception as error:
            # Whatever an issuer answers, and how: where fetching ended, keys would never change again.
            told = str(error) or type(error).__name__
            self._warn(f"the keys for tokens cannot be fetched: {told}; the next try is in {FETCH_SOON_S} s")
            again_s = FETCH_SOON_S
        self._later(again_s)

    def _later(self, delay_s: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        self._fetching = asyncio.get_running_loop().create_task(self._refresh())

    def _ask_soon(self) -> None:
        timer = self._timer
        if timer is not None and timer.when() > asyncio.get_running_loop().time() + FETCH_SOON_S:
            timer.cancel()
            self._later(FETCH_SOON_S)
