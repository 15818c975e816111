// Queues, topics and subscribers as users of STOMP, MQTT and ActiveMQ know them, and sending a message.

import { html, useState } from "../react.js";
import { part } from "../api.js";
import { useAction, useApp, useHistory, useLive } from "../live.js";
import { argumentsFrom, Facts, Form, Listing, More, Panel, Spark, State, Table, Tag, Waiting } from "../parts.js";
import { bytes, count, moment } from "../format.js";

const UNKNOWN = html`<span title="not known: somebody is subscribed to other topics as well">–</span>`;
const known = (value) => (value === null ? UNKNOWN : count(value));
const keyOf = ({ vhost, kind, name }) => `${vhost}/${kind}/${name}`;
const queueLink = (vhost, name) => `#/queues/${part(vhost)}/${part(name)}`;
const link = ({ vhost, kind, name }) => (kind === "queue" ? queueLink(vhost, name) : `#/destinations/${part(vhost)}/${kind}/${part(name)}`);
const amount = (title, key) => ({ title, sort: key, number: true, cell: (item) => known(item[key]) });

export function Destinations() {
  const [items, setItems] = useState(null);
  const history = useHistory(items, keyOf, ({ pending }) => pending ?? 0);
  return html`<h1>Destinations</h1>
    <p class="lead">Queues and topics as clients of STOMP, MQTT and ActiveMQ name them. A topic is here while somebody is subscribed to it; for all its subscribers together it counts what is pending, dispatched and dequeued, and as enqueued what came to the one that got most.</p>
    <${Listing} title="All destinations" path="/api/destinations" keyOf=${keyOf} empty="no queue and no topic yet" decorate=${(now) => now !== items && setItems(now)} columns=${[
      { title: "name", sort: "name", cell: (item) => html`<a href=${link(item)}>${item.name}</a> ${item.temporary && html`<${Tag}>temporary</${Tag}>`}` },
      { title: "kind", sort: "kind", cell: ({ kind }) => kind },
      { title: "virtual host", sort: "vhost", cell: ({ vhost }) => vhost },
      amount("pending", "pending"),
      { title: "", cell: (item) => html`<${Spark} values=${history(item)} label="pending in the last minutes" />` },
      amount("consumers", "consumers"), amount("enqueued", "enqueued"), amount("dispatched", "dispatched"), amount("dequeued", "dequeued"),
    ]} />
    <${More} title="Send a message"><${Sender} /></${More}>
    <${Scheduled} />`;
}

