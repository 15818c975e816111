// What every view is made of: tables, charts, forms, dialogs.

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "./react.js";
import { useLive, useSettled } from "./live.js";
import { count } from "./format.js";

export const Icon = ({ name }) => html`<svg class="icon" aria-hidden="true"><use href="icons.svg#${name}" /></svg>`;

export function Panel({ title, note, actions, children, ...rest }) {
  return html`<section class="panel" ...${rest}>
    ${title && html`<header><h2>${title}</h2>${note && html`<span class="note">${note}</span>`}<div class="actions">${actions}</div></header>`}
    ${children}
  </section>`;
}

export function Tile({ label, value, note, tone, href }) {
  const inner = html`<span class="label">${label}</span><span class="value">${value}</span><span class="note">${note}</span>`;
  return href ? html`<a class="tile ${tone ?? ""}" href=${href}>${inner}</a>` : html`<div class="tile ${tone ?? ""}">${inner}</div>`;
}

/** What is done with a row; stands at its right end. */
export const end = (cell) => ({ title: "", number: true, cell });

/** The state of a queue in RabbitMQ's words: what is idle says since when. */
export const stateOf = ({ state, idle_since: since }) => (state === "running" && since ? "idle" : state);

const STATES = {
  running: "good", idle: "calm", flow: "warm", blocked: "bad", blocking: "warm", down: "bad",
  active: "good", offline: "calm",
  Stable: "good", Empty: "calm", PreparingRebalance: "warm", CompletingRebalance: "warm", Assigning: "warm", Reconciling: "warm",
};
export const State = ({ state }) => html`<span class="state ${STATES[state] ?? "calm"}">${state ?? "–"}</span>`;

export const Tag = ({ children, title = children }) => html`<span class="tag" title=${title}>${children}</span>`;

export function Spark({ values, label }) {
  const max = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(22 - (value / max) * 20).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${values.length > 1 && html`<polygon points=${`0,24 ${points.join(" ")} 100,24`} /><polyline points=${points.join(" ")} />`}
  </svg>`;
}

const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const EMPTY_S = 600;

/**
 * Lines over time, with the values at the pointer below, or else the newest. `lines`: {label, colour (a CSS variable), points: [times in s, values]}.
 */
export function Chart({ lines, format = count, height = 190, label }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [theme, setTheme] = useState(0);
  const sampled = lines.reduce((longest, { points: [own] }) => (own.length > longest.length ? own : longest), []);
  // Without samples there is still something to draw: the time, and nothing in it.
  const times = sampled.length > 1 ? sampled : [Date.now() / 1000 - EMPTY_S, Date.now() / 1000];
  const data = [times, ...lines.map(({ points: [own, values] }) => {
    const byTime = new Map(own.map((time, index) => [time, values[index]]));
    return times.map((time) => byTime.get(time) ?? null);
  })];

  useEffect(() => {
    const again = () => setTheme((number) => number + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", again);
    addEventListener("themechange", again);
    return () => { media.removeEventListener("change", again); removeEventListener("themechange", again); };
  }, []);

  useLayoutEffect(() => {
    const [ink, rule] = [style("--ink-soft"), style("--rule")];
    const axis = { stroke: ink, font: `11px ${style("--mono")}`, grid: { stroke: rule, width: 1 }, ticks: { show: false } };
    const made = new uPlot({
      width: box.current.clientWidth,
      height,
      padding: [8, 28, 0, 0],
      cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high ?? 1) * 1.1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 30, values: (_, ticks) => ticks.map((tick) => CLOCK.format(tick * 1000)) },
        { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (tick % 1 && format === count ? "" : format(tick))) },
      ],
      series: [
        { label: "time", value: (chart, time) => CLOCK.format((time ?? chart.data[0].at(-1)) * 1000) },
        ...lines.map(({ label: name, colour }) => ({
          label: name,
          stroke: style(colour),
          fill: `color-mix(in srgb, ${style(colour)} 9%, transparent)`,
          width: 1.75,
          points: { show: false },
          value: (chart, value, series) => format(value ?? chart.data[series].at(-1)),
        })),
      ],
    }, data, box.current);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: box.current.clientWidth, height }));
    observer.observe(box.current);
    return () => { observer.disconnect(); made.destroy(); };
  }, [theme, lines.map(({ label: name }) => name).join()]);

  useLayoutEffect(() => plot.current?.setData(data), [JSON.stringify(data)]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

/**
 * Rows in columns. A column: {name, title, cell(item), sort (field of the API), number, wide}.
 * With `sorting` and `onSort` its heads sort.
 */
export function Table({ columns, items, keyOf, sorting, onSort, empty = "nothing here", caption }) {
  return html`<div class="scroll"><table>
    <caption class="hidden">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.number ? "number" : ""} aria-sort=${
      sorting && sorting.by === column.sort && column.sort ? (sorting.down ? "descending" : "ascending") : undefined}>
      ${column.sort && onSort
        ? html`<button type="button" class="plain" onClick=${() => onSort({ by: column.sort, down: sorting.by === column.sort ? !sorting.down : !!column.number })}>${column.title}</button>`
        : column.title}</th>`)}</tr></thead>
    <tbody>
      ${items.map((item) => html`<tr key=${keyOf(item)}>${columns.map((column) => html`<td class=${column.number ? "number" : ""}>${column.cell(item)}</td>`)}</tr>`)}
      ${!items.length && html`<tr><td class="empty" colspan=${columns.length}>${empty}</td></tr>`}
    </tbody>
  </table></div>`;
}

