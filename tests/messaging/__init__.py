"""What operators see of destinations, subscribers and messages that wait: one broker, seen from all sides."""
