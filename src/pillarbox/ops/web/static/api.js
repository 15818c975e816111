// The management API: one function to call it, one to follow documents of it as they change.

const KEY = "pillarbox.authorization";
const POLL_MS = 5000;

/** The event that tells what follows documents that something has just been done to them. */
export const ACTED = "acted";

/** The word for a login that does not hold, with 401. What a user may not do has the same status, and RabbitMQ's other spelling. */
const LOGIN_FAILED = "not_authorized";

export class ApiError extends Error {
  constructor(status, reason, word) {
    super(reason);
    this.status = status;
    this.ofLogin = status === 401 && word === LOGIN_FAILED;
  }
}

export const part = encodeURIComponent;

export const credentials = {
  set(user, password) {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    sessionStorage.setItem(KEY, `Basic ${btoa(String.fromCharCode(...bytes))}`);
  },
  forget: () => sessionStorage.removeItem(KEY),
  known: () => sessionStorage.getItem(KEY) !== null,
};

function request(method, path, { body, headers, signal } = {}) {
  const sent = { authorization: sessionStorage.getItem(KEY) ?? "", ...headers };
  if (body !== undefined) sent["content-type"] = "application/json";
  return fetch(path, {
    method,
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "omit",
    cache: "no-store",
    signal,
  });
}

async function errorOf(response) {
  const text = await response.text();
  try {
    const { reason, error } = JSON.parse(text);
    return new ApiError(response.status, typeof reason === "string" ? reason : JSON.stringify(reason ?? error), error);
  } catch {
    return new ApiError(response.status, text || response.statusText || `status ${response.status}`);
  }
}

/** Call the API; returns the document, or null if there is none. Throws ApiError. */
export async function call(method, path, options) {
  let response;
  try {
    response = await request(method, path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the broker cannot be reached");
  }
  if (!response.ok) throw await errorOf(response);
  const text = await response.text();
  if (method !== "GET") dispatchEvent(new Event(ACTED));
  return text ? JSON.parse(text) : null;
}

export const get = (path, options) => call("GET", path, options);

/**
 * Follow documents: `changed(path, document, error)` is called with each at once and whenever it changed.
 * Returns a function that ends it.
 *
 * The broker sends them as server-sent events (GET /api/live); one that has no such thing is asked again
 * and again. A connection that breaks is made anew.
 */
export function follow(paths, changed, connected) {
  const abort = new AbortController();
  const { signal } = abort;
  const pause = () => new Promise((done) => {
    const timer = setTimeout(done, POLL_MS);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); });
  });

  async function listen() {
    const query = paths.map((path) => `document=${part(path)}`).join("&");
    const response = await request("GET", `/api/live?${query}`, { signal });
    if (!response.ok) throw await errorOf(response);
    connected(true);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
        if (!data.length) continue;
        const { path, status, body } = JSON.parse(data.join("\n"));
        if (status === 200) changed(path, body, null);
        else changed(path, null, new ApiError(status, body?.reason ?? `status ${status}`, body?.error));
      }
    }
  }

  async function poll() {
    while (!signal.aborted) {
      for (const path of paths) {
        try {
          changed(path, await get(path, { signal }), null);
          connected(true);
        } catch (error) {
          if (signal.aborted) return;
          connected(error.status !== 0);
          changed(path, null, error);
        }
      }
      await pause();
    }
  }

  (async () => {
    while (!signal.aborted) {
      try {
        await listen();
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 404 || error.status === 405) return poll();
        if (error.status) {
          for (const path of paths) changed(path, null, error);
        }
      }
      connected(false);
      await pause();
    }
  })();
  return () => abort.abort();
}
