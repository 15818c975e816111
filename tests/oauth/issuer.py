"""An issuer of tokens for the tests: keys made here, a set of them on a loopback port."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

AUDIENCE = "rabbitmq"
FULL = ("configure:*/*", "write:*/*", "read:*/*")


@cache
def key(key_id: str = "one") -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": key_id})


@cache
def curve_key(key_id: str = "curve") -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": key_id})


def token(
    *scopes: str,
    expires_s: float,
    signed_by: RSAKey | ECKey | None = None,
    header: Mapping[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token with these scopes (of AUDIENCE) and claims; None leaves a claim or a header out."""
    signer = signed_by or key()
    all_claims = {
        "sub": "robot",
        "aud": [AUDIENCE, "another"],
        "exp": expires_s,
        "scope": [f"{AUDIENCE}.{scope}" for scope in scopes],
        **claims,
    }
    algorithm = "ES256" if isinstance(signer, ECKey) else "RS256"
    return jwt.encode(
        _given({"alg": algorithm, "kid": signer.kid, **(header or {})}),
        _given(all_claims),
        signer,
    )


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def key_set(*keys: RSAKey | ECKey) -> str:
    return json.dumps(KeySet(list(keys)).as_dict(private=False))


def write_keys(folder: Path, *keys: RSAKey | ECKey) -> str:
    file = folder / "keys.json"
    file.write_text(key_set(*(keys or (key(), curve_key()))))
    return str(file)


@contextmanager
def published(documents: dict[str, str]) -> Iterator[str]:
    """Documents by path on a port of this machine; the test may change them. Yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = documents.get(self.path)
            self.send_response(200 if document is not None else 404)
            self.end_headers()
            self.wfile.write((document or "").encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
