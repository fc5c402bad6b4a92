// @ts-check
// The code that the lab printed when it was started, which is needed to run code. It comes behind the "#" of the
// printed link, which browsers send nowhere, and stays in the storage of this address.

const KEY = "conviction.code";

/** @param {string} text a code, or a whole link with one */
export const codeIn = (text) => text.trim().replace(/^.*#code=/, "");

export function codeOfLab() {
  return localStorage.getItem(KEY) ?? "";
}

/** @param {string} code */
export function rememberCode(code) {
  localStorage.setItem(KEY, code);
}

if (typeof location !== "undefined" && location.hash.startsWith("#code=")) {
  rememberCode(codeIn(location.hash));
  // Out of the address, so that a copied link does not hand it on.
  history.replaceState(history.state, "", location.pathname + location.search);
}
