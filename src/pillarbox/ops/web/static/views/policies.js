// Policies and operator policies.

import { html } from "../react.js";
import { part } from "../api.js";
import { useAction, useApp, useLive } from "../live.js";
import { argumentsFrom, end, Form, More, Panel, Table, Waiting } from "../parts.js";
import { lines } from "../format.js";

const KINDS = [["policies", "Policies"], ["operator-policies", "Operator policies"]];
const APPLY_TO = ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"];

export function Policies() {
  return html`<h1>Policies</h1>
    <p class="lead">Of the policies that fit the name of a queue or an exchange, the one with the highest priority counts. An operator policy is laid on top of it.</p>
    ${KINDS.map(([kind, title]) => html`<${Kind} key=${kind} kind=${kind} title=${title} />`)}`;
}

function Kind({ kind, title }) {
  const act = useAction();
  const app = useApp();
  const [{ data, error }, { data: vhosts }] = useLive(`/api/${kind}`, "/api/vhosts?columns=name");
  function save({ vhost, name, pattern, apply, priority, definition }) {
    try {
      const body = { pattern, "apply-to": apply, priority: Number(priority), definition: argumentsFrom(definition) };
      return act(`The policy ${name} is saved`, "PUT", `/api/${kind}/${part(vhost)}/${part(name)}`, { body });
    } catch (problem) {
      app.notify(problem.message, "bad");
      return false;
    }
  }
  return html`<${Panel} title=${title}>
    ${data
      ? html`<${Table} caption=${title} items=${data} keyOf=${({ vhost, name }) => `${vhost}/${name}`} empty="none" columns=${[
          { title: "name", cell: ({ name }) => name },
          { title: "virtual host", cell: ({ vhost }) => vhost },
          { title: "pattern", cell: ({ pattern }) => html`<code>${pattern}</code>` },
          { title: "applies to", cell: ({ "apply-to": apply }) => apply },
          { title: "definition", cell: ({ definition }) => lines(definition).map((line) => html`<span class="under">${line}</span>`) },
          { title: "priority", number: true, cell: ({ priority }) => priority },
          end(({ vhost, name }) => html`<button type="button" class="danger small" onClick=${() => act(`The policy ${name} is gone`, "DELETE", `/api/${kind}/${part(vhost)}/${part(name)}`)}>Clear</button>`),
        ]} />`
      : html`<${Waiting} error=${error} />`}
    <${More} title="Add or change one"><${Form} button="Save" onSubmit=${save} fields=${[
      { name: "vhost", label: "Virtual host", options: (vhosts ?? []).map(({ name }) => name) },
      { name: "name", label: "Name", required: true },
      { name: "pattern", label: "Names that fit", value: ".*", required: true },
      { name: "apply", label: "Applies to", options: kind === "policies" ? APPLY_TO : APPLY_TO.slice(1, -1) },
      { name: "priority", label: "Priority", type: "number", value: "0" },
      { name: "definition", label: "Definition", type: "textarea", required: true, placeholder: "message-ttl = 60000", hint: "a line each: name = value", wide: true },
    ]} /></${More}>
  </${Panel}>`;
}