export function Destination({ path: [vhost, kind, name] }) {
  const [{ data, error }] = useLive(`/api/destinations/${part(vhost)}/${part(kind)}/${part(name)}`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  return html`<h1>${name} <small>${kind} in ${vhost}</small></h1>
    <${Panel} title="Details">
      <${Facts} of=${[
        ["consumers", count(data.consumers)], ["pending", known(data.pending)], ["in flight", known(data.in_flight)],
        ["enqueued", known(data.enqueued)], ["dispatched", known(data.dispatched)], ["dequeued", known(data.dequeued)],
      ]} />
    </${Panel}>
    ${kind === "topic" && html`<${Panel} title="Subscribers" note=${count(data.consumers)}>
      <${Table} caption="Subscribers" items=${data.subscriber_details} keyOf=${(item) => item.name} empty="nobody is subscribed" columns=${COLUMNS} />
    </${Panel}>`}
    <${Panel} title="What to do"><${More} title="Send a message"><${Sender} vhost=${vhost} kind=${kind} name=${name} /></${More}></${Panel}>`;
}

// --- subscribers ------------------------------------------------------------------------------------------------

const COLUMNS = [
  { title: "client", sort: "client_id", cell: (item) => html`<a href=${queueLink(item.vhost, item.name)} title="its queue">${item.client_id || item.subscription || item.name}</a>${item.subscription && item.client_id && html`<small class="under">${item.subscription}</small>`}` },
  { title: "state", sort: "active", cell: ({ active }) => html`<${State} state=${active ? "active" : "offline"} />` },
  { title: "subscribed to", sort: "destination", cell: ({ vhost, topics }) => topics.map((topic) => html`<a class="tag" title=${topic} href=${`#/destinations/${part(vhost)}/topic/${part(topic)}`}>${topic}</a>`) },
  { title: "selector", sort: "selector", cell: ({ selector }) => selector && html`<code>${selector}</code>` },
  { title: "lasts", sort: "durable", cell: ({ durable }) => (durable ? "durable" : "while connected") },
  amount("pending", "pending"), amount("in flight", "in_flight"), amount("dispatched", "dispatched"), amount("dequeued", "dequeued"),
  { title: "protocol", sort: "protocol", cell: ({ protocol, connection }) => (connection ? html`<a class="whole" href=${`#/connections/${part(connection)}`}>${protocol}</a>` : "–") },
];

export function Subscribers() {
  return html`<h1>Subscribers</h1>
    <p class="lead">Whoever hears topics: durable subscriptions and sessions, whether their client is there or not, and those that go with their connection. The filter looks for names of their queues, in which client id and name are.</p>
    <${Listing} title="All subscribers" path="/api/subscribers" keyOf=${({ vhost, name }) => `${vhost}/${name}`} empty="nobody is subscribed to a topic" first=${{ by: "client_id", down: false }} columns=${COLUMNS} />`;
}

// --- what is scheduled ------------------------------------------------------------------------------------------

/** Messages that wait for their time; nothing where none do. */
function Scheduled() {
  const [{ data }] = useLive("/api/scheduled");
  const found = (data ?? []).filter(({ waiting }) => waiting);
  return found.map((schedule) => html`<${Panel} title="Scheduled messages" note=${`${count(schedule.waiting)}, ${bytes(schedule.bytes)}, in ${schedule.name}`}>
    <${Table} caption=${`Next messages of ${schedule.name}`} items=${schedule.next.map((item, index) => ({ ...item, index }))} keyOf=${({ index }) => index} columns=${[
      { title: "due", cell: ({ due }) => moment(due) },
      { title: "goes to", cell: ({ destination }) => destination ?? html`<span title="it rests on the disk">–</span>` },
      { title: "size", number: true, cell: ({ size }) => (size === null ? "–" : bytes(size)) },
      { title: "kept on disk", cell: ({ persistent }) => (persistent === null ? "yes" : persistent ? "yes" : "no") },
    ]} />
  </${Panel}>`);
}

// --- sending ----------------------------------------------------------------------------------------------------

function Sender({ vhost, kind = "queue", name = "" }) {
  const act = useAction();
  const app = useApp();
  const [{ data: vhosts }] = useLive(vhost === undefined ? "/api/vhosts?columns=name" : null);
  async function send(values) {
    let headers;
    try {
      headers = argumentsFrom(values.headers);
      for (const [key, word] of SCHEDULE) if (values[key]) headers[word] = values[key];
    } catch (error) {
      app.notify(error.message, "bad");
      return false;
    }
    const [where, what, whose] = [vhost ?? values.vhost, values.kind ?? kind, values.name ?? name];
    const body = {
      body: values.body, headers, persistent: values.mode === "persistent", priority: Number(values.priority), time_to_live: Number(values.time_to_live || 0),
      ...(values.correlation_id && { correlation_id: values.correlation_id }), ...(values.reply_to && { reply_to: values.reply_to }), ...(values.type && { type: values.type }),
    };
    const answer = await act("", "POST", `/api/destinations/${part(where)}/${part(what)}/${part(whose)}`, { body });
    if (answer) app.notify(answer.routed ? `The message is sent to the ${what} ${whose}` : "Sent, but nobody is subscribed", answer.routed ? "good" : "warm");
    return Boolean(answer);
  }
  return html`<${Form} button="Send" onSubmit=${send} fields=${[
    ...(vhost === undefined ? [
      { name: "kind", label: "To a", options: ["queue", "topic"], value: kind },
      { name: "name", label: "Name", required: true, hint: "a queue that is not there is made" },
      { name: "vhost", label: "Virtual host", options: (vhosts ?? []).map((one) => one.name) },
    ] : []),
    { name: "mode", label: "Delivery mode", options: ["persistent", "non-persistent"] },
    { name: "priority", label: "Priority", type: "number", value: "4" },
    { name: "time_to_live", label: "Lives for", type: "number", hint: "milliseconds; nothing: for ever" },
    { name: "correlation_id", label: "Correlation id" },
    { name: "reply_to", label: "Reply to" },
    { name: "type", label: "Type" },
    { name: "delay", label: "Comes after", type: "number", hint: "milliseconds; nothing: at once" },
    { name: "period", label: "Comes again every", type: "number", hint: "milliseconds" },
    { name: "repeat", label: "How often again", type: "number" },
    { name: "cron", label: "Comes at", placeholder: "0 * * * *", hint: "minutes as of cron" },
    { name: "headers", label: "Headers", type: "textarea", hint: "a line each: name = value" },
    { name: "body", label: "Body", type: "textarea", wide: true },
  ]} />`;
}

const SCHEDULE = [["delay", "AMQ_SCHEDULED_DELAY"], ["period", "AMQ_SCHEDULED_PERIOD"], ["repeat", "AMQ_SCHEDULED_REPEAT"], ["cron", "AMQ_SCHEDULED_CRON"]];
