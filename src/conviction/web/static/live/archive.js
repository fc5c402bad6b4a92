// @ts-check
// A folder as one archive, so that the server has one way for both, with the same limits.

const BLOCK = 512;
const text = new TextEncoder();

/**
 * The head of a file in a tar (POSIX ustar): fields of fixed width, numbers in octal, a sum over all bytes.
 * @param {string} path
 * @param {number} size in bytes
 */
export function head(path, size) {
  const bytes = new Uint8Array(BLOCK);
  const put = (/** @type {number} */ at, /** @type {string} */ value) => bytes.set(text.encode(value), at);
  const cut = text.encode(path).length <= 100 ? -1 : path.indexOf("/", path.length - 100);
  const [before, name] = cut < 0 ? ["", path] : [path.slice(0, cut), path.slice(cut + 1)];
  if (text.encode(name).length > 100 || text.encode(before).length > 155)
    throw new Error(`${path.slice(0, 60)}...: this path is too long to be sent. Send an archive instead.`);
  put(0, name);
  put(100, "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, `${size.toString(8).padStart(11, "0")}\0`);
  put(136, "00000000000\0");
  put(148, " ".repeat(8));
  put(156, "0");
  put(257, "ustar\0" + "00");
  put(345, before);
  const sum = bytes.reduce((all, one) => all + one, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return bytes;
}

/** @param {[string, Blob][]} files by their paths in the archive @returns {Blob} */
export function packed(files) {
  /** @type {BlobPart[]} */
  const parts = [];
  for (const [path, file] of files) {
    parts.push(head(path, file.size), file);
    parts.push(new Uint8Array((BLOCK - (file.size % BLOCK)) % BLOCK));
  }
  return new Blob([...parts, new Uint8Array(2 * BLOCK)]);
}
