// Preact with htm, as vendored, and the one hook that the vendored build lacks.

import { useRef } from "./vendor/preact-htm.js";

export * from "./vendor/preact-htm.js";

let ids = 0;

/** An id that no other element of the page has. */
export function useId() {
  const id = useRef(null);
  id.current ??= `id${(ids += 1)}`;
  return id.current;
}
