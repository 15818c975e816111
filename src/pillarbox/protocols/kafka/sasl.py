"""How clients prove who they are: an exchange of a few messages for each mechanism, without a socket.

An exchange gets what the client says and gives what the broker answers; in the end it knows who that is, or
raises `LoginRefused`. An unknown user is asked the same questions as any other, at the same cost.

Not here: how the messages are carried (`api.sasl_handshake`, `api.sasl_authenticate`, `connection`), users
and passwords (`broker.auth`), verifiers (`broker.scram`).

Source: RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM), RFC 7628 (OAUTHBEARER); row K71. Names and passwords
are taken as they come, without SASLprep, as Kafka does it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pillarbox.broker.outside import NO_CALLER, Caller
from pillarbox.broker.scram import ITERATIONS, MECHANISMS, Verifier

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal, Users

PLAIN: Final = "PLAIN"
OAUTHBEARER: Final = "OAUTHBEARER"
NONCE_BYTES: Final = 18

Random = Callable[[int], bytes]


class LoginRefused(Exception):
    """The client is not who it says, or does not say it as the mechanism wants it."""


class Exchange:
    """One login. `respond` until `principal` is known."""

    principal: Principal | None = None

    def respond(self, said: bytes) -> bytes:
        """Answer what the client says. Raises LoginRefused."""
        raise NotImplementedError


class PlainExchange(Exchange):
    """Name and password, or a token as password."""

    def __init__(self, users: Users, caller: Caller = NO_CALLER) -> None:
        self._users = users
        self._caller = caller

    def respond(self, said: bytes) -> bytes:
        try:
            for_whom, name, password = said.split(b"\0")
            shown, wanted = name.decode(), for_whom.decode()
        except ValueError:
            raise LoginRefused("no name and password as PLAIN has them") from None
        if not shown or not password:
            raise LoginRefused("no name, or no password")
        if wanted not in ("", shown):
            raise LoginRefused("nobody can log in for somebody else")
        self.principal = self._users.authenticate(shown, password, self._caller)
        if self.principal is None:
            raise LoginRefused("Invalid username or password")
        return b""


# --- SCRAM --------------------------------------------------------------------------------------------

_FIRST: Final = re.compile(
    r"([ny],(?:a=([^,]*))?,)(?:m=[^,]*,)?(n=([^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)"
)
"""GS2 header, for whom, and the rest with name and nonce."""
_FINAL: Final = re.compile(r"(c=([^,]*),r=([^,]*)(?:,.*)?),p=([^,]*)")
_ESCAPE: Final = re.compile(r"=(2C|3D)?")


class ScramExchange(Exchange):
    """A proof that the client knows the password, and one for the client that the broker has seen it once."""

    def __init__(self, users: Users, mechanism: str, random: Random, secret: bytes, caller: Caller) -> None:
        self._users = users
        self._caller = caller
        self._mechanism = mechanism
        self._algorithm = MECHANISMS[mechanism]
        self._random = random
        self._secret = secret
        self._verifier: Verifier | None = None
        self._name = self._header = self._first = self._asked = self._nonce = ""

    def respond(self, said: bytes) -> bytes:
        try:
            text = said.decode()
        except UnicodeDecodeError:
            raise LoginRefused("a message that is no text") from None
        return self._begin(text) if self._verifier is None else self._finish(self._verifier, text)

    def _begin(self, text: str) -> bytes:
        """The client has said its name: ask for the proof."""
        said = _FIRST.fullmatch(text)
        if said is None:
            raise LoginRefused("no first message as SCRAM has it")
        self._header, for_whom, self._first, name, nonce = said.groups()
        shown = _unescaped(name)
        if for_whom and _unescaped(for_whom) != shown:
            raise LoginRefused("nobody can log in for somebody else")
        self._name = shown
        user = self._users.by_name.get(shown)
        verifiers = () if user is None else user.scram
        verifier = next((one for one in verifiers if one.mechanism == self._mechanism), None)
        self._verifier = verifier = verifier or self._made_up(shown)
        self._nonce = nonce + base64.b64encode(self._random(NONCE_BYTES)).decode()
        salt = base64.b64encode(verifier.salt).decode()
        self._asked = f"r={self._nonce},s={salt},i={verifier.iterations}"
        return self._asked.encode()

    def _made_up(self, name: str) -> Verifier:
        """What an unknown user is asked by: always the same for a name, and no password fits it."""
        key = hmac.digest(self._secret, f"{self._mechanism} {name}".encode(), self._algorithm)
        return Verifier(self._mechanism, ITERATIONS, key[:16], key, key)

    def _finish(self, verifier: Verifier, text: str) -> bytes:
        """The client has sent its proof: check it, and prove in turn."""
        said = _FINAL.fullmatch(text)
        if said is None:
            raise LoginRefused("no final message as SCRAM has it")
        without_proof, bound, nonce, proof64 = said.groups()
        header = base64.b64encode(self._header.encode()).decode()
        if nonce != self._nonce or bound != header:
            raise LoginRefused("the final message does not belong to the first one")
        try:
            proof = base64.b64decode(proof64, validate=True)
        except ValueError:
            raise LoginRefused("no proof") from None
        message = f"{self._first},{self._asked},{without_proof}".encode()
        signature = hmac.digest(verifier.stored_key, message, self._algorithm)
        key = bytes(one ^ other for one, other in zip(proof, signature, strict=False))
        fits = hmac.compare_digest(hashlib.new(self._algorithm, key).digest(), verifier.stored_key)
        if fits and len(proof) == len(signature):
            self.principal = self._users.by_proof(self._name, verifier, self._caller)
        if self.principal is None:
            raise LoginRefused("invalid credentials")
        answer = hmac.digest(verifier.server_key, message, self._algorithm)
        return b"v=" + base64.b64encode(answer)


def _unescaped(name: str) -> str:
    """A name whose commas and equals signs are written out. Raises LoginRefused for a lone equals sign."""
    if any(not found[1] for found in _ESCAPE.finditer(name)):
        raise LoginRefused("a name that is not escaped")
    return name.replace("=2C", ",").replace("=3D", "=")


# --- tokens -------------------------------------------------------------------------------------------

_BEARER: Final = re.compile(
    rb"[ny],(?:a=([^,]*))?,\x01(?:[A-Za-z]+=[^\x01]*\x01)*?auth=bearer ([^\x01]+)\x01.*", re.I | re.S
)
INVALID_TOKEN: Final = b'{"status":"invalid_token"}'
"""What a refused client is told, to which it answers with one more byte."""


class BearerExchange(Exchange):
    """A token that says who its bearer is and what may be done with it."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._is_refused = False

    def respond(self, said: bytes) -> bytes:
        if self._is_refused:
            raise LoginRefused("the token is not valid")
        found = _BEARER.fullmatch(said)
        if found is None:
            raise LoginRefused("no token as OAUTHBEARER has it")
        self.principal = self._users.by_token(found[2])
        if self.principal is None:
            self._is_refused = True
            return INVALID_TOKEN
        for_whom = (found[1] or b"").decode("utf-8", "replace")
        if for_whom not in ("", self.principal.name):
            self.principal = None
            raise LoginRefused("nobody can log in for somebody else")
        return b""


# --- which there are ----------------------------------------------------------------------------------


def mechanisms(users: Users) -> tuple[str, ...]:
    """How clients of this broker can log in."""
    tokens = (OAUTHBEARER,) if users.believes("oauth2") else ()
    verifiers = MECHANISMS if users.believes("internal") else ()
    return (PLAIN, *verifiers, *tokens)


def begin(
    mechanism: str, users: Users, random: Random, secret: bytes, caller: Caller = NO_CALLER
) -> Exchange:
    """Begin a login by one of the mechanisms that there are. `secret`: of this broker, for unknown users."""
    if mechanism == PLAIN:
        return PlainExchange(users, caller)
    if mechanism == OAUTHBEARER:
        return BearerExchange(users)
    return ScramExchange(users, mechanism, random, secret, caller)
