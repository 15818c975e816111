"""The management API over real HTTP, and its documents compared with those of a real RabbitMQ."""
