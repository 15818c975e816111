// Queues and streams: the lists, and one queue with all that can be done to it.

import { html, useState } from "../react.js";
import { call, part } from "../api.js";
import { useAction, useApp, useHistory, useLive } from "../live.js";
import { argumentsFrom, Ask, Chart, Explanation, Facts, Form, Listing, More, Panel, Spark, State, stateOf, Table, Tag, Waiting } from "../parts.js";
import { bytes, count, fields, moment, rate, rateOf, rates, series } from "../format.js";
import { BindingTable } from "./exchanges.js";
import { ConsumerTable } from "./channels.js";
import { MessageForm } from "./message.js";

const WINDOW = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";
const keyOf = ({ vhost, name }) => `${vhost}/${name}`;
const link = ({ vhost, name }) => `#/queues/${part(vhost)}/${part(name)}`;
const at = (vhost, name) => `/api/queues/${part(vhost)}/${part(name)}`;

const FEATURES = [
  ["D", "durable", (queue) => queue.durable],
  ["AD", "deleted with its last consumer", (queue) => queue.auto_delete],
  ["Ex", "exclusive to its connection", (queue) => queue.exclusive],
  ["SAC", "single active consumer", (queue) => queue.arguments?.["x-single-active-consumer"]],
  ["Pri", "priorities", (queue) => queue.arguments?.["x-max-priority"]],
  ["TTL", "messages expire", (queue) => queue.arguments?.["x-message-ttl"] !== undefined],
  ["Lim", "limited length", (queue) => queue.arguments?.["x-max-length"] !== undefined || queue.arguments?.["x-max-length-bytes"] !== undefined],
  ["DLX", "dead letters", (queue) => queue.arguments?.["x-dead-letter-exchange"] !== undefined],
];

function Features({ queue }) {
  return html`${queue.type && queue.type !== "classic" && html`<${Tag}>${queue.type}</${Tag}>`}
    ${FEATURES.filter(([, , has]) => has(queue)).map(([short, title]) => html`<${Tag} title=${title}>${short}</${Tag}>`)}
    ${queue.policy && html`<a class="tag" title=${`policy ${queue.policy}`} href="#/policies">${queue.policy}</a>`}`;
}

const NAME = { title: "name", sort: "name", cell: (queue) => html`<a href=${link(queue)}>${queue.name}</a>` };
const VHOST = { title: "virtual host", sort: "vhost", cell: ({ vhost }) => vhost };
const flow = (title, name) => ({
  title, sort: `message_stats.${name}_details.rate`, number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, name)),
});
const amount = (title, name) => ({ title, sort: name, number: true, cell: (queue) => count(queue[name] ?? 0) });

export function Queues() {
  const [items, setItems] = useState(null);
  const history = useHistory(items, keyOf, ({ messages }) => messages ?? 0);
  return html`<h1>Queues</h1><${Listing} title="All queues" path="/api/queues" keyOf=${keyOf} empty="no queue yet" decorate=${(now) => now !== items && setItems(now)} columns=${[
    NAME, VHOST,
    { title: "features", cell: (queue) => html`<${Features} queue=${queue} />` },
    { title: "state", sort: "state", cell: (queue) => html`<${State} state=${stateOf(queue)} />` },
    amount("ready", "messages_ready"), amount("unacked", "messages_unacknowledged"), amount("total", "messages"),
    { title: "", cell: (queue) => html`<${Spark} values=${history(queue)} label="messages in the last minutes" />` },
    flow("incoming", "publish"), flow("deliver", "deliver_get"), flow("ack", "ack"),
    amount("consumers", "consumers"),
  ]} />
  <${More} title="Add a queue"><${NewQueue} /></${More}>`;
}

/** What retention leaves of a stream. */
function kept({ arguments: given = {}, effective_policy_definition: policy = {} }) {
  const age = given["x-max-age"] ?? policy["max-age"];
  const size = given["x-max-length-bytes"] ?? policy["max-length-bytes"];
  return [age, size && bytes(size)].filter(Boolean).join(", ") || "everything";
}

