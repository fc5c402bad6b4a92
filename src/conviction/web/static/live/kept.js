// @ts-check
// What this tab keeps over a reload. Where the browser has no storage for it, it is kept until the page is left.

/** @type {Map<string, string>} */
const memory = new Map();

/** @param {(storage: Storage) => string | null | void} use */
function storage(use) {
  try {
    return use(sessionStorage) ?? null;
  } catch {
    return null;
  }
}

export const kept = {
  /** @param {string} key */
  get: (key) => memory.get(key) ?? storage((one) => one.getItem(key)),
  /**
   * @param {string} key
   * @param {string} value
   */
  set(key, value) {
    memory.set(key, value);
    storage((one) => one.setItem(key, value));
  },
  /** @param {string} key */
  remove(key) {
    memory.delete(key);
    storage((one) => one.removeItem(key));
  },
};
