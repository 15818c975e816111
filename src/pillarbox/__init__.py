"""One message broker that unmodified RabbitMQ, Kafka and ActiveMQ clients talk to."""

__version__ = "0.1.0"
