"""The schema registry: its REST interface, unmodified clients of Confluent's, and what the formats know."""
