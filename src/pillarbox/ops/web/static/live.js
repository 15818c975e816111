// Hooks: documents that stay current, what is to be done with them, where we are.

import { createContext, useCallback, useContext, useEffect, useRef, useState } from "./react.js";
import { ACTED, ApiError, call, follow } from "./api.js";

/** What every view may use: `notify(text, kind)`, `vhost`, `user`, `connected(yes)`, `logout()`. */
export const App = createContext(null);
export const useApp = () => useContext(App);

/** How often something was done from this page. */
function useActed() {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const more = () => setTimes((before) => before + 1);
    addEventListener(ACTED, more);
    return () => removeEventListener(ACTED, more);
  }, []);
  return times;
}

/**
 * The documents at these paths, each `{data, error}`, kept current. `paths` may change at any time.
 * Who has just done something is not to wait for the next look of the broker: they are asked for anew.
 */
export function useLive(...paths) {
  const app = useApp();
  const acted = useActed();
  const [documents, setDocuments] = useState({});
  const key = paths.filter(Boolean).join("\n");
  useEffect(() => {
    if (!key) return undefined;
    const changed = (path, data, error) => {
      if (error?.ofLogin) app.logout(error.message);
      // What was there is shown on while the broker cannot be reached.
      setDocuments((before) => ({ ...before, [path]: { data: error?.status === 0 ? before[path]?.data : data, error } }));
    };
    return follow(key.split("\n"), changed, app.connected);
  }, [key, acted]);
  return paths.map((path) => documents[path] ?? { data: null, error: null });
}

/** Run `call(...)` and say what came of it; returns whether it went well. */
export function useAction() {
  const app = useApp();
  return useCallback(async (text, method, path, options) => {
    try {
      const answer = await call(method, path, options);
      if (text) app.notify(text, "good");
      return answer ?? true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.ofLogin) app.logout(error.message);
      else app.notify(error.message, "bad");
      return false;
    }
  }, [app]);
}

/** The place after `#`: a path and parameters. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").map(decodeURIComponent), query: new URLSearchParams(query) };
}

export function usePlace() {
  const [where, setWhere] = useState(place);
  useEffect(() => {
    const moved = () => setWhere(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return where;
}

/** A value that follows its source after a moment of rest: what is typed into a filter. */
export function useSettled(value, milliseconds = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/** The last `length` values that were seen of each key, for sparklines of lists without samples. */
export function useHistory(items, keyOf, valueOf, length = 40) {
  const kept = useRef(new Map());
  const seen = useRef(null);
  if (items && items !== seen.current) {
    seen.current = items;
    const next = new Map();
    for (const item of items) {
      const key = keyOf(item);
      next.set(key, [...(kept.current.get(key) ?? []), valueOf(item)].slice(-length));
    }
    kept.current = next;
  }
  return (item) => kept.current.get(keyOf(item)) ?? [];
}