/** A button that may be off. It keeps the focus then, which a disabled one would lose. */
export function Button({ off, onClick, children, ...rest }) {
  const clicked = (event) => (off ? event.preventDefault() : onClick?.());
  return html`<button ...${rest} aria-disabled=${off ? "true" : undefined} onClick=${clicked}>${children}</button>`;
}

/** Why there is nothing to show: it is on its way, or there was an error. */
export function Waiting({ error }) {
  return error ? html`<p class="problem" role="alert">${error.message}</p>` : html`<p class="waiting">loading …</p>`;
}

/**
 * A list of the API in pages, filtered and sorted by the broker.
 * `path` may have parameters of its own; `decorate(items)` may return more for the cells.
 */
export function Listing({ path, columns, keyOf, title, actions, first, pageSize = 100, empty, decorate }) {
  const [filter, setFilter] = useState("");
  const [regex, setRegex] = useState(false);
  const [page, setPage] = useState(1);
  const [sorting, setSorting] = useState(first ?? { by: "name", down: false });
  const name = useSettled(filter);
  const parameters = new URLSearchParams({
    page, page_size: pageSize, name, use_regex: regex, sort: sorting.by, sort_reverse: sorting.down, pagination: true,
  });
  const [{ data, error }] = useLive(`${path}${path.includes("?") ? "&" : "?"}${parameters}`);
  const kept = useRef(null);
  kept.current = data ?? (error ? null : kept.current);
  const shown = kept.current;
  const input = useId();
  decorate?.(shown?.items);
  useEffect(() => setPage(1), [name, regex]);
  return html`<${Panel} title=${title} note=${shown && (shown.filtered_count === shown.total_count ? count(shown.total_count) : `${count(shown.filtered_count)} of ${count(shown.total_count)}`)} actions=${actions}>
    <div class="filter">
      <label class="hidden" for=${input}>Filter by name</label>
      <input id=${input} type="search" data-filter placeholder="filter by name  ( / )" value=${filter} onInput=${(event) => setFilter(event.target.value)} />
      <label class="check"><input type="checkbox" checked=${regex} onChange=${(event) => setRegex(event.target.checked)} /> regular expression</label>
      ${shown && shown.page_count > 1 && html`<nav class="pages" aria-label="Pages">
        <${Button} type="button" off=${page <= 1} onClick=${() => setPage(page - 1)}>previous</${Button}>
        <span>${page} / ${shown.page_count}</span>
        <${Button} type="button" off=${page >= shown.page_count} onClick=${() => setPage(page + 1)}>next</${Button}>
      </nav>`}
    </div>
    ${error && html`<p class="problem" role="alert">${error.message}</p>`}
    ${shown ? html`<${Table} caption=${title} columns=${columns} items=${shown.items} keyOf=${keyOf} sorting=${sorting} onSort=${setSorting} empty=${name ? "no name fits" : empty} />` : !error && html`<${Waiting} />`}
  </${Panel}>`;
}

