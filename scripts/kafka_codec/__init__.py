"""The generator of Pillarbox's Kafka codec: `schema` reads Kafka's definitions, `emit` writes one
key's module, `package` decides what is written, `__main__` fetches, formats, compares."""
