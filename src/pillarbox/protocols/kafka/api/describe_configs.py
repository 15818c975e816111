"""DescribeConfigs (32): the settings of topics, groups and the broker, with where they come from.

Versions: 0-4; types and texts from 3 on. Behaviour: topics are for those who may see them, the broker for
administrators, groups for those who may see their configs, also ones that are not there. Of the broker all
nodes together (an empty name) have no settings of their own. Client metrics and loggers have none.

Source: KIP-133, KIP-226, KIP-569; row K32.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_entries import Entry, broker_entries, group_entries, topic_entries
from pillarbox.protocols.kafka.config_resources import (
    BROKER,
    GROUP,
    TOPIC,
    demand_group_name,
    demand_node,
    demand_topic,
)
from pillarbox.protocols.kafka.configs import settings_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER_CONFIGS, SEE_GROUP_CONFIGS, SEE_TOPIC_CONFIGS


def answer(call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    return DescribeConfigsResponse(
        results=[_described(call, resource, request) for resource in request.resources]
    )


def _described(
    call: Call, resource: DescribeConfigsResource, request: DescribeConfigsRequest
) -> DescribeConfigsResult:
    kind, name = resource.resource_type, resource.resource_name
    try:
        entries = _entries(call, kind, name)
    except Refused as refused:
        return DescribeConfigsResult(refused.code, refused.text, kind, name)
    wanted = resource.configuration_keys
    return DescribeConfigsResult(
        resource_type=kind,
        resource_name=name,
        configs=[
            DescribeConfigsResourceResult(
                entry.name,
                entry.value,
                entry.read_only,
                config_source=entry.source,
                synonyms=[DescribeConfigsSynonym(*synonym) for synonym in entry.synonyms]
                if request.include_synonyms
                else [],
                config_type=entry.kind,
                documentation=entry.text if request.include_documentation else None,
            )
            for entry in entries
            if not wanted or entry.name in wanted
        ],
    )


def _entries(call: Call, kind: int, name: str) -> Iterable[Entry]:
    head = call.head
    if kind == TOPIC:
        topic = demand_topic(call, name, permitted=call.allows(SEE_TOPIC_CONFIGS, name))
        return topic_entries(head, settings_of(head.topics, topic))
    if kind == GROUP:
        demand_group_name(name, permitted=call.allows(SEE_GROUP_CONFIGS, name))
        return group_entries(head, name)
    if kind == BROKER:
        call.demand(SEE_CLUSTER_CONFIGS)
        if not name:
            return ()
        demand_node(head, name)
        return broker_entries(head)
    raise Refused(ErrorCode.INVALID_REQUEST, f"Unsupported resource type: {kind}")
