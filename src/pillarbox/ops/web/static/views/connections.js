// Who is connected, and a way to end it.

import { html } from "../react.js";
import { part } from "../api.js";
import { useAction, useLive } from "../live.js";
import { Ask, Facts, Listing, Panel, State, Table, Tag, Waiting } from "../parts.js";
import { age, bytes, count, moment, rate } from "../format.js";

const client = ({ client_properties: properties = {} }) => [properties.product, properties.version].filter(Boolean).join(" ");
const nameOf = (item) => item.user_provided_name || item.client_properties?.connection_name || item.name;
const bytesRate = (item, way) => `${bytes(item[`${way}_oct_details`]?.rate ?? 0)}/s`;

export function Connections() {
  return html`<h1>Connections</h1><${Listing} title="All connections" path="/api/connections" keyOf=${({ name }) => name} empty="nobody is connected" columns=${[
    { title: "name", sort: "name", cell: (item) => html`<a href=${`#/connections/${part(item.name)}`}>${nameOf(item)}</a>${nameOf(item) !== item.name && html`<small class="under">${item.name}</small>`}` },
    { title: "user", sort: "user", cell: ({ user }) => user },
    { title: "virtual host", sort: "vhost", cell: ({ vhost }) => vhost },
    { title: "state", sort: "state", cell: ({ state }) => html`<${State} state=${state} />` },
    { title: "client", cell: client },
    { title: "protocol", sort: "protocol", cell: ({ protocol, ssl }) => html`<span class="whole">${protocol}</span>${ssl && html` <${Tag}>TLS</${Tag}>`}` },
    { title: "channels", sort: "channels", number: true, cell: ({ channels }) => count(channels) },
    { title: "in", sort: "recv_oct_details.rate", number: true, cell: (item) => bytesRate(item, "recv") },
    { title: "out", sort: "send_oct_details.rate", number: true, cell: (item) => bytesRate(item, "send") },
    { title: "for", sort: "connected_at", number: true, cell: ({ connected_at: at }) => (at ? age(Date.now() - at) : "–") },
  ]} />`;
}

export function Connection({ path: [name] }) {
  const act = useAction();
  const own = `/api/connections/${part(name)}`;
  const [{ data, error }, { data: channels }] = useLive(own, `${own}/channels`);
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  async function close(form) {
    const headers = { "x-reason": form.get("reason") || "Closed via management page" };
    if (await act("The connection is closed", "DELETE", own, { headers })) location.hash = "#/connections";
  }
  return html`<h1>${nameOf(data)} <${State} state=${data.state} /></h1>
    <${Panel} title="Connection" actions=${html`<${Ask} label="Close connection" question="Close this connection?" confirm="Close it" onConfirm=${close}>
      <div class="field"><label for="reason">Reason, told to the client</label><input id="reason" name="reason" placeholder="Closed via management page" /></div></${Ask}>`}>
      <${Facts} of=${[
        ["name", data.name], ["user", data.user], ["virtual host", data.vhost], ["protocol", data.protocol],
        ["client", client(data)], ["platform", data.client_properties?.platform], ["connected", moment(data.connected_at)],
        ["heartbeat", data.timeout ? `${data.timeout} s` : "none"], ["largest frame", bytes(data.frame_max)], ["most channels", count(data.channel_max)],
        ["received", bytes(data.recv_oct)], ["sent", bytes(data.send_oct)], ["login", data.auth_mechanism],
        ["TLS", data.ssl ? `${data.ssl_protocol} ${data.ssl_cipher ?? ""}` : null],
      ]} />
    </${Panel}>
    <${Panel} title="Channels">
      <${Table} caption="Channels" items=${channels ?? []} keyOf=${(item) => item.name} empty="it has no channel" columns=${[
        { title: "channel", cell: (item) => html`<a href=${`#/channels/${part(item.name)}`}>${item.number}</a>` },
        { title: "state", cell: ({ state }) => html`<${State} state=${state} />` },
        { title: "prefetch", number: true, cell: ({ prefetch_count: value }) => count(value) },
        { title: "unacknowledged", number: true, cell: ({ messages_unacknowledged: value }) => count(value) },
        { title: "consumers", number: true, cell: ({ consumer_count: value }) => count(value) },
        { title: "publish", number: true, cell: ({ message_stats: stats }) => rate(stats?.publish_details?.rate ?? 0) },
        { title: "deliver", number: true, cell: ({ message_stats: stats }) => rate(stats?.deliver_get_details?.rate ?? 0) },
      ]} />
    </${Panel}>`;
}
