// Users, virtual hosts, queues, exchanges, bindings and policies as one file, out and in.

import { html, useRef, useState } from "../react.js";
import { get, part } from "../api.js";
import { useAction, useApp, useLive } from "../live.js";
import { Button, Panel } from "../parts.js";
import { count } from "../format.js";

export function Definitions() {
  const act = useAction();
  const app = useApp();
  const file = useRef(null);
  const [vhost, setVHost] = useState("");
  const [read, setRead] = useState(null);
  const [{ data: vhosts }] = useLive("/api/vhosts?columns=name");
  const path = vhost ? `/api/definitions/${part(vhost)}` : "/api/definitions";

  async function download() {
    try {
      const blob = new Blob([JSON.stringify(await get(path), null, 2)], { type: "application/json" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = "definitions.json";
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      app.notify(error.message, "bad");
    }
  }
  async function choose() {
    const [chosen] = file.current.files;
    try {
      setRead(chosen ? JSON.parse(await chosen.text()) : null);
    } catch {
      setRead(null);
      app.notify(`${chosen.name} is not JSON`, "bad");
    }
  }
  async function upload(event) {
    event.preventDefault();
    if (read && (await act("The definitions are imported", "POST", path, { body: read }))) {
      setRead(null);
      event.target.reset();
    }
  }
  const found = Object.entries(read ?? {}).filter(([, value]) => Array.isArray(value)).map(([name, value]) => `${count(value.length)} ${name.replaceAll("_", " ")}`);
  return html`<h1>Definitions</h1>
    <p class="lead">Everything but the messages, in the file format of RabbitMQ. An import adds and changes; it never deletes.</p>
    <div class="field"><label for="definitions-vhost">Of</label><select id="definitions-vhost" value=${vhost} onChange=${(event) => setVHost(event.target.value)}>
      <option value="">the whole broker</option>${(vhosts ?? []).map(({ name }) => html`<option value=${name}>${name}</option>`)}</select></div>
    <div class="columns">
      <${Panel} title="Export"><p>Passwords are in it only as hashes.</p><button type="button" class="strong" onClick=${download}>Download</button></${Panel}>
      <${Panel} title="Import"><form class="one" onSubmit=${upload}>
        <div class="field"><label for="definitions-file">File</label><input id="definitions-file" ref=${file} type="file" accept="application/json,.json" required onChange=${choose} /></div>
        ${read && html`<p>${found.join(", ") || "nothing known is in it"}</p>`}
        <${Button} class="strong" off=${!read}>Import</${Button}>
      </form></${Panel}>
    </div>`;
}
