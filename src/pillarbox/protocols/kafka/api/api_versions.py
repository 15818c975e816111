"""ApiVersions (18): what this broker offers, which is all that a client knows of it at first.

Source: KIP-35, KIP-511 (who the client is; the answer to an unknown version), KIP-584 (features); T4, T5, T8.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.codec import API_VERSIONS, encode_response
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")
"""What the name and the version of a client may look like."""
NAMES_FROM: Final = 3
"""The first version in which a client says what it is."""

LEVEL_0_FROM: Final = 4
"""The first version whose readers can be told of a feature that may be off."""
FEATURES_EPOCH: Final = 1
"""How often levels of features have changed: never since there were any."""


def answer(call: Call, request: ApiVersionsRequest) -> ApiVersionsResponse:
    if call.version >= NAMES_FROM:
        software = request.client_software_name, request.client_software_version
        if not all(SOFTWARE.fullmatch(one) for one in software):
            return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
        call.connection.client_software = software
    features = call.head.features
    lowest = 0 if call.version >= LEVEL_0_FROM else 1
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=key, min_version=first, max_version=last)
            for key, (first, last) in sorted(call.head.offered.items())
        ],
        supported_features=[
            SupportedFeatureKey(name, max(lowest, first), last) for name, (first, last, _) in features.items()
        ],
        finalized_features_epoch=FEATURES_EPOCH,
        finalized_features=[
            FinalizedFeatureKey(name, level, level) for name, (_, _, level) in features.items() if level
        ],
    )


def unknown_version(call: Call) -> None:
    """Answer a version that nobody knows in the oldest form, with those of this key alone (T5)."""
    first, last = call.head.offered[API_VERSIONS]
    response = ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        api_keys=[ApiVersion(api_key=API_VERSIONS, min_version=first, max_version=last)],
    )
    call.pieces = encode_response(API_VERSIONS, 0, call.correlation_id, response)
    call.connection.answered()
