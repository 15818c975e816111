// Virtual hosts.

import { html } from "../react.js";
import { part } from "../api.js";
import { useAction, useLive } from "../live.js";
import { Ask, end, Form, More, Panel, Table, Tag, Waiting } from "../parts.js";
import { count, rate, rateOf } from "../format.js";

export function VHosts() {
  const act = useAction();
  const [{ data, error }] = useLive("/api/vhosts");
  if (!data) return html`<h1>Virtual hosts</h1><${Waiting} error=${error} />`;
  const add = ({ name, ...body }) => act(`The virtual host ${name} is there`, "PUT", `/api/vhosts/${part(name)}`, { body });
  return html`<h1>Virtual hosts</h1>
    <${Panel} title="All virtual hosts">
      <${Table} caption="Virtual hosts" items=${data} keyOf=${({ name }) => name} columns=${[
        { title: "name", cell: ({ name }) => name },
        { title: "description", cell: ({ description }) => description },
        { title: "tags", cell: ({ tags }) => (tags ?? []).map((tag) => html`<${Tag}>${tag}</${Tag}>`) },
        { title: "queues are", cell: ({ default_queue_type: type }) => (type === "undefined" ? "classic" : type) },
        { title: "ready", number: true, cell: ({ messages_ready: value }) => count(value ?? 0) },
        { title: "unacked", number: true, cell: ({ messages_unacknowledged: value }) => count(value ?? 0) },
        { title: "incoming", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "publish")) },
        { title: "deliver", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "deliver_get")) },
        end(({ name }) => html`<${Ask} tone="danger small" label="Delete" question="Delete ${name} and all that is in it?" confirm="Delete it" onConfirm=${() => act(`The virtual host ${name} is deleted`, "DELETE", `/api/vhosts/${part(name)}`)} />`),
      ]} />
    </${Panel}>
    <${More} title="Add a virtual host"><${Form} button="Add" onSubmit=${add} fields=${[
      { name: "name", label: "Name", required: true }, { name: "description", label: "Description" }, { name: "tags", label: "Tags" },
      { name: "default_queue_type", label: "Queues without a type are", options: ["classic", "quorum", "stream"] },
    ]} /></${More}>`;
}
