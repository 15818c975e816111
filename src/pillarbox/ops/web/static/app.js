// The page: signing in, the frame around every view, and which view stands for which place.

import { html, render, useCallback, useEffect, useMemo, useRef, useState } from "./react.js";
import { credentials, get } from "./api.js";
import { App, useApp, useLive, usePlace } from "./live.js";
import { Icon } from "./parts.js";
import { Overview } from "./views/overview.js";
import { Connection, Connections } from "./views/connections.js";
import { Channel, Channels } from "./views/channels.js";
import { Exchange, Exchanges } from "./views/exchanges.js";
import { Queue, Queues, Streams } from "./views/queues.js";
import { Topic, Topics } from "./views/topics.js";
import { Group, Groups } from "./views/groups.js";
import { Destination, Destinations, Subscribers } from "./views/destinations.js";
import { User, Users } from "./views/users.js";
import { VHosts } from "./views/vhosts.js";
import { Policies } from "./views/policies.js";
import { Definitions } from "./views/definitions.js";

// A place has a list, and some a page for one of its items: `#/queues` and `#/queues/vhost/name`. `needs`: protocols
// of which one has to be spoken here; views that nobody has a use for are not in the menu.
const MESSAGING = ["stomp", "mqtt", "http/activemq"];
const VIEWS = {
  overview: { title: "Overview", icon: "overview", list: Overview },
  connections: { title: "Connections", icon: "connection", list: Connections, one: Connection },
  channels: { title: "Channels", icon: "channel", list: Channels, one: Channel },
  exchanges: { title: "Exchanges", icon: "exchange", list: Exchanges, one: Exchange },
  queues: { title: "Queues", icon: "queue", list: Queues, one: Queue },
  streams: { title: "Streams", icon: "stream", list: Streams },
  topics: { title: "Topics", icon: "topic", list: Topics, one: Topic, needs: ["kafka"] },
  groups: { title: "Groups", icon: "group", list: Groups, one: Group, needs: ["kafka"] },
  destinations: { title: "Destinations", icon: "destination", list: Destinations, one: Destination, needs: MESSAGING },
  subscribers: { title: "Subscribers", icon: "subscriber", list: Subscribers, needs: MESSAGING },
  users: { title: "Users", icon: "user", list: Users, one: User },
  vhosts: { title: "Virtual hosts", icon: "vhost", list: VHosts },
  policies: { title: "Policies", icon: "policy", list: Policies },
  definitions: { title: "Definitions", icon: "file", list: Definitions },
};
const THEMES = ["system", "light", "dark"];
const NOTICE_MS = 6000;

function Login({ reason, onDone }) {
  const [error, setError] = useState(reason);
  const first = useRef(null);
  useEffect(() => first.current.focus(), []);
  async function submit(event) {
    event.preventDefault();
    const { user, password } = event.target.elements;
    credentials.set(user.value, password.value);
    try {
      onDone(await get("/api/whoami"));
    } catch (problem) {
      credentials.forget();
      setError(problem.message);
    }
  }
  return html`<main class="login">
    <form onSubmit=${submit}>
      <img src="icon.svg" alt="" width="56" height="56" />
      <h1>Pillarbox</h1>
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      <div class="field"><label for="user">User</label><input id="user" name="user" ref=${first} required autocomplete="username" /></div>
      <div class="field"><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" /></div>
      <button class="strong">Sign in</button>
    </form>
  </main>`;
}

function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  function next() {
    const chosen = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("pillarbox.theme", chosen);
    setTheme(chosen);
    dispatchEvent(new Event("themechange"));
  }
  return html`<button type="button" class="plain" onClick=${next} title="Colours: ${theme}" aria-label="Colours: ${theme}"><${Icon} name=${`theme-${theme}`} /></button>`;
}

function Menu({ current }) {
  const menu = useRef(null);
  const [{ data: spoken }] = useLive("/api/protocols");
  const shown = Object.entries(VIEWS).filter(([, { needs }]) => !needs || needs.some((name) => spoken?.includes(name)));
  // On a narrow screen the menu is one line, longer than the screen.
  useEffect(() => {
    const { offsetLeft = 0 } = menu.current.querySelector("[aria-current]") ?? {};
    menu.current.scrollTo({ left: offsetLeft - 60 });
  }, [current]);
  return html`<nav class="menu" aria-label="Views" ref=${menu}>${shown.map(([name, { title, icon }]) => html`
    <a key=${name} href=${`#/${name}`} aria-current=${name === current ? "page" : undefined}><${Icon} name=${icon} /><span>${title}</span></a>`)}</nav>`;
}

function Head({ user, online }) {
  const app = useApp();
  const [{ data }] = useLive("/api/overview?columns=cluster_name");
  return html`<header class="top">
    <a class="brand" href="#/overview"><img src="icon.svg" alt="" width="26" height="26" />Pillarbox</a>
    <span class="where">${data?.cluster_name}</span>
    <span class="pulse ${online ? "on" : "off"}" role="status">${online ? "live" : "not reached"}</span>
    <span class="who">${user.name}</span>
    <${Theme} />
    <button type="button" class="plain" onClick=${() => app.logout()}>Sign out</button>
  </header>`;
}

function Frame({ user, logout }) {
  const { path: [name, ...rest], query } = usePlace();
  const [notices, setNotices] = useState([]);
  const [online, setOnline] = useState(true);
  const main = useRef(null);
  const notify = useCallback((text, kind) => {
    const notice = { text, kind };
    setNotices((before) => [...before.slice(-3), notice]);
    setTimeout(() => setNotices((before) => before.filter((other) => other !== notice)), NOTICE_MS);
  }, []);
  const app = useMemo(() => ({ user, notify, logout, connected: setOnline }), [user, notify, logout]);
  const current = name in VIEWS ? name : "overview";
  const { title, list, one } = VIEWS[current];
  const View = rest.length && one ? one : list;

  useEffect(() => {
    document.title = `${rest.at(-1) ?? title} · Pillarbox`;
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [current, rest.join("/")]);
  useEffect(() => {
    const keyed = (event) => {
      if (event.key !== "/" || event.target.closest("input, textarea, select, dialog")) return;
      const filter = document.querySelector("[data-filter]");
      if (filter) {
        event.preventDefault();
        filter.focus();
      }
    };
    addEventListener("keydown", keyed);
    return () => removeEventListener("keydown", keyed);
  }, []);

  return html`<${App.Provider} value=${app}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <${Head} user=${user} online=${online} />
    <${Menu} current=${current} />
    <main id="main" ref=${main} tabindex="-1"><${View} key=${[current, ...rest].join("/")} path=${rest} query=${query} /></main>
    <div class="notices" aria-live="polite">${notices.map(({ text, kind }) => html`<p class="notice ${kind}">${text}</p>`)}</div>
  </${App.Provider}>`;
}

function Page() {
  const [user, setUser] = useState(null);
  const [reason, setReason] = useState("");
  const [asked, setAsked] = useState(!credentials.known());
  const logout = useCallback((why = "") => {
    credentials.forget();
    setReason(why);
    setUser(null);
  }, []);
  useEffect(() => {
    if (credentials.known()) get("/api/whoami").then(setUser, ({ message }) => logout(message)).finally(() => setAsked(true));
  }, []);
  if (!asked) return null;
  return user ? html`<${Frame} user=${user} logout=${logout} />` : html`<${Login} reason=${reason} onDone=${setUser} />`;
}

render(html`<${Page} />`, document.getElementById("app"));
