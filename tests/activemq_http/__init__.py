"""ActiveMQ's HTTP API: what Jolokia answers on ActiveMQ 5.17.2, recorded, and here; messages over HTTP.

python -m tests.activemq_http     run on ActiveMQ, with Jolokia's agent from Maven, and write recording.json
"""
