// Everything at a glance: totals, what flows, the node.

import { html } from "../react.js";
import { useLive } from "../live.js";
import { Chart, Facts, Panel, Table, Tile, Waiting } from "../parts.js";
import { bytes, count, duration, rate, rateOf, rates, series, short } from "../format.js";

const WINDOW = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";

const LENGTHS = [["messages_ready", "ready", "--red"], ["messages_unacknowledged", "unacknowledged", "--blue"], ["messages", "total", "--ink-soft"]];
const FLOWS = [["publish", "publish", "--red"], ["deliver_get", "deliver", "--blue"], ["ack", "acknowledge", "--green"], ["redeliver", "redeliver", "--amber"]];

export function Overview() {
  const [{ data, error }, { data: nodes }] = useLive(`/api/overview?${WINDOW}`, "/api/nodes");
  if (!data) return html`<${Waiting} error=${error} />`;
  const { queue_totals: totals = {}, object_totals: objects = {}, message_stats: stats = {}, listeners = [] } = data;
  return html`
    <h1>Overview</h1>
    <div class="tiles">
      <${Tile} label="Ready" value=${short(totals.messages_ready ?? 0)} note="in queues" tone="hot" href="#/queues" />
      <${Tile} label="Unacknowledged" value=${short(totals.messages_unacknowledged ?? 0)} note="with consumers" href="#/queues" />
      <${Tile} label="Publish" value=${rate(rateOf(stats, "publish"))} note="a second" />
      <${Tile} label="Deliver" value=${rate(rateOf(stats, "deliver_get"))} note="a second" />
      <${Tile} label="Acknowledge" value=${rate(rateOf(stats, "ack"))} note="a second" />
      <${Tile} label="Connections" value=${count(objects.connections)} note=${`${count(objects.channels)} channels`} href="#/connections" />
      <${Tile} label="Queues" value=${count(objects.queues)} note=${`${count(objects.exchanges)} exchanges`} href="#/queues" />
      <${Tile} label="Consumers" value=${count(objects.consumers)} note="on all queues" href="#/channels" />
    </div>
    <div class="columns">
      <${Panel} title="Messages" note="last ten minutes">
        <${Chart} label="Messages in all queues" lines=${LENGTHS.map(([name, label, colour]) => ({ label, colour, points: series(totals[`${name}_details`]) }))} />
      </${Panel}>
      <${Panel} title="Flow" note="messages a second">
        <${Chart} label="Rates of all queues" format=${rate} lines=${FLOWS.map(([name, label, colour]) => ({ label, colour, points: rates(stats[`${name}_details`]) }))} />
      </${Panel}>
    </div>
    ${nodes?.map((node) => html`<${Panel} key=${node.name} title=${node.name} note=${node.running ? `up ${duration(node.uptime)}` : "down"}>
      <${Facts} of=${[
        ["memory", html`<${Gauge} value=${node.mem_used} max=${node.mem_limit} format=${bytes} alarm=${node.mem_alarm} />`],
        ["free disk", node.disk_free > 0 && html`${bytes(node.disk_free)} <small>alarm below ${bytes(node.disk_free_limit)}${node.disk_free_alarm ? ": alarm!" : ""}</small>`],
        ["open files", html`<${Gauge} value=${node.fd_used} max=${node.fd_total} format=${count} />`],
        ["sockets", html`<${Gauge} value=${node.sockets_used} max=${node.sockets_total} format=${count} />`],
        ["stands in for", `RabbitMQ ${data.rabbitmq_version}`],
      ]} />
    </${Panel}>`)}
    <${Panel} title="Listeners">
      <${Table} caption="Listeners" items=${listeners} keyOf=${(item) => `${item.protocol}${item.ip_address}${item.port}`} columns=${[
        { title: "protocol", cell: ({ protocol }) => protocol },
        { title: "address", cell: ({ ip_address: address }) => address },
        { title: "port", cell: ({ port }) => port },
      ]} />
    </${Panel}>`;
}

function Gauge({ value, max, format, alarm }) {
  const part = max > 0 ? Math.min(1, value / max) : 0;
  return html`<span class="gauge ${alarm || part > 0.9 ? "bad" : ""}">${format(value)} <small>of ${format(max)}</small><i style=${`--part:${part}`}></i></span>`;
}
