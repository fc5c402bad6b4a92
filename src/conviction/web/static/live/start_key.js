// @ts-check
// The key that the lab prints when it starts, without which it runs no code. It comes after the "#" of the printed link,
// which browsers leave out of their requests, and stays in the storage of this address.

const KEY = "conviction.start-key";

/** @param {string} text a key, or a whole link with one */
export const keyIn = (text) => text.trim().replace(/^.*#key=/, "");

export function startKey() {
  return localStorage.getItem(KEY) ?? "";
}

/** @param {string} key */
export function rememberStartKey(key) {
  localStorage.setItem(KEY, key);
}

if (typeof location !== "undefined" && location.hash.startsWith("#key=")) {
  rememberStartKey(keyIn(location.hash));
  // Out of the address, so that a copied link does not hand it on.
  history.replaceState(history.state, "", location.pathname + location.search);
}
