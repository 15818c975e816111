"""UpdateFeatures (57): levels of features are those of the release that the broker stands in for.

Versions: 0-2; what becomes of each feature is told up to 1. Behaviour: for administrators; a feature can be
given no level but the one it has. Source: KIP-584, KIP-1022; row K37.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
    results = [UpdatableFeatureResult(each.feature, error_message=None) for each in request.feature_updates]
    try:
        call.demand(ALTER_CLUSTER)
        for each in request.feature_updates:
            _demand_level(call, each)
    except Refused as refused:
        # One that is refused is refused with all others: they are altered together or not at all.
        for result in results:
            result.error_code, result.error_message = refused.code, refused.text
        return UpdateFeaturesResponse(error_code=refused.code, error_message=refused.text, results=results)
    return UpdateFeaturesResponse(error_message=None, results=results)


def _demand_level(call: Call, update: FeatureUpdateKey) -> None:
    name = update.feature
    span = call.head.features.get(name)
    if span is None:
        text = f"The given feature '{name}' is not supported."
        raise Refused(ErrorCode.INVALID_UPDATE_VERSION, text)
    if update.max_version_level != span[2]:
        text = f"The feature '{name}' stays at level {span[2]}."
        raise Refused(ErrorCode.INVALID_UPDATE_VERSION, text)
