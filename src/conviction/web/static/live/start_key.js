// @ts-check
// The key that the lab prints when it starts, without which it runs no code. It comes after the "#" of the printed link,
// which browsers leave out of their requests, and is kept by the tab alone: another tab of this address may be an older
// page, of whoever had this port before.
import { kept } from "./kept.js";

const KEY = "conviction.start-key";
export const KEY_CAME = "start-key";

/** @param {string} text a key, a link with one, or the line that the lab printed; empty if there is none in it */
export const keyIn = (text) => text.match(/#key=([\w-]{20,})/)?.[1] ?? text.trim().match(/^[\w-]{20,}$/)?.[0] ?? "";

export const startKey = () => kept.get(KEY) ?? "";

/** @param {string} key */
export const keepStartKey = (key) => kept.set(KEY, key);

/** From the address, and out of it, so that a copied link does not hand it on. */
function arrive() {
  if (!location.hash.startsWith("#key=")) return;
  const key = keyIn(location.hash);
  history.replaceState(history.state, "", location.pathname + location.search);
  if (!key) return;
  keepStartKey(key);
  dispatchEvent(new Event(KEY_CAME));
}

if (typeof location !== "undefined") {
  arrive();
  addEventListener("hashchange", arrive);
}
