// Exchanges and bindings.

import { html } from "../react.js";
import { part } from "../api.js";
import { useAction, useApp, useLive } from "../live.js";
import { argumentsFrom, Ask, end, Facts, Form, Listing, More, Panel, Table, Tag, Waiting } from "../parts.js";
import { fields, rate, rateOf } from "../format.js";
import { MessageForm } from "./message.js";

const keyOf = ({ vhost, name }) => `${vhost}/${name}`;
const shown = (name) => name || "(default)";
const path = (name) => part(name || "amq.default");
const own = (vhost, name) => `/api/exchanges/${part(vhost)}/${path(name)}`;
const TYPES = ["direct", "fanout", "topic", "headers", "x-consistent-hash", "x-delayed-message", "x-random", "x-recent-history"];

export function Exchanges() {
  const act = useAction();
  const app = useApp();
  const [{ data: vhosts }] = useLive("/api/vhosts?columns=name");
  function add({ vhost, name, type, durable, auto_delete: autoDelete, internal, args }) {
    try {
      const body = { type, durable: durable === "true", auto_delete: autoDelete, internal, arguments: argumentsFrom(args) };
      return act(`The exchange ${name} is there`, "PUT", own(vhost, name), { body });
    } catch (error) {
      app.notify(error.message, "bad");
      return false;
    }
  }
  return html`<h1>Exchanges</h1><${Listing} title="All exchanges" path="/api/exchanges" keyOf=${keyOf} columns=${[
    { title: "name", sort: "name", cell: ({ vhost, name }) => html`<a href=${`#/exchanges/${part(vhost)}/${path(name)}`}>${shown(name)}</a>` },
    { title: "virtual host", sort: "vhost", cell: ({ vhost }) => vhost },
    { title: "type", sort: "type", cell: ({ type }) => type },
    { title: "features", cell: (item) => html`<${Features} item=${item} />` },
    { title: "in", sort: "message_stats.publish_in_details.rate", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "publish_in")) },
    { title: "out", sort: "message_stats.publish_out_details.rate", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "publish_out")) },
  ]} />
  <${More} title="Add an exchange"><${Form} button="Add" onSubmit=${add} fields=${[
    { name: "vhost", label: "Virtual host", options: (vhosts ?? []).map(({ name }) => name) },
    { name: "name", label: "Name", required: true },
    { name: "type", label: "Type", options: TYPES },
    { name: "durable", label: "Durability", options: [["true", "durable"], ["false", "transient"]] },
    { name: "auto_delete", label: "Delete with the last binding", type: "checkbox" },
    { name: "internal", label: "Internal: clients may not publish to it", type: "checkbox" },
    { name: "args", label: "Arguments", type: "textarea", placeholder: "alternate-exchange = unrouted", hint: "a line each: name = value", wide: true },
  ]} /></${More}>`;
}

const Features = ({ item }) => html`
  ${item.durable && html`<${Tag} title="durable">D</${Tag}>`}
  ${item.auto_delete && html`<${Tag} title="deleted with its last binding">AD</${Tag}>`}
  ${item.internal && html`<${Tag} title="clients may not publish to it">I</${Tag}>`}
  ${item.arguments?.["alternate-exchange"] && html`<${Tag} title="alternate exchange">AE</${Tag}>`}
  ${item.policy && html`<a class="tag" title=${`policy ${item.policy}`} href="#/policies">${item.policy}</a>`}`;

export function Exchange({ path: [vhost, given] }) {
  const act = useAction();
  const name = given === "amq.default" ? "" : given;
  const [{ data, error }, { data: outgoing }, { data: incoming }] = useLive(
    own(vhost, name), `${own(vhost, name)}/bindings/source`, `${own(vhost, name)}/bindings/destination`);
  if (!data) return html`<h1>${shown(name)}</h1><${Waiting} error=${error} />`;
  const remove = async () => {
    if (await act(`The exchange ${name} is deleted`, "DELETE", own(vhost, name))) location.hash = "#/exchanges";
  };
  const bind = ({ kind, destination, key }) => act(`${destination} is bound`, "POST", `/api/bindings/${part(vhost)}/e/${part(name)}/${kind}/${part(destination)}`, { body: { routing_key: key, arguments: {} } });
  return html`<h1>${shown(name)} <small>${data.type} in ${vhost}</small></h1>
    <${Panel} title="Exchange" actions=${name && !name.startsWith("amq.") && html`<${Ask} label="Delete" question="Delete ${name}?" confirm="Delete it" onConfirm=${remove} />`}>
      <${Facts} of=${[
        ["type", data.type], ["features", html`<${Features} item=${data} />`], ["arguments", fields(data.arguments)], ["policy", data.policy],
        ["in", `${rate(rateOf(data.message_stats, "publish_in"))}/s`], ["out", `${rate(rateOf(data.message_stats, "publish_out"))}/s`],
      ]} />
    </${Panel}>
    <${Panel} title="Bindings from here">
      <${BindingTable} items=${outgoing ?? []} />
      ${name && html`<${More} title="Bind a queue or an exchange"><${Form} button="Bind" onSubmit=${bind} fields=${[
        { name: "kind", label: "To", options: [["q", "queue"], ["e", "exchange"]] },
        { name: "destination", label: "Name", required: true }, { name: "key", label: "Routing key" },
      ]} /></${More}>`}
    </${Panel}>
    ${incoming?.length > 0 && html`<${Panel} title="Bindings to here"><${BindingTable} items=${incoming} from /></${Panel}>`}
    ${!data.internal && html`<${Panel} title="What to do"><${More} title="Publish a message"><${MessageForm} vhost=${vhost} exchange=${name || "amq.default"} /></${More}></${Panel}>`}`;
}

/** `from`: show where they come from, instead of where they lead. */
export function BindingTable({ items, from }) {
  const act = useAction();
  const remove = ({ vhost, source, destination, destination_type: type, properties_key: key }) =>
    act("The binding is gone", "DELETE", `/api/bindings/${part(vhost)}/e/${part(source)}/${type[0]}/${part(destination)}/${part(key)}`);
  const target = ({ vhost, destination, destination_type: type }) => html`<a href=${`#/${type}s/${part(vhost)}/${part(destination)}`}>${destination}</a>`;
  const origin = ({ vhost, source }) => html`<a href=${`#/exchanges/${part(vhost)}/${path(source)}`}>${shown(source)}</a>`;
  return html`<${Table} caption="Bindings" items=${items} empty="no bindings" keyOf=${(item) => `${item.source}|${item.destination_type}|${item.destination}|${item.properties_key}`} columns=${[
    { title: from ? "from" : "to", cell: from ? origin : target },
    { title: "routing key", cell: ({ routing_key: key }) => html`<code>${key}</code>` },
    { title: "arguments", cell: ({ arguments: args }) => fields(args) },
    end((item) => item.source && html`<button type="button" class="danger small" onClick=${() => remove(item)}>Unbind</button>`),
  ]} />`;
}
