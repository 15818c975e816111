// Channels and what they hold.

import { html } from "../react.js";
import { part } from "../api.js";
import { useLive } from "../live.js";
import { Facts, Listing, Panel, State, Table, Tag, Waiting } from "../parts.js";
import { count, moment, rate, rateOf } from "../format.js";

const modes = ({ confirm, transactional }) => html`${confirm && html`<${Tag} title="publisher confirms">confirms</${Tag}>`}${transactional && html`<${Tag} title="transactions">tx</${Tag}>`}`;

export function Channels() {
  return html`<h1>Channels</h1><${Listing} title="All channels" path="/api/channels" keyOf=${({ name }) => name} empty="no channel is open" columns=${[
    { title: "channel", sort: "name", cell: ({ name }) => html`<a class="whole" href=${`#/channels/${part(name)}`}>${name}</a>` },
    { title: "user", sort: "user", cell: ({ user }) => user },
    { title: "virtual host", sort: "vhost", cell: ({ vhost }) => vhost },
    { title: "mode", cell: modes },
    { title: "state", sort: "state", cell: ({ state }) => html`<${State} state=${state} />` },
    { title: "prefetch", sort: "prefetch_count", number: true, cell: ({ prefetch_count: own, global_prefetch_count: all }) => (all ? `${own} (${all} in all)` : count(own)) },
    { title: "unacked", sort: "messages_unacknowledged", number: true, cell: ({ messages_unacknowledged: value }) => count(value) },
    { title: "consumers", sort: "consumer_count", number: true, cell: ({ consumer_count: value }) => count(value) },
    { title: "publish", sort: "message_stats.publish_details.rate", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "publish")) },
    { title: "deliver", sort: "message_stats.deliver_get_details.rate", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "deliver_get")) },
    { title: "ack", sort: "message_stats.ack_details.rate", number: true, cell: ({ message_stats: stats }) => rate(rateOf(stats, "ack")) },
  ]} />`;
}

export function Channel({ path: [name] }) {
  const [{ data, error }] = useLive(`/api/channels/${part(name)}`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  const connection = data.connection_details?.name;
  return html`<h1>${name} <${State} state=${data.state} /></h1>
    <${Panel} title="Channel">
      <${Facts} of=${[
        ["connection", connection && html`<a href=${`#/connections/${part(connection)}`}>${connection}</a>`],
        ["user", data.user], ["virtual host", data.vhost], ["mode", modes(data)],
        ["prefetch of new consumers", count(data.prefetch_count)], ["prefetch of the channel", count(data.global_prefetch_count)],
        ["unacknowledged", count(data.messages_unacknowledged)], ["unconfirmed", count(data.messages_unconfirmed)],
        ["uncommitted", count(data.messages_uncommitted)], ["idle since", data.idle_since && moment(data.idle_since)],
      ]} />
    </${Panel}>
    <${Panel} title="Consumers"><${ConsumerTable} items=${data.consumer_details ?? []} showQueue /></${Panel}>`;
}

export function ConsumerTable({ items, showQueue }) {
  const where = showQueue
    ? { title: "queue", cell: ({ queue }) => html`<a href=${`#/queues/${part(queue.vhost)}/${part(queue.name)}`}>${queue.name}</a>` }
    : { title: "channel", cell: ({ channel_details: { name } }) => html`<a class="whole" href=${`#/channels/${part(name)}`}>${name}</a>` };
  return html`<${Table} caption="Consumers" items=${items} keyOf=${(item) => `${item.channel_details?.name}${item.consumer_tag}`} empty="no consumers" columns=${[
    where,
    { title: "tag", cell: ({ consumer_tag: tag }) => html`<code>${tag}</code>` },
    { title: "acknowledges", cell: ({ ack_required: yes }) => (yes ? "yes" : "no") },
    { title: "exclusive", cell: ({ exclusive: yes }) => (yes ? "yes" : "no") },
    { title: "prefetch", number: true, cell: ({ prefetch_count: value }) => (value ? count(value) : "unlimited") },
    { title: "status", cell: ({ active, activity_status: status }) => status ?? (active === false ? "no" : "yes") },
  ]} />`;
}
