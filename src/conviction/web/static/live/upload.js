// @ts-check
// Sends an archive, or a folder as one: chosen, or dropped on the box.
import { packed } from "./archive.js";

/**
 * Sends a file, and goes where the answer leads.
 * @param {HTMLElement} box with a bar, and a line for what went wrong; it says where to send, and how much at most
 * @param {string} name of the file
 * @param {Blob} content
 * @param {Record<string, string>} query what else there is to say
 */
export function send(box, name, content, query = {}) {
  const bar = /** @type {HTMLProgressElement} */ (box.querySelector("progress"));
  const most = Number(box.dataset.most);
  if (content.size > most) {
    say(box, `${name} is larger than ${Math.round(most / 2 ** 20)} MB.`);
    return;
  }
  if (box.dataset.sending) return;
  box.dataset.sending = "yes";
  const request = new XMLHttpRequest();
  request.open("PUT", `${box.dataset.to}?${new URLSearchParams({ name, ...query })}`);
  request.upload.onprogress = (p) => (bar.value = p.loaded / p.total);
  request.upload.onload = () => say(box, "Sent. It is being checked ...");
  request.onloadend = () => {
    bar.hidden = true;
    /** @type {{address?: string, message?: string}} */
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {}
    if (request.status === 200 && answer.address) location.href = answer.address;
    else {
      delete box.dataset.sending;
      say(box, answer.message ?? "It could not be sent. Is the lab still running?");
    }
  };
  say(box, "");
  bar.hidden = false;
  bar.value = 0;
  request.send(content);
}

/** @param {HTMLElement} box @param {string} sentence */
export function say(box, sentence) {
  /** @type {HTMLElement} */ (box.querySelector("[role=alert]")).textContent = sentence;
}

// What systems leave in folders beside what people put there.
const isOwn = (/** @type {string} */ path) =>
  !path.split("/").some((part) => part.startsWith(".") || /^(thumbs\.db|desktop\.ini)$/i.test(part));

/** @param {FileSystemEntry} entry @param {string} path @returns {Promise<[string, File][]>} */
async function filesIn(entry, path) {
  if (entry.isFile) {
    const file = await new Promise((/** @type {(file: File) => void} */ done, failed) =>
      /** @type {FileSystemFileEntry} */ (entry).file(done, failed),
    );
    return [[path, file]];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  // A reader gives at most a hundred at once.
  for (;;) {
    const some = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ done, failed) =>
      reader.readEntries(done, failed),
    );
    if (!some.length) break;
    entries.push(...some);
  }
  return (await Promise.all(entries.map((one) => filesIn(one, `${path}/${one.name}`)))).flat();
}

/** @param {HTMLElement} box @param {string} name @param {[string, File][]} files paths have the folder's own name in front */
function sendFolder(box, name, files) {
  const own = files.filter(([path]) => isOwn(path));
  if (!own.length) {
    say(box, `${name}: there is nothing in this folder.`);
    return;
  }
  try {
    // The name of the folder is no class.
    send(box, `${name}.tar`, packed(own.map(([path, file]) => [path.slice(path.indexOf("/") + 1), file])));
  } catch (failure) {
    say(box, /** @type {Error} */ (failure).message);
  }
}

const boxAt = (/** @type {Event} */ e) =>
  /** @type {HTMLElement | null} */ (/** @type {Partial<Element>} */ (e.target).closest?.(".upload[data-to]") ?? null);

function listen() {
  document.addEventListener("change", (e) => {
    const box = boxAt(e);
    const input = /** @type {HTMLInputElement} */ (e.target);
    if (!box || !input.files?.length) return;
    const files = [...input.files];
    input.value = "";
    const path = files[0].webkitRelativePath;
    if (path) sendFolder(box, path.split("/")[0], files.map((file) => [file.webkitRelativePath, file]));
    else send(box, files[0].name, files[0]);
  });

  for (const name of /** @type {const} */ (["dragover", "dragleave", "drop"]))
    document.addEventListener(name, async (e) => {
      const box = boxAt(e);
      if (!box) return;
      e.preventDefault();
      box.classList.toggle("over", name === "dragover");
      if (name !== "drop") return;
      const entries = [...(e.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((one) => one !== null);
      if (entries.length !== 1) {
        say(box, "Drop one folder, or one archive. Loose pictures go into classes, below.");
        return;
      }
      const [entry] = entries;
      const files = await filesIn(entry, entry.name);
      if (entry.isFile) send(box, entry.name, files[0][1]);
      else sendFolder(box, entry.name, files);
    });
}

// Node, which runs the tests, has no document.
if (typeof document !== "undefined") listen();
