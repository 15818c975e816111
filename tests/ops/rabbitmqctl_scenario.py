"""What scripts ask of RabbitMQ's own commands, in an order in which it makes sense, from an empty broker on.

    python -m tests.ops.rabbitmqctl_scenario

runs it with a real RabbitMQ's tools beside that RabbitMQ and writes what they say to
`recordings/rabbitmqctl.json`; `test_rabbitmqctl.py` replays it with ours. Takes some minutes.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.peers import RabbitMQ

RECORDING = Path(__file__).parent / "recordings" / "rabbitmqctl.json"

PLUGINS = ("rabbitmq_management", "rabbitmq_stream")

LINES = """
rabbitmq-diagnostics ping
rabbitmq-diagnostics -q ping
rabbitmq-diagnostics --formatter json ping
rabbitmqctl ping -s
rabbitmq-diagnostics check_running
rabbitmq-diagnostics -q check_running
rabbitmq-diagnostics check_running --formatter json
rabbitmq-diagnostics is_running
rabbitmq-diagnostics is_running --formatter json
rabbitmq-diagnostics is_booting
rabbitmq-diagnostics check_local_alarms
rabbitmq-diagnostics -q check_local_alarms
rabbitmq-diagnostics check_local_alarms --formatter json
rabbitmq-diagnostics check_alarms
rabbitmq-diagnostics alarms
rabbitmq-diagnostics check_virtual_hosts
rabbitmq-diagnostics check_protocol_listener amqp
rabbitmq-diagnostics check_protocol_listener amqp --formatter json
rabbitmq-diagnostics check_port_listener abc
rabbitmq-diagnostics check_certificate_expiration --within 1 --unit months
rabbitmq-diagnostics check_certificate_expiration --within 1
rabbitmq-diagnostics check_if_node_is_quorum_critical
rabbitmq-queues check_if_node_is_mirror_sync_critical
rabbitmqctl await_startup
rabbitmqctl await_startup --timeout 5
rabbitmqctl wait
rabbitmqctl wait --pid 1 --timeout 20 -q
rabbitmqctl add_vhost v1 --description "a shop" --tags a,b
rabbitmqctl add_vhost v1
rabbitmqctl add_user alice secret
rabbitmqctl add_user alice secret
rabbitmqctl -q add_user bob secret
rabbitmqctl add_user
rabbitmqctl add_user x y z
rabbitmqctl list_users extra
rabbitmqctl list_users
rabbitmqctl -q list_users
rabbitmqctl -s list_users
rabbitmqctl --silent list_users --formatter=json
rabbitmqctl list_users --formatter csv
rabbitmqctl list_users --no-table-headers
rabbitmqctl list_users --nonsense
rabbitmqctl set_user_tags alice administrator monitoring
rabbitmqctl set_user_tags bob
rabbitmqctl set_user_tags nobody x
rabbitmqctl list_users
rabbitmqctl change_password nobody x
rabbitmqctl change_password alice x
rabbitmqctl authenticate_user alice x
rabbitmqctl authenticate_user alice y
rabbitmqctl authenticate_user bob secret
rabbitmqctl clear_password bob
rabbitmqctl set_permissions -p v1 alice ".*" ".*" "^a"
rabbitmqctl set_permissions -p nosuch alice ".*" ".*" ".*"
rabbitmqctl set_permissions -p v1 nobody ".*" ".*" ".*"
rabbitmqctl set_permissions alice
rabbitmqctl -q set_permissions -p v1 bob "" "" ""
rabbitmqctl list_permissions -p v1
rabbitmqctl list_permissions -p v1 --formatter json
rabbitmqctl -q list_permissions -p nosuch
rabbitmqctl list_user_permissions alice
rabbitmqctl list_user_permissions nobody
rabbitmqctl clear_permissions -p v1 bob
rabbitmqctl clear_permissions -p v1 nobody
rabbitmqctl set_topic_permissions -p v1 alice amq.topic a b
rabbitmqctl list_topic_permissions -p v1
rabbitmqctl clear_topic_permissions -p v1 alice amq.topic
rabbitmqctl list_topic_permissions -p v1 --formatter json
rabbitmqctl set_policy -p v1 ttl "^q" '{"message-ttl":1000}' --priority 3 --apply-to queues
rabbitmqctl set_policy -p v1 ttl "^q" '{"message-ttl":1000'
rabbitmqctl list_policies -p v1
rabbitmqctl list_policies -p v1 --formatter json
rabbitmqctl list_policies
rabbitmqctl list_policies --formatter json
rabbitmqctl clear_policy -p v1 ttl
rabbitmqctl clear_policy -p v1 ttl
rabbitmqctl set_operator_policy -p v1 op "^q" '{"message-ttl":1000}'
rabbitmqctl list_operator_policies -p v1
rabbitmqctl clear_operator_policy -p v1 op
rabbitmqctl set_vhost_limits -p v1 '{"max-queues": 5}'
rabbitmqctl set_vhost_limits -p v1 nonsense
rabbitmqctl list_vhost_limits -p v1
rabbitmqctl list_vhost_limits
rabbitmqctl list_vhost_limits --global
rabbitmqctl clear_vhost_limits -p v1
rabbitmqctl set_user_limits alice '{"max-connections": 5}'
rabbitmqctl list_user_limits --user alice
rabbitmqctl list_user_limits --user nobody
rabbitmqctl list_user_limits --global
rabbitmqctl clear_user_limits alice max-connections
rabbitmqctl set_global_parameter site '{"a":1}'
rabbitmqctl clear_global_parameter site
rabbitmqctl clear_global_parameter site
rabbitmqctl set_parameter vhost-limits limits '{"max-queues":300}'
rabbitmqctl set_parameter a b c
rabbitmqctl set_parameter nosuch b '{"a":1}'
rabbitmqctl list_parameters
rabbitmqctl list_parameters --formatter json
rabbitmqctl clear_parameter vhost-limits limits
rabbitmqctl clear_parameter nosuch b
rabbitmqctl list_vhosts
rabbitmqctl list_vhosts name tracing --formatter json
rabbitmqctl trace_on
rabbitmqctl trace_off
rabbitmqctl set_vm_memory_high_watermark 0.5
rabbitmqctl set_vm_memory_high_watermark absolute 2GB
rabbitmqctl set_vm_memory_high_watermark absolute 2000000000
rabbitmqctl set_vm_memory_high_watermark 5
rabbitmqctl set_vm_memory_high_watermark nonsense
rabbitmqctl set_vm_memory_high_watermark absolute nonsense
rabbitmqctl -q set_vm_memory_high_watermark 0.4
rabbitmqctl set_vm_memory_high_watermark
rabbitmqctl set_vm_memory_high_watermark a b c
rabbitmqctl set_disk_free_limit 60MB
rabbitmqctl set_disk_free_limit 60000000
rabbitmqctl set_disk_free_limit mem_relative 0.001
rabbitmqctl set_disk_free_limit mem_relative nonsense
rabbitmqctl set_disk_free_limit nonsense
rabbitmqctl set_disk_free_limit
rabbitmqctl set_vhost_tags v1 a b
rabbitmqctl import_definitions {definitions}
rabbitmqctl list_queues
rabbitmqctl list_queues name durable arguments policy auto_delete
rabbitmqctl list_queues name,durable -q
rabbitmqctl -s list_queues name durable
rabbitmqctl list_queues name arguments durable policy --formatter json
rabbitmqctl list_queues name durable --formatter csv
rabbitmqctl list_queues name durable --no-table-headers
rabbitmqctl list_queues name --timeout 5
rabbitmqctl list_queues nonsense
rabbitmqctl list_queues -p nosuch
rabbitmqctl list_queues -p nosuch --formatter json
rabbitmqctl list_exchanges
rabbitmqctl -q list_exchanges -p v1 name type durable auto_delete internal arguments
rabbitmqctl list_exchanges name type policy --formatter json
rabbitmqctl list_bindings
rabbitmqctl list_bindings --formatter json
rabbitmqctl list_connections
rabbitmqctl list_connections name user --formatter json
rabbitmqctl list_channels
rabbitmqctl list_consumers
rabbitmqctl purge_queue q1
rabbitmqctl purge_queue nosuch
rabbitmqctl delete_queue nosuch
rabbitmqctl delete_queue --if-empty q1
rabbitmqctl delete_queue q1 --if-unused
rabbitmqctl close_all_connections --vhost v1 bye
rabbitmqctl close_all_user_connections alice bye
rabbitmqctl set_cluster_name mine
rabbitmqctl export_definitions /tmp/nosuchfolder-pillarbox/x -q
rabbitmqctl enable_feature_flag all
rabbitmqctl delete_user nobody
rabbitmqctl delete_user bob
rabbitmqctl delete_vhost v1
rabbitmqctl delete_vhost nosuch
rabbitmq-plugins is_enabled rabbitmq_management -q
rabbitmq-streams add_super_stream invoices
rabbitmq-streams add_super_stream invoices
rabbitmq-streams add_super_stream sales --partitions 2 --max-length-bytes 20gb --max-age PT1H {more}
rabbitmq-streams -q add_super_stream regions --routing-keys "north, south"
rabbitmqctl list_queues name arguments --formatter json
rabbitmqctl list_bindings source_name destination_name routing_key arguments --formatter json
rabbitmq-streams add_super_stream x --partitions 2 --routing-keys a,b
rabbitmq-streams add_super_stream x --partitions 0
rabbitmq-streams add_super_stream x --partitions two
rabbitmq-streams add_super_stream x --max-age 1h
rabbitmq-streams add_super_stream x --max-length-bytes lots
rabbitmq-streams add_super_stream x --stream-max-segment-size-bytes lots
rabbitmq-streams add_super_stream x --leader-locator nowhere
rabbitmq-streams add_super_stream x --initial-cluster-size 0
rabbitmq-streams add_super_stream
rabbitmq-streams add_super_stream a b
rabbitmq-streams delete_super_stream regions
rabbitmq-streams -q delete_super_stream sales
rabbitmq-streams delete_super_stream nosuch
rabbitmq-streams delete_super_stream
"""

DEFINITIONS = {
    "vhosts": [{"name": "/"}],
    "queues": [
        {"name": "q1", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {"x-max-length": 10}}
    ],
    "exchanges": [
        {"name": "ours", "vhost": "/", "type": "fanout", "durable": True, "auto_delete": False,
         "internal": False, "arguments": {}}
    ],
    "bindings": [
        {"source": "ours", "vhost": "/", "destination": "q1", "destination_type": "queue",
         "routing_key": "a.#", "arguments": {}}
    ],
}  # fmt: skip


def words(line: str, definitions: Path) -> list[str]:
    """One line as a shell would take it apart."""
    return shlex.split(line.replace("{definitions}", str(definitions)))


def lines() -> list[str]:
    return LINES.strip().replace("{more}", "--stream-max-segment-size-bytes 500mb").splitlines()


def record() -> dict[str, Any]:
    """Run it all beside a real RabbitMQ."""
    said = []
    with RabbitMQ(plugins=PLUGINS) as peer, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        definitions = Path(folder) / "definitions.json"
        definitions.write_text(json.dumps(DEFINITIONS))
        for line in lines():
            tool, *rest = words(line, definitions)
            done = peer.tool(tool, *rest)
            texts = [text.replace(peer.node, "NODE").replace(str(definitions), "{definitions}")
                     for text in (done.stdout, done.stderr)]  # fmt: skip
            said.append({"line": line, "status": done.returncode, "stdout": texts[0], "stderr": texts[1]})
        return {"peer": f"RabbitMQ {peer.version}", "said": said}


if __name__ == "__main__":
    if reason := RabbitMQ.missing():
        sys.exit(reason)
    RECORDING.write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n")
    print(f"{len(lines())} lines recorded in {RECORDING}")
