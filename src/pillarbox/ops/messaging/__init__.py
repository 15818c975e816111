"""What users of STOMP, MQTT and ActiveMQ look for: destinations, subscribers, and messages that wait (A82).

`seen` reads them from the core, in ActiveMQ's words; `resources` has the routes of the management API, which
the page and the monitor ask. ActiveMQ's own API (`ops.activemq`) and its metrics (`ops.prometheus`) read the
same, so all tell the same numbers.

Not here: how protocols name things on the wire. Nothing here is asked of a head, so none is loaded.
"""
