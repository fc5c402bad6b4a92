// @ts-check
// A network that answers what one draws, a picture, or the camera. The server asks the network, because it may be any.
import { Camera } from "./camera.js";
import { mount } from "./mount.js";

/** @typedef {{label: string, class_names: string[], probabilities: number[], seen: string}} Trial */

// In pixels of the board and of a frame of the camera; the server brings either to the size that the network takes.
const BOARD = 280;
const FRAME = 320;
// As wide, beside the board, as the lines of handwritten digits.
const PEN = 22;
const MOST_BARS = 10;

class Trying {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    root.innerHTML = `<p class="says"></p><p class="unseen told" role="status"></p>
      <div class="stage"><canvas class="board" width="${BOARD}" height="${BOARD}" role="img"
        aria-label="A board to draw on, white on black, with a mouse or a finger"></canvas>
        <video muted playsinline hidden aria-label="What the camera sees"></video><img class="shown" alt="Your picture" hidden>
      <p class="buttons"><button type="button" class="button clear">Clear</button>
        <label class="button">Choose a picture<input type="file" accept="image/*"></label>
        <button type="button" class="button camera" aria-pressed="false">Camera</button></p>
      <p class="trouble" role="alert"></p></div>
      <div class="answer"><ol class="probabilities" aria-label="How likely each class is"></ol><p class="note more"></p>
        <figure hidden><img class="seen sharp" alt="What the network sees"><figcaption class="note">What the network sees</figcaption></figure></div>`;
    this.board = /** @type {HTMLCanvasElement} */ (this.at(".board"));
    this.video = /** @type {HTMLVideoElement} */ (this.at("video"));
    this.shown = /** @type {HTMLImageElement} */ (this.at(".shown"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.board.getContext("2d"));
    /** @type {Blob | null} what waits to be asked; a later one takes its place */
    this.waiting = null;
    this.asking = false;
    // Answers to what has been cleared or replaced come too late.
    this.version = 0;
    this.telling = 0;
    this.sentence = "";
    this.camera = new Camera(this.video);
    this.clear();
    this.listen();
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  listen() {
    /** @type {{x: number, y: number} | null} */
    let last = null;
    const pointOf = (/** @type {PointerEvent} */ e) => {
      const box = this.board.getBoundingClientRect();
      return { x: ((e.clientX - box.left) / box.width) * BOARD, y: ((e.clientY - box.top) / box.height) * BOARD };
    };
    const line = (/** @type {{x: number, y: number}} */ from, /** @type {{x: number, y: number}} */ to) => {
      this.pen.beginPath();
      this.pen.moveTo(from.x, from.y);
      this.pen.lineTo(to.x, to.y);
      this.pen.stroke();
    };
    this.board.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      e.preventDefault();
      this.board.setPointerCapture(e.pointerId);
      last = pointOf(e);
      line(last, last);
      void this.askBoard();
    });
    this.board.addEventListener("pointermove", (e) => {
      if (!last) return;
      for (const one of e.getCoalescedEvents?.() ?? [e]) {
        const next = pointOf(one);
        line(last, next);
        last = next;
      }
      void this.askBoard();
    });
    for (const end of ["pointerup", "pointercancel"]) this.board.addEventListener(end, () => (last = null));
    this.at(".clear").addEventListener("click", () => this.clear());
    this.at(".camera").addEventListener("click", () => this.turnCamera());
    const input = /** @type {HTMLInputElement} */ (this.at("input"));
    input.addEventListener("change", () => {
      if (input.files?.[0]) this.show(input.files[0]);
      input.value = "";
    });
    this.root.addEventListener("dragover", (e) => e.preventDefault());
    this.root.addEventListener("drop", (e) => {
      e.preventDefault();
      const file = e.dataTransfer?.files[0];
      if (file) this.show(file);
      else this.say("Drop a picture file here. Save the picture of another page first.");
    });
  }

  /** @param {"board" | "video" | "shown"} which */
  face(which) {
    for (const one of /** @type {const} */ (["board", "video", "shown"])) this[one].hidden = one !== which;
    if (which !== "video") this.camera.stop();
    this.at(".camera").setAttribute("aria-pressed", String(which === "video"));
    this.say("");
  }

  clear() {
    this.face("board");
    this.pen.fillStyle = "black";
    this.pen.fillRect(0, 0, BOARD, BOARD);
    this.pen.strokeStyle = "white";
    this.pen.lineWidth = PEN;
    this.pen.lineCap = this.pen.lineJoin = "round";
    this.forget();
  }

  /** Nothing has been asked, and nothing answered. */
  forget() {
    this.version++;
    this.waiting = null;
    clearTimeout(this.telling);
    this.sentence = "";
    this.at(".says").textContent = "Draw something.";
    this.at(".told").textContent = this.at(".more").textContent = "";
    this.at(".probabilities").replaceChildren();
    this.at("figure").hidden = true;
  }

  /** @param {File} file */
  show(file) {
    this.forget();
    this.face("shown");
    URL.revokeObjectURL(this.shown.src);
    this.shown.src = URL.createObjectURL(file);
    this.ask(file);
  }

  async askBoard() {
    const picture = await blobOf(this.board, "image/png");
    if (!this.board.hidden) this.ask(picture);
  }

  async turnCamera() {
    const off = this.camera.isOn || this.camera.starting;
    this.clear();
    if (off) return;
    const problem = await this.camera.start();
    if (problem === null) return;
    if (!problem) this.face("video");
    this.say(problem);
    if (!problem) void this.askFrame();
  }

  /** One frame; the answer asks for the next, so that a slow machine is never behind. */
  async askFrame() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!this.camera.isOn || !width) return;
    const frame = document.createElement("canvas");
    const scale = FRAME / Math.max(width, height);
    [frame.width, frame.height] = [Math.round(width * scale), Math.round(height * scale)];
    frame.getContext("2d")?.drawImage(this.video, 0, 0, frame.width, frame.height);
    const picture = await blobOf(frame, "image/jpeg");
    if (this.camera.isOn) this.ask(picture);
  }

  /** @param {Blob} picture */
  ask(picture) {
    this.waiting = picture;
    if (!this.asking) void this.askWaiting();
  }

  async askWaiting() {
    this.asking = true;
    while (this.waiting) {
      const [picture, version] = [this.waiting, this.version];
      this.waiting = null;
      try {
        const answer = await fetch(this.root.dataset.answers ?? "", { method: "PUT", body: picture });
        const content = await answer.json();
        if (version !== this.version) continue;
        if (answer.ok) this.tell(content);
        else this.refuse(content.message);
      } catch {
        if (version === this.version) this.refuse("The lab does not answer. Start it again, and try once more.");
      }
    }
    this.asking = false;
    if (this.camera.isOn) requestAnimationFrame(() => this.askFrame());
  }

  /** @param {string} sentence */
  refuse(sentence) {
    if (!this.shown.hidden) this.clear();
    this.say(sentence);
  }

  /** @param {Trial} trial */
  tell({ label, class_names, probabilities, seen }) {
    const order = class_names.map((_, i) => i);
    // Few classes stay where they are, so that their bars move; of many the likeliest are shown.
    if (order.length > MOST_BARS) order.sort((a, b) => probabilities[b] - probabilities[a]).splice(MOST_BARS);
    const best = Math.max(...probabilities);
    const list = this.at(".probabilities");
    while (list.childElementCount < order.length) {
      const row = document.createElement("li");
      row.append(document.createElement("bdi"), document.createElement("i"), document.createElement("span"));
      list.append(row);
    }
    order.forEach((i, n) => {
      const row = /** @type {HTMLElement} */ (list.children[n]);
      const [name, bar, share] = /** @type {HTMLElement[]} */ ([...row.children]);
      name.textContent = name.title = class_names[i];
      bar.style.setProperty("--share", probabilities[i].toFixed(4));
      share.textContent = `${Math.round(100 * probabilities[i])}%`;
      row.classList.toggle("best", probabilities[i] === best);
    });
    /** @type {HTMLImageElement} */ (this.at(".seen")).src = seen;
    this.at("figure").hidden = false;
    this.at(".more").textContent = class_names.length > order.length ? `And ${class_names.length - order.length} more classes.` : "";
    const sentence = `It says ${label}`;
    this.at(".says").textContent = `${sentence} (${Math.round(100 * best)}% sure)`;
    // Read aloud once the answer stays, and not for every stroke.
    if (sentence !== this.sentence) {
      this.sentence = sentence;
      clearTimeout(this.telling);
      this.telling = setTimeout(() => (this.at(".told").textContent = sentence), 700);
    }
    this.say("");
  }

  /** @param {string} sentence */
  say(sentence) {
    if (this.at(".trouble").textContent !== sentence) this.at(".trouble").textContent = sentence;
  }
}

/** @param {HTMLCanvasElement} canvas @param {string} type @returns {Promise<Blob>} */
function blobOf(canvas, type) {
  return new Promise((done) => canvas.toBlob((blob) => done(/** @type {Blob} */ (blob)), type, 0.9));
}

mount("[data-answers]", (root) => new Trying(root));
