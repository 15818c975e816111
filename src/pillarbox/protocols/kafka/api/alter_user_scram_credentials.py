"""AlterUserScramCredentials (51): by what users can log in by SCRAM.

Versions: 0. Behaviour: for administrators; a user is altered as a whole or not at all, and the answer comes
when that is durable. What PLAIN and other protocols ask for, the password, stays what it is. A user that is
not there is made, and has no rights before it is given some.

Source: KIP-554; row K71.
"""

from __future__ import annotations

from typing import Final

from pillarbox.broker.administration import put_verifiers
from pillarbox.broker.scram import ITERATIONS, Verifier, of_salted
from pillarbox.errors import BrokerError
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER
from pillarbox.protocols.kafka.scram_numbers import MECHANISM_BY_NUMBER

ITERATIONS_MAX: Final = 16_384
"""Kafka's bound: the client does the work."""

Change = ScramCredentialDeletion | ScramCredentialUpsertion


def answer(call: Call, request: AlterUserScramCredentialsRequest) -> None:
    by_user: dict[str, list[Change]] = {}
    changes: list[Change] = [*request.deletions, *request.upsertions]
    for change in changes:
        by_user.setdefault(change.name, []).append(change)
    call.reply_when_durable(
        AlterUserScramCredentialsResponse(
            results=[_altered(call, name, changes) for name, changes in by_user.items()]
        )
    )


def _altered(call: Call, name: str, changes: list[Change]) -> AlterUserScramCredentialsResult:
    core = call.head.core
    try:
        call.demand(ALTER_CLUSTER)
        if not name:
            raise Refused(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Username must not be empty")
        mechanisms = [change.mechanism for change in changes]
        if len(set(mechanisms)) < len(mechanisms):
            text = "A user credential cannot be altered twice in the same request"
            raise Refused(ErrorCode.DUPLICATE_RESOURCE, text)
        user = core.users.by_name.get(name)
        verifiers = {one.mechanism: one for one in (user.scram if user is not None else ())}
        for change in changes:
            mechanism = MECHANISM_BY_NUMBER.get(change.mechanism)
            if mechanism is None:
                raise Refused(ErrorCode.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")
            if isinstance(change, ScramCredentialUpsertion):
                verifiers[mechanism] = _verifier(mechanism, change)
            elif verifiers.pop(mechanism, None) is None:
                text = "Attempt to delete a user credential that does not exist"
                raise Refused(ErrorCode.RESOURCE_NOT_FOUND, text)
        try:
            put_verifiers(core, name, verifiers.values())
        except BrokerError as error:
            raise Refused.by_domain(error) from None
    except Refused as refused:
        return AlterUserScramCredentialsResult(name, refused.code, refused.text)
    return AlterUserScramCredentialsResult(name, error_message=None)


def _verifier(mechanism: str, given: ScramCredentialUpsertion) -> Verifier:
    """What is kept of a password that the client has salted. Raises Refused."""
    if given.iterations < ITERATIONS:
        raise Refused(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Too few iterations")
    if given.iterations > ITERATIONS_MAX:
        raise Refused(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Too many iterations")
    try:
        return of_salted(mechanism, given.salted_password, given.salt, given.iterations)
    except ValueError as fault:
        raise Refused(ErrorCode.UNACCEPTABLE_CREDENTIAL, str(fault)) from None
