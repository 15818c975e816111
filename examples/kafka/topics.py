"""Make a topic with three partitions that keeps records for a day, and show what there is.

    python examples/kafka/topics.py payments

The broker is KAFKA_BOOTSTRAP (default localhost:9092).
"""

import os
import sys

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
TIMEOUT_S = 30
DAY_MS = 24 * 3600 * 1000


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "payments"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    wanted = NewTopic(name, num_partitions=3, config={"retention.ms": str(DAY_MS)})
    try:
        admin.create_topics([wanted])[name].result(TIMEOUT_S)
        print(f"made {name}", flush=True)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        print(f"{name} is there already", flush=True)
    topic = admin.list_topics(name, TIMEOUT_S).topics[name]
    resource = ConfigResource(ResourceType.TOPIC, name)
    configs = admin.describe_configs([resource])[resource].result(TIMEOUT_S)
    print(f"{len(topic.partitions)} partitions, retention.ms={configs['retention.ms'].value}", flush=True)


if __name__ == "__main__":
    main()
