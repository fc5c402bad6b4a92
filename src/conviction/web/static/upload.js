// Sends an archive, or a folder as one: chosen, or dropped on the box. A folder becomes a tar of what is in it, so that
// the server has one way for both, with the same limits.
(() => {
  const BLOCK = 512;
  const text = new TextEncoder();

  // The head of a file in a tar (POSIX ustar): fields of fixed width, numbers in octal, a sum over all bytes.
  function head(path, size) {
    const bytes = new Uint8Array(BLOCK);
    const put = (at, value) => bytes.set(text.encode(value), at);
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

  // files: [path, File]; paths have the folder's own name in front, which is no class.
  function packed(files) {
    const parts = [];
    for (const [path, file] of files) {
      parts.push(head(path.slice(path.indexOf("/") + 1), file.size), file);
      parts.push(new Uint8Array((BLOCK - (file.size % BLOCK)) % BLOCK));
    }
    return new Blob([...parts, new Uint8Array(2 * BLOCK)]);
  }

  // What systems leave in folders beside what people put there.
  const isOwn = (path) => !path.split("/").some((part) => part.startsWith(".") || /^(thumbs\.db|desktop\.ini)$/i.test(part));

  async function filesIn(entry, path) {
    if (entry.isFile) return [[path, await new Promise((done, failed) => entry.file(done, failed))]];
    const reader = entry.createReader();
    const found = [];
    // A reader gives at most a hundred at once.
    for (let some = [null]; some.length; ) {
      some = await new Promise((done, failed) => reader.readEntries(done, failed));
      found.push(...some);
    }
    return (await Promise.all(found.map((one) => filesIn(one, `${path}/${one.name}`)))).flat();
  }

  function say(box, sentence) {
    box.querySelector("[role=alert]").textContent = sentence;
  }

  function sendFolder(box, name, files) {
    const own = files.filter(([path]) => isOwn(path));
    if (!own.length) return say(box, `${name}: there is nothing in this folder.`);
    try {
      send(box, `${name}.tar`, packed(own));
    } catch (failure) {
      say(box, failure.message);
    }
  }

  function send(box, name, content) {
    const bar = box.querySelector("progress");
    const most = Number(box.dataset.most);
    if (content.size > most) return say(box, `${name} is larger than ${Math.round(most / 2 ** 20)} MB.`);
    const request = new XMLHttpRequest();
    request.open("PUT", `${box.dataset.to}?name=${encodeURIComponent(name)}`);
    request.upload.onprogress = (p) => (bar.value = p.loaded / p.total);
    request.onloadend = () => {
      bar.hidden = true;
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {}
      if (request.status === 200) location.href = answer.address;
      else say(box, answer.message ?? "It could not be sent. Is the lab still running, and is the file still there?");
    };
    say(box, "");
    bar.hidden = false;
    bar.value = 0;
    request.send(content);
  }

  document.addEventListener("change", (e) => {
    const box = e.target.closest(".upload[data-to]");
    if (!box || !e.target.files?.length) return;
    const files = [...e.target.files];
    e.target.value = "";
    const path = files[0].webkitRelativePath;
    if (path) sendFolder(box, path.split("/")[0], files.map((file) => [file.webkitRelativePath, file]));
    else send(box, files[0].name, files[0]);
  });

  for (const name of ["dragover", "dragleave", "drop"])
    document.addEventListener(name, async (e) => {
      const box = e.target.closest?.(".upload[data-to]");
      if (!box) return;
      e.preventDefault();
      box.classList.toggle("over", name === "dragover");
      if (name !== "drop") return;
      const entries = [...e.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
      if (entries.length !== 1) return say(box, "Drop one folder, or one archive.");
      const [entry] = entries;
      const files = await filesIn(entry, entry.name);
      if (entry.isFile) send(box, entry.name, files[0][1]);
      else sendFolder(box, entry.name, files);
    });
})();