export function Streams() {
  return html`<h1>Streams</h1>
    <p class="lead">A stream keeps what was published; each reader has a place of its own in it, and reading takes nothing out.</p>
    <${Listing} title="All streams" path="/api/queues?type=stream" keyOf=${keyOf} empty="no stream yet" columns=${[
      NAME, VHOST,
      { title: "keeps", cell: kept },
      amount("messages", "messages"),
      { title: "on disk", sort: "log_bytes", number: true, cell: ({ log_bytes: value }) => bytes(value) },
      flow("incoming", "publish"), flow("deliver", "deliver_get"), amount("readers", "consumers"),
    ]} />
    <${More} title="Add a stream"><${NewQueue} type="stream" /></${More}>`;
}

function useVHosts() {
  const [{ data }] = useLive("/api/vhosts?columns=name");
  return (data ?? []).map(({ name }) => name);
}

function NewQueue({ type = "classic" }) {
  const act = useAction();
  const app = useApp();
  const vhosts = useVHosts();
  function add({ vhost, name, kind, durable, auto_delete: autoDelete, args }) {
    let given;
    try {
      given = argumentsFrom(args);
    } catch (error) {
      app.notify(error.message, "bad");
      return false;
    }
    const body = { durable: durable === "true", auto_delete: autoDelete, arguments: { "x-queue-type": kind, ...given } };
    return act(`The queue ${name} is there`, "PUT", at(vhost, name), { body });
  }
  return html`<${Form} onSubmit=${add} button="Add" fields=${[
    { name: "vhost", label: "Virtual host", options: vhosts },
    { name: "kind", label: "Type", options: ["classic", "quorum", "stream"], value: type },
    { name: "name", label: "Name", required: true },
    { name: "durable", label: "Durability", options: [["true", "durable"], ["false", "transient"]] },
    { name: "auto_delete", label: "Delete with the last consumer", type: "checkbox" },
    { name: "args", label: "Arguments", type: "textarea", placeholder: "x-message-ttl = 60000", hint: "a line each: name = value", wide: true },
  ]} />`;
}

const LENGTHS = [["messages_ready", "ready", "--red"], ["messages_unacknowledged", "unacknowledged", "--blue"], ["messages", "total", "--ink-soft"]];
const FLOWS = [["publish", "publish", "--red"], ["deliver_get", "deliver", "--blue"], ["ack", "acknowledge", "--green"], ["redeliver", "redeliver", "--amber"]];

const BODIES = [["bodies", "message_bytes"], ["bodies in memory", "message_bytes_ram"], ["persistent", "message_bytes_persistent"], ["on disk", "log_bytes"]];

