// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en");
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export const count = (value) => (Number.isFinite(value) ? whole.format(value) : "–");

/** A rate a second: digits that matter, and nothing for nothing. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  if (value >= 10_000) return `${(value / 1000).toFixed(value >= 100_000 ? 0 : 1)}k`;
  return value >= 100 ? whole.format(Math.round(value)) : value.toFixed(value >= 10 ? 0 : 1);
}

export function short(value) {
  if (!Number.isFinite(value)) return "–";
  const steps = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];
  for (const [size, unit] of steps) {
    if (value >= size) {
      const scaled = value / (unit === "k" ? 1e3 : size);
      return `${scaled.toFixed(scaled >= 100 ? 0 : 1)}${unit}`;
    }
  }
  return whole.format(value);
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "–";
  const seconds = Math.floor(milliseconds / 1000);
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** The largest unit alone: for a column of ages. */
export const age = (milliseconds) => duration(milliseconds).split(" ").slice(0, 2).join(" ");

/** A time of the API, milliseconds or text. */
export const moment = (time) => (time ? new Date(time).toLocaleString() : "–");

/** The rate of one counter in a `message_stats` document. */
export const rateOf = (stats, name) => stats?.[`${name}_details`]?.rate ?? 0;

/** Samples, newest first as the API gives them, as [times in seconds, values]. */
export function series(details) {
  const samples = [...(details?.samples ?? [])].reverse();
  return [samples.map(({ timestamp }) => timestamp / 1000), samples.map(({ sample }) => sample)];
}

/** Samples of a counter as rates: [times, rates]. */
export function rates(details) {
  const [times, values] = series(details);
  const out = values.slice(1).map((value, index) => Math.max(0, (value - values[index]) / (times[index + 1] - times[index])));
  return [times.slice(1), out];
}

/** A table of properties or arguments as lines of text. */
export const lines = (table) => Object.entries(table ?? {}).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`);

/** The same as one line. */
export const fields = (table) => lines(table).join(", ");
