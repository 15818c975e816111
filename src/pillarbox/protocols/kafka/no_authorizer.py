"""What Kafka's own ACLs are answered with: rights are permissions of users here, as without an authorizer.

Source: Kafka's answer where `authorizer.class.name` is not set; row K73.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.errors import ErrorCode

CODE: Final = ErrorCode.SECURITY_DISABLED
TEXT: Final = "No Authorizer is configured: what users may do is set by the permissions of the broker."