export function Queue({ path: [vhost, name] }) {
  const act = useAction();
  const own = at(vhost, name);
  const [{ data, error }, { data: bindings }, { data: explained }] = useLive(`${own}?${WINDOW}`, `${own}/bindings`, `${own}/explain`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  const stats = data.message_stats ?? {};
  const remove = async (form) => {
    const conditions = ["if-unused", "if-empty"].filter((one) => form.get(one)).map((one) => `${one}=true`).join("&");
    if (await act(`The queue ${name} is deleted`, "DELETE", `${own}?${conditions}`)) location.hash = "#/queues";
  };
  return html`
    <h1>${name} <${State} state=${stateOf(data)} /> <small>in ${vhost}</small></h1>
    ${explained && html`<${Explanation} of=${explained} />`}
    <div class="columns">
      <${Panel} title="Messages" note="last ten minutes"><${Chart} label="Messages in the queue" lines=${LENGTHS.map(([key, label, colour]) => ({ label, colour, points: series(data[`${key}_details`]) }))} /></${Panel}>
      <${Panel} title="Flow" note="messages a second"><${Chart} label="Rates of the queue" format=${rate} lines=${FLOWS.map(([key, label, colour]) => ({ label, colour, points: rates(stats[`${key}_details`]) }))} /></${Panel}>
    </div>
    <${Panel} title="Details" actions=${html`
      <${Ask} label="Purge" question="Purge ${name}?" confirm="Purge it" onConfirm=${() => act(`${name} is purged`, "DELETE", `${own}/contents`)}><p>All messages that are ready are thrown away.</p></${Ask}>
      <${Ask} label="Delete" question="Delete ${name}?" confirm="Delete it" onConfirm=${remove}>
        <label class="check"><input type="checkbox" name="if-unused" /> only if it has no consumer</label>
        <label class="check"><input type="checkbox" name="if-empty" /> only if it is empty</label>
      </${Ask}>`}>
      <${Facts} of=${[
        ["features", html`<${Features} queue=${data} />`], ["arguments", fields(data.arguments)],
        ["ready", count(data.messages_ready)], ["unacknowledged", count(data.messages_unacknowledged)], ["total", count(data.messages)],
        ...BODIES.map(([label, key]) => [label, data[key] === undefined ? null : bytes(data[key])]),
        ["consumers", count(data.consumers)], ["consumer capacity", data.consumer_capacity !== undefined ? `${Math.round(100 * data.consumer_capacity)} %` : null],
        ["policy", data.policy], ["operator policy", data.operator_policy], ["idle since", data.idle_since && moment(data.idle_since)],
      ]} />
    </${Panel}>
    <${Panel} title="Consumers" note=${count(data.consumers)}><${ConsumerTable} items=${data.consumer_details ?? []} /></${Panel}>
    <${Panel} title="Bindings">
      <${BindingTable} items=${bindings ?? []} from />
      <${More} title="Bind to an exchange"><${Form} button="Bind" onSubmit=${({ source, key }) => act(`${name} is bound to ${source}`, "POST", `/api/bindings/${part(vhost)}/e/${part(source)}/q/${part(name)}`, { body: { routing_key: key, arguments: {} } })} fields=${[
        { name: "source", label: "Exchange", required: true }, { name: "key", label: "Routing key" },
      ]} /></${More}>
    </${Panel}>
    <${Panel} title="What to do">
      <${More} title="Publish a message"><${MessageForm} vhost=${vhost} exchange="amq.default" routingKey=${name} /></${More}>
      <${More} title="Get messages"><${Getter} path=${own} /></${More}>
      <${More} title="Move messages"><${Mover} path=${own} name=${name} /></${More}>
    </${Panel}>`;
}

const MODES = [
  ["ack_requeue_true", "look only: put them back"],
  ["ack_requeue_false", "take them out"],
  ["reject_requeue_true", "reject them: put them back"],
  ["reject_requeue_false", "reject them: dead letters"],
];

function Getter({ path }) {
  const app = useApp();
  const [messages, setMessages] = useState(null);
  async function fetchThem({ count: many, ackmode, encoding }) {
    try {
      setMessages(await call("POST", `${path}/get`, { body: { count: Number(many), ackmode, encoding, truncate: 50_000 } }));
    } catch (error) {
      app.notify(error.message, "bad");
    }
    return false;
  }
  return html`<${Form} button="Get" onSubmit=${fetchThem} fields=${[
      { name: "count", label: "How many", type: "number", value: "1", required: true },
      { name: "ackmode", label: "And then", options: MODES },
      { name: "encoding", label: "Bodies", options: [["auto", "as text if they are text"], ["base64", "as base64"]] },
    ]} />
    ${messages && !messages.length && html`<p class="empty">the queue is empty</p>`}
    ${messages?.map((message, index) => html`<article class="message">
      <${Facts} of=${[
        ["exchange", message.exchange || "(default)"], ["routing key", message.routing_key], ["redelivered", message.redelivered ? "yes" : "no"],
        ["properties", fields({ ...message.properties, headers: undefined })], ["headers", fields(message.properties?.headers)],
        ["left in the queue", count(message.message_count)],
      ]} />
      <pre tabindex="0" aria-label=${`Body of message ${index + 1}`}>${message.payload}</pre>
    </article>`)}`;
}

function Mover({ path, name }) {
  const act = useAction();
  const app = useApp();
  async function move({ destination }) {
    const answer = await act("", "POST", `${path}/move`, { body: { destination } });
    if (answer) app.notify(`${count(answer.moved)} messages went from ${name} to ${destination}`, "good");
    return Boolean(answer);
  }
  return html`<${Form} button="Move" onSubmit=${move} fields=${[
    { name: "destination", label: "To the queue", required: true, hint: "all that are ready, in order, each confirmed before it leaves" },
  ]} />`;
}
