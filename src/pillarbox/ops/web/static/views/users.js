// Users and what they may do.

import { html } from "../react.js";
import { part } from "../api.js";
import { useAction, useLive } from "../live.js";
import { Ask, end, Form, More, Panel, Table, Tag, Waiting } from "../parts.js";

const tagsOf = ({ tags }) => (Array.isArray(tags) ? tags : (tags ?? "").split(",").filter(Boolean));
const RULES = [["configure", "Configure"], ["write", "Write"], ["read", "Read"]];

export function Users() {
  const act = useAction();
  const [{ data, error }, { data: permissions }] = useLive("/api/users", "/api/permissions");
  if (!data) return html`<h1>Users</h1><${Waiting} error=${error} />`;
  const hosts = (name) => (permissions ?? []).filter(({ user }) => user === name).map(({ vhost }) => vhost);
  return html`<h1>Users</h1>
    <${Panel} title="All users">
      <${Table} caption="Users" items=${data} keyOf=${({ name }) => name} columns=${[
        { title: "name", cell: ({ name }) => html`<a href=${`#/users/${part(name)}`}>${name}</a>` },
        { title: "tags", cell: (user) => tagsOf(user).map((tag) => html`<${Tag}>${tag}</${Tag}>`) },
        { title: "may enter", cell: ({ name }) => hosts(name).join(", ") || "nothing" },
        { title: "password", cell: ({ password_hash: hash }) => (hash ? "yes" : "none") },
      ]} />
    </${Panel}>
    <${More} title="Add or change a user"><${Form} button="Save" onSubmit=${({ name, password, tags }) => act(`The user ${name} is saved`, "PUT", `/api/users/${part(name)}`, { body: { password, tags } })} fields=${[
      { name: "name", label: "Name", required: true },
      { name: "password", label: "Password", type: "password", required: true },
      { name: "tags", label: "Tags", hint: "administrator, monitoring, policymaker, management, with commas between" },
    ]} /></${More}>`;
}

export function User({ path: [name] }) {
  const act = useAction();
  const own = `/api/users/${part(name)}`;
  const [{ data, error }, { data: permissions }, { data: vhosts }] = useLive(own, `${own}/permissions`, "/api/vhosts?columns=name");
  if (!data) return html`<h1>${name}</h1><${Waiting} error=${error} />`;
  const remove = async () => {
    if (await act(`The user ${name} is deleted`, "DELETE", own)) location.hash = "#/users";
  };
  const grant = ({ vhost, ...rules }) => act(`${name} may enter ${vhost}`, "PUT", `/api/permissions/${part(vhost)}/${part(name)}`, { body: rules });
  return html`<h1>${name} <small>${tagsOf(data).join(", ")}</small></h1>
    <${Panel} title="Permissions" actions=${html`<${Ask} label="Delete user" question="Delete ${name}?" confirm="Delete it" onConfirm=${remove}><p>Its connections stay until they are closed.</p></${Ask}>`}>
      <${Table} caption="Permissions" items=${permissions ?? []} keyOf=${({ vhost }) => vhost} empty="none: it can enter no virtual host" columns=${[
        { title: "virtual host", cell: ({ vhost }) => vhost },
        ...RULES.map(([rule]) => ({ title: rule, cell: (item) => html`<code>${item[rule] || "^$"}</code>` })),
        end(({ vhost }) => html`<button type="button" class="danger small" onClick=${() => act("The permission is gone", "DELETE", `/api/permissions/${part(vhost)}/${part(name)}`)}>Revoke</button>`),
      ]} />
      <${More} title="Set a permission"><${Form} button="Set" onSubmit=${grant} fields=${[
        { name: "vhost", label: "Virtual host", options: (vhosts ?? []).map((one) => one.name) },
        ...RULES.map(([rule, label]) => ({ name: rule, label: `${label}: names that fit`, value: ".*" })),
      ]} /></${More}>
    </${Panel}>`;
}
