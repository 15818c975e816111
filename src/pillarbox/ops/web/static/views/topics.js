// Kafka's topics: the list, and one topic with its partitions, configs and records.

import { html, useState } from "../react.js";
import { call, part } from "../api.js";
import { useAction, useApp, useHistory, useLive } from "../live.js";
import { argumentsFrom, Ask, Chart, end, Facts, Form, Listing, More, Panel, Spark, Table, Tag, Waiting } from "../parts.js";
import { age, bytes, count, fields, moment, rate, rates } from "../format.js";

const WINDOW = "msg_rates_age=600&msg_rates_incr=5&data_rates_age=600&data_rates_incr=5";
const link = (name) => `#/topics/${part(name)}`;
const at = (name) => `/api/kafka/topics/${part(name)}`;
const keyOf = ({ name }) => name;
const flowOf = (item, name) => item[`${name}_details`]?.rate ?? 0;
const volume = (value) => `${bytes(value)}/s`;

export function Topics() {
  const [items, setItems] = useState(null);
  const history = useHistory(items, keyOf, (topic) => flowOf(topic, "messages_in"));
  return html`<h1>Topics</h1>
    <p class="lead">What clients of Kafka write to and read from. A topic with one partition is the stream of the same name, one with several a super stream.</p>
    <${Listing} title="All topics" path="/api/kafka/topics" keyOf=${keyOf} empty="no topic yet" decorate=${(now) => now !== items && setItems(now)} columns=${[
      { title: "name", sort: "name", cell: ({ name }) => html`<a href=${link(name)}>${name}</a>` },
      { title: "configs", cell: ({ config }) => Object.entries(config).map(([name, value]) => html`<${Tag} title=${`${name} = ${value}`}>${name}</${Tag}>`) },
      { title: "partitions", sort: "partitions", number: true, cell: ({ partitions }) => count(partitions) },
      { title: "records", sort: "messages", number: true, cell: ({ messages }) => count(messages) },
      { title: "on disk", sort: "size", number: true, cell: ({ size }) => bytes(size) },
      { title: "", cell: (topic) => html`<${Spark} values=${history(topic)} label="records that came in lately" />` },
      { title: "records in", sort: "messages_in_details.rate", number: true, cell: (topic) => `${rate(flowOf(topic, "messages_in"))}/s` },
      { title: "in", sort: "bytes_in_details.rate", number: true, cell: (topic) => volume(flowOf(topic, "bytes_in")) },
      { title: "out", sort: "bytes_out_details.rate", number: true, cell: (topic) => volume(flowOf(topic, "bytes_out")) },
    ]} />
    <${More} title="Add a topic"><${NewTopic} /></${More}>
    <${Transactions} />`;
}

function NewTopic() {
  const act = useAction();
  const app = useApp();
  function add({ name, partitions, configs }) {
    try {
      const body = { partitions: partitions ? Number(partitions) : null, config: argumentsFrom(configs) };
      return act(`The topic ${name} is there`, "PUT", at(name), { body });
    } catch (error) {
      app.notify(error.message, "bad");
      return false;
    }
  }
  return html`<${Form} onSubmit=${add} button="Add" fields=${[
    { name: "name", label: "Name", required: true },
    { name: "partitions", label: "Partitions", type: "number", value: "1" },
    { name: "configs", label: "Configs", type: "textarea", placeholder: "retention.ms = 60000", hint: "a line each: name = value", wide: true },
  ]} />`;
}

/** Transactions that are open: what holds readers of committed records up, if it stays so. */
function Transactions() {
  const [{ data }] = useLive("/api/kafka/transactions");
  const open = (data ?? []).filter(({ state }) => state === "Ongoing" || state.startsWith("Prepare"));
  if (!open.length) return null;
  return html`<${Panel} title="Open transactions" note=${count(open.length)}><${Table} caption="Open transactions" items=${open} keyOf=${keyOf} columns=${[
    { title: "transactional id", cell: ({ name }) => name },
    { title: "state", cell: ({ state }) => state },
    { title: "producer", number: true, cell: ({ producer_id: id }) => id },
    { title: "open for", number: true, cell: ({ age_ms: milliseconds }) => (milliseconds === null ? "–" : age(milliseconds)) },
    { title: "at most", number: true, cell: ({ timeout_ms: milliseconds }) => age(milliseconds) },
    { title: "partitions", cell: ({ partitions }) => partitions.map(({ topic, partition }) => `${topic}/${partition}`).join(", ") },
  ]} /></${Panel}>`;
}

