// Groups of Kafka's consumers: how far they are behind, who is in them, and why they are stuck.

import { html, useState } from "../react.js";
import { part } from "../api.js";
import { useAction, useApp, useHistory, useLive } from "../live.js";
import { Ask, Chart, Explanation, Facts, Form, Listing, More, Panel, Spark, State, Table, Tag, Waiting } from "../parts.js";
import { age, count, moment, rate, rates, series } from "../format.js";

const WINDOW = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";
const link = (name) => `#/groups/${part(name)}`;
const keyOf = ({ name }) => name;
/** A lag that nobody knows is not 0. */
const lagOf = ({ lag }) => (lag === null ? html`<span title="not known: nothing was committed">?</span>` : count(lag));
const readOf = ({ committed_details: details }) => `${rate(Math.max(0, details?.rate ?? 0))}/s`;

export function Groups() {
  const [items, setItems] = useState(null);
  const history = useHistory(items, keyOf, ({ lag }) => lag ?? 0);
  return html`<h1>Groups</h1>
    <p class="lead">Consumers that share the partitions of topics among them. The lag is what a group has yet to read, counted from what it has committed.</p>
    <${Listing} title="All groups" path="/api/kafka/groups" keyOf=${keyOf} empty="no group yet" decorate=${(now) => now !== items && setItems(now)} columns=${[
      { title: "name", sort: "name", cell: ({ name, type }) => html`<a href=${link(name)}>${name}</a> ${type !== "classic" && html`<${Tag}>${type}</${Tag}>`}` },
      { title: "state", sort: "state", cell: ({ state }) => html`<${State} state=${state} />` },
      { title: "topics", cell: ({ topics }) => topics.map((topic) => html`<a class="tag" href=${`#/topics/${part(topic)}`}>${topic}</a>`) },
      { title: "members", sort: "members", number: true, cell: ({ members }) => count(members) },
      { title: "partitions", sort: "partitions", number: true, cell: ({ partitions }) => count(partitions) },
      { title: "lag", sort: "lag", number: true, cell: lagOf },
      { title: "", cell: (group) => html`<${Spark} values=${history(group)} label="lag in the last minutes" />` },
      { title: "read", sort: "committed_details.rate", number: true, cell: readOf },
    ]} />`;
}

export function Group({ path: [name] }) {
  const act = useAction();
  const own = `/api/kafka/groups/${part(name)}`;
  const [{ data, error }, { data: explained }] = useLive(`${own}?${WINDOW}`, `${own}/explain`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  const remove = async () => {
    if (await act(`The group ${name} is gone`, "DELETE", own)) location.hash = "#/groups";
  };
  return html`
    <h1>${name} <${State} state=${data.state} /></h1>
    ${explained && html`<${Explanation} of=${explained} />`}
    <div class="columns">
      <${Panel} title="Lag" note="last ten minutes"><${Chart} label="Records that were not read" lines=${[{ label: "behind", colour: "--red", points: series(data.lag_details) }]} /></${Panel}>
      <${Panel} title="Read" note="records a second"><${Chart} label="Records that are read" format=${rate} lines=${[{ label: "read", colour: "--blue", points: rates(data.committed_details) }]} /></${Panel}>
    </div>
    <${Panel} title="Details" actions=${html`<${Ask} label="Delete" question="Forget ${name}?" confirm="Forget it" onConfirm=${remove}><p>Its offsets go with it. Only a group without members can be forgotten.</p></${Ask}>`}>
      <${Facts} of=${[
        ["lag", lagOf(data)], ["members", count(data.members)], ["partitions", count(data.partitions)],
        ["partitions without a lag", data.partitions_without_lag || null], ["type", data.type], ["dealt out by", data.protocol],
        ["generation", count(data.generation)], ["in this state since", data.state_since && moment(data.state_since)],
      ]} />
    </${Panel}>
    <${Panel} title="Members" note=${count(data.members)}><${Members} items=${data.member_details} /></${Panel}>
    <${Panel} title="Offsets" note=${count(data.partitions)}><${Offsets} items=${data.offset_details} /></${Panel}>
    <${Panel} title="What to do"><${More} title="Reset offsets"><${Reset} name=${name} path=${own} topics=${data.topics} /></${More}></${Panel}>`;
}

function Members({ items }) {
  return html`<${Table} caption="Members" items=${items} keyOf=${({ member_id: id }) => id} empty="nobody is in it" columns=${[
    { title: "client", cell: ({ client_id: client, member_id: id, instance_id: instance }) => html`${client}<small class="under">${instance ?? id}</small>` },
    { title: "from", cell: ({ host }) => host },
    { title: "reads", cell: ({ assignment }) => Object.entries(assignment).map(([topic, numbers]) => html`<span class="under">${topic}: ${numbers.join(", ")}</span>`) },
    { title: "partitions", number: true, cell: ({ partitions }) => count(partitions) },
    { title: "waits for", cell: ({ waits_for: what }) => what },
    { title: "heard of", number: true, cell: ({ silent_ms: milliseconds }) => `${age(milliseconds)} ago` },
  ]} />`;
}

function Offsets({ items }) {
  return html`<${Table} caption="Offsets" items=${items} keyOf=${keyOf} empty="it has committed nothing, and reads nothing" columns=${[
    { title: "topic", cell: ({ topic }) => html`<a href=${`#/topics/${part(topic)}`}>${topic}</a>` },
    { title: "partition", number: true, cell: ({ partition }) => partition },
    { title: "committed", number: true, cell: ({ committed_offset: offset }) => (offset === null ? "–" : count(offset)) },
    { title: "end", number: true, cell: ({ end_offset: offset }) => (offset === null ? "gone" : count(offset)) },
    { title: "lag", number: true, cell: lagOf },
    { title: "read by", cell: ({ client_id: client, host }) => client && `${client} (${host})` },
    { title: "committed at", cell: ({ committed_at: time }) => time && moment(time) },
  ]} />`;
}

const PLACES = [
  ["earliest", "the first record that is there"], ["latest", "the end"], ["offset", "an offset"],
  ["shift", "so many further (or back)"], ["time", "a time"],
];

function Reset({ name, path, topics }) {
  const act = useAction();
  const app = useApp();
  const [{ data }] = useLive("/api/kafka/topics?columns=name");
  const known = [...new Set([...topics, ...(data ?? []).map(keyOf)])];
  function reset({ topic, to, value }) {
    const body = { topic, to };
    if (to === "offset" || to === "shift") body.offset = Number(value);
    if (to === "time") body.timestamp = new Date(value).getTime();
    if (Number.isNaN(body.offset ?? body.timestamp)) {
      app.notify(`“${value}” is no ${to === "time" ? "time" : "number"}`, "bad");
      return false;
    }
    return act(`${name} goes on elsewhere in ${topic}`, "PUT", `${path}/offsets`, { body });
  }
  return html`<${Form} button="Reset" onSubmit=${reset} fields=${[
    { name: "topic", label: "Topic", options: known },
    { name: "to", label: "Go on at", options: PLACES },
    { name: "value", label: "Which", hint: "an offset, how many, or a time such as 2026-11-29 12:30" },
  ]} />`;
}
