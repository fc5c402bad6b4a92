// @ts-check
// The server puts empty elements on the page, sometimes late; what is written for them here fills each once.

const LOOK_MS = 300;

/**
 * @template T
 * @param {string} selector
 * @param {(root: HTMLElement) => T} make for each element that is new
 * @param {(made: T) => unknown} [turn] every time, while the page is in front
 */
export function mount(selector, make, turn) {
  if (typeof document === "undefined") return;
  /** @type {WeakMap<Element, T>} */
  const made = new WeakMap();
  const look = () => {
    if (document.hidden) return;
    for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector))) {
      const one = made.get(root) ?? make(root);
      made.set(root, one);
      turn?.(one);
    }
  };
  look();
  setInterval(look, LOOK_MS);
}
