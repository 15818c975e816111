"""ActiveMQ's HTTP port, 8161: Jolokia, which reads and calls management beans (A81), and messages (A80).

`application` is the ASGI application and says who may; `jolokia` knows requests and answers; `beans` is what
there is, `attributes` and `operations` what each of them has, a row each, and `artemis...` the same in
Artemis' words; `calls` finds the operation that a request means, `names` says how beans are called. `view`
takes messages out of queues, `looking` sees them where they are; `messages` is the API for messages, `feeds`
what ActiveMQ's console tells plugins of monitors. One virtual host is seen, `default_vhost`, as the broker
`localhost`.

Not here: Java, so no attribute is there that is about one; ActiveMQ's page for people. Source: Jolokia 1.7's
reference; answers measured on ActiveMQ 5.17.2 (`tests/activemq_http`).
"""
