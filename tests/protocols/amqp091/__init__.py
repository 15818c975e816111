"""AMQP 0-9-1: the codec against pamqp and against its own slow twin, the connection against hostile peers."""