/** Why something is as it is, in words. */
export const Explanation = ({ of: { summary, findings = [] } }) => html`<section class="explanation" aria-label="Explanation"><p>${summary}</p>
  ${findings.length > 0 && html`<ul>${findings.map(({ text, severity }) => html`<li class=${severity}>${text}</li>`)}</ul>`}
</section>`;

/** Names and values. */
export const Facts = ({ of }) => html`<dl class="facts">${of.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/**
 * A form from a table of fields: {name, label, type, value, options, required, hint, wide}.
 * `onSubmit(values)` returns whether it went well; then the form is emptied.
 */
export function Form({ fields, onSubmit, button, tone }) {
  const id = useId();
  const form = useRef(null);
  const [busy, setBusy] = useState(false);
  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const values = Object.fromEntries(fields.map(({ name, type }) => {
      const input = form.current.elements[name];
      return [name, type === "checkbox" ? input.checked : input.value];
    }));
    setBusy(true);
    const well = await onSubmit(values);
    setBusy(false);
    if (well && form.current) form.current.reset();
  }
  return html`<form ref=${form} onSubmit=${submit}>
    ${fields.map((field) => html`<div class=${`field ${field.wide ? "wide" : ""} ${field.type === "checkbox" ? "check" : ""}`}>
      <label for=${id + field.name}>${field.label}</label><${Input} id=${id + field.name} field=${field} />
      ${field.hint && html`<small>${field.hint}</small>`}
    </div>`)}
    <div class="field send"><${Button} class=${tone ?? "strong"} off=${busy}>${button}</${Button}></div>
  </form>`;
}

function Input({ id, field: { name, type = "text", value, options, required, placeholder } }) {
  if (options) {
    return html`<select id=${id} name=${name}>${options.map((option) => {
      const [key, label] = Array.isArray(option) ? option : [option, option];
      return html`<option value=${key} selected=${key === value}>${label}</option>`;
    })}</select>`;
  }
  if (type === "textarea") return html`<textarea id=${id} name=${name} rows="4" required=${required} placeholder=${placeholder}>${value}</textarea>`;
  if (type === "checkbox") return html`<input id=${id} name=${name} type="checkbox" defaultChecked=${value} />`;
  return html`<input id=${id} name=${name} type=${type} defaultValue=${value} required=${required} placeholder=${placeholder} autocomplete="off" />`;
}

/** Something that opens when it is wanted. */
export const More = ({ title, children, open }) => html`<details class="more" open=${open}><summary>${title}</summary><div class="inside">${children}</div></details>`;

/**
 * A button that asks before it does something that cannot be undone.
 * Who presses Enter twice has cancelled; Enter in a field is a yes.
 */
export function Ask({ label, question, confirm = label, onConfirm, tone = "danger", children }) {
  const dialog = useRef(null);
  const id = useId();
  return html`<button type="button" class=${tone} onClick=${() => dialog.current.showModal()}>${label}</button>
    <dialog ref=${dialog} aria-labelledby=${id}>
      <form method="dialog" onSubmit=${(event) => { onConfirm(new FormData(event.target)); }}>
        <h2 id=${id}>${question}</h2>${children}
        <div class="buttons"><button type="button" autofocus onClick=${() => dialog.current.close()}>Cancel</button><button class=${tone}>${confirm}</button></div>
      </form>
    </dialog>`;
}

/** Lines `name = value` as pairs of texts. */
export function linesFrom(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`“${line}” is not of the form name = value`);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}

/** The same as a table of arguments; numbers, true and false are taken as such. */
export function argumentsFrom(text) {
  const entries = linesFrom(text).map(([name, value]) => {
    if (/^-?\d+$/.test(value)) return [name, Number(value)];
    if (/^(true|false|[[{"].*)$/.test(value)) return [name, JSON.parse(value)];
    return [name, value];
  });
  return Object.fromEntries(entries);
}