export function Topic({ path: [name] }) {
  const act = useAction();
  const own = at(name);
  const [{ data, error }] = useLive(`${own}?${WINDOW}`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  const line = (key, label, colour) => ({ label, colour, points: rates(data[`${key}_details`]) });
  const remove = async () => {
    if (await act(`The topic ${name} is deleted`, "DELETE", own)) location.hash = "#/topics";
  };
  return html`
    <h1>${name} <small>in ${data.vhost}</small></h1>
    <div class="columns">
      <${Panel} title="Records" note="a second"><${Chart} label="Records that come in" format=${rate} lines=${[line("messages_in", "in", "--red")]} /></${Panel}>
      <${Panel} title="Traffic" note="bytes a second"><${Chart} label="Bytes in and out" format=${bytes} lines=${[line("bytes_in", "in", "--red"), line("bytes_out", "out", "--blue")]} /></${Panel}>
    </div>
    <${Panel} title="Details" actions=${html`<${Ask} label="Delete" question="Delete ${name}?" confirm="Delete it" onConfirm=${remove}><p>All its records go with it.</p></${Ask}>`}>
      <${Facts} of=${[
        ["partitions", count(data.partitions)], ["records", count(data.messages)], ["on disk", bytes(data.size)],
        ["id", data.id], ["configs", fields(data.config)], ["open transactions", data.open_transactions || null],
        ["came in since the start", `${count(data.messages_in)} records, ${bytes(data.bytes_in)}`], ["went out", bytes(data.bytes_out)],
        ["requests", `${count(data.produce)} to write, ${count(data.fetch)} to read`],
      ]} />
    </${Panel}>
    <${Panel} title="Partitions" note=${count(data.partitions)}>
      <${Table} caption="Partitions" items=${data.partition_details} keyOf=${({ partition }) => partition} columns=${[
        { title: "partition", cell: ({ partition, name: stream }) => html`<a href=${`#/queues/${part(data.vhost)}/${part(stream)}`}>${partition}</a>` },
        ...[["first", "start_offset"], ["end", "end_offset"], ["stable", "last_stable_offset"], ["records", "messages"]].map(([title, key]) => ({ title, number: true, cell: (item) => count(item[key]) })),
        { title: "on disk", number: true, cell: ({ size }) => bytes(size) },
        { title: "epoch", number: true, cell: ({ leader_epoch: epoch }) => epoch },
        { title: "producers", number: true, cell: ({ producers }) => count(producers) },
        { title: "transactions", number: true, cell: ({ open_transactions: open }) => count(open) },
      ]} />
      <${More} title="More partitions"><${Form} button="Grow" onSubmit=${({ partitions }) => act(`${name} has ${partitions} partitions`, "PUT", `${own}/partitions`, { body: { partitions: Number(partitions) } })} fields=${[
        { name: "partitions", label: "So many in all", type: "number", required: true, hint: "records stay where they are; keys may go elsewhere from then on" },
      ]} /></${More}>
    </${Panel}>
    <${Configs} topic=${data} path=${own} />
    <${Panel} title="Records"><${Records} path=${own} partitions=${data.partition_details} /></${Panel}>`;
}

function Configs({ topic, path }) {
  const act = useAction();
  const alter = ({ name, value }) => act(value ? `${name} is ${value}` : `${name} is as usual`, "PUT", `${path}/config`, { body: { [name]: value || null } });
  const columns = [
    { title: "name", cell: ({ name }) => html`<code>${name}</code>` },
    { title: "value", cell: ({ value }) => html`<code>${value}</code>` },
    { title: "from", cell: ({ source }) => source },
    { title: "what it is", cell: ({ documentation }) => documentation },
  ];
  const given = topic.configs.filter(({ source }) => source === "topic");
  const reset = end(({ name }) => html`<button type="button" class="small" onClick=${() => alter({ name, value: "" })}>As usual</button>`);
  return html`<${Panel} title="Configs">
    <${Table} caption="Configs that it was given" items=${given} keyOf=${keyOf} empty="everything is as usual" columns=${[...columns, reset]} />
    <${More} title="Alter a config"><${Form} button="Alter" onSubmit=${alter} fields=${[
      { name: "name", label: "Config", options: topic.configs.map(({ name }) => name) },
      { name: "value", label: "Value", hint: "nothing: as usual" },
    ]} /></${More}>
    <${More} title="All configs"><${Table} caption="All configs" items=${topic.configs} keyOf=${keyOf} columns=${columns} /></${More}>
  </${Panel}>`;
}

const ENCODINGS = [["auto", "as text where they are text"], ["hex", "in hexadecimal"], ["base64", "in base64"]];

function Records({ path, partitions }) {
  const app = useApp();
  const [records, setRecords] = useState(null);
  async function look({ partition, offset, count: many, encoding }) {
    const query = new URLSearchParams({ count: many, encoding, ...(offset && { offset }) });
    try {
      setRecords(await call("GET", `${path}/partitions/${partition}/records?${query}`));
    } catch (error) {
      app.notify(error.message, "bad");
    }
    return false;
  }
  return html`<${Form} button="Look" onSubmit=${look} fields=${[
      { name: "partition", label: "Partition", options: partitions.map(({ partition }) => String(partition)) },
      { name: "offset", label: "From offset", type: "number", hint: "nothing: the last ones" },
      { name: "count", label: "How many", type: "number", value: "20", required: true },
      { name: "encoding", label: "Keys and values", options: ENCODINGS },
    ]} />
    ${records && !records.length && html`<p class="empty">the partition has no record there</p>`}
    ${records?.map((record) => html`<article class="message" key=${record.offset}>
      <${Facts} of=${[
        ["offset", record.offset], ["time", moment(record.timestamp)], ["key", record.key], ["size", record.size === undefined ? null : bytes(record.size)],
        ["headers", (record.headers ?? []).map(({ name, value }) => `${name}: ${value}`).join(", ")],
        ["transaction", record.transactional && (record.aborted ? "aborted" : "yes")], ["problem", record.error],
      ]} />
      ${record.error === undefined && html`<pre tabindex="0" aria-label=${`Value at offset ${record.offset}`}>${record.value ?? "(null)"}</pre>`}
    </article>`)}`;
}
