// @ts-check
// Classes that are made on the page: loose pictures, and recordings of the camera. What is recorded while the button is
// held is one session: its pictures are much alike, so all of them stay in one part of the split.
import { packed } from "./archive.js";
import { Camera } from "./camera.js";
import { mount } from "./mount.js";
import { say, send } from "./upload.js";

/** @typedef {{name: string, picture: Blob}} Item */
/** @typedef {{one: OneClass, loose: number, row: HTMLElement, end: () => void}} Entry */

const FRAME_MS = 150;
// In pixels of the longer side of a frame; networks here take fewer.
const FRAME = 320;
const MOST_THUMBS = 24;
// One to learn from, one to check with while it learns, and one to test on at the end.
export const LEAST = 3;
// Of a folder in a tar.
const MOST_BYTES = 150;

/** One class: its name, its pictures, its recordings. */
export class OneClass {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {Item[]} */
    this.items = [];
    this.recordings = 0;
  }

  get size() {
    return this.items.length;
  }
}

/**
 * Why classes cannot be sent yet; empty if they can.
 * @param {{name: string, size: number, recordings: number, loose: number}[]} classes
 */
export function missing(classes) {
  const filled = classes.filter((one) => one.size > 0);
  if (filled.length < 2) return "You need at least two classes, each with pictures.";
  for (const one of filled) {
    if (!folderOf(one.name)) return "Each class needs a name.";
    if (new TextEncoder().encode(one.name).length > MOST_BYTES) return `${one.name.slice(0, 20)}...: this name is too long.`;
  }
  const names = filled.map((one) => folderOf(one.name).toLowerCase());
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice) return `Two classes are called ${twice}.`;
  for (const one of filled) {
    const parts = one.recordings + one.loose;
    if (parts >= LEAST) continue;
    const what = one.recordings ? "recordings" : "pictures";
    const advice = one.recordings ? " Move, or change the background, before each." : "";
    return `${one.name}: ${parts} of ${LEAST} ${what}. One is to learn from, one to check with, one to test on.${advice}`;
  }
  return "";
}

/** A name that a folder can have. @param {string} name */
export function folderOf(name) {
  return name.replace(/[/\\]/g, "-").replace(/^[.\s]+/, "").trim();
}

class Collecting {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Entry[]} */
    this.classes = [];
    this.sessions = 0;
    root.insertAdjacentHTML(
      "afterbegin",
      `<div class="preview" hidden><video muted playsinline aria-label="What the camera sees"></video></div>
      <div class="classes"></div>
      <p class="buttons"><button type="button" class="button another">Another class</button>
        <button type="button" class="button camera" aria-pressed="false">Camera</button>
        <button type="button" class="button primary use">Use these pictures</button></p>`,
    );
    this.camera = new Camera(/** @type {HTMLVideoElement} */ (root.querySelector("video")));
    for (const over of ["dragover", "drop"]) root.addEventListener(over, (e) => e.preventDefault());
    addEventListener("beforeunload", (e) => {
      // What has been collected is on the page alone until it is sent.
      if (root.isConnected && !root.dataset.sending && this.classes.some(({ one }) => one.size)) e.preventDefault();
    });
    this.at(".another").addEventListener("click", () => this.add().querySelector("input")?.focus());
    this.at(".camera").addEventListener("click", () => this.turnCamera(!this.camera.isOn && !this.camera.starting));
    this.at(".use").addEventListener("click", () => this.use());
    this.add();
    this.add();
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  add() {
    /** @type {Entry} */
    const entry = { one: new OneClass(""), loose: 0, row: document.createElement("section"), end: () => {} };
    const { row } = entry;
    row.className = "one-class";
    row.innerHTML = `<div class="fields"><label class="field"><span class="field-name">Class</span><input type="text" maxlength="60" autocomplete="off"></label>
        <button type="button" class="button record">Hold to record</button>
        <label class="button">Add pictures<input type="file" accept="image/*" multiple></label>
        <button type="button" class="button quiet remove">Remove</button></div>
      <p class="note counts" role="status"></p><div class="strip"></div>`;
    const [name, file] = /** @type {HTMLInputElement[]} */ ([...row.querySelectorAll("input")]);
    name.addEventListener("input", () => (entry.one.name = name.value));
    file.addEventListener("change", () => {
      this.take(entry, [...(file.files ?? [])]);
      file.value = "";
    });
    row.addEventListener("drop", (e) => this.take(entry, [...(e.dataTransfer?.files ?? [])]));
    row.querySelector(".remove")?.addEventListener("click", () => this.remove(entry));
    this.hold(entry, /** @type {HTMLElement} */ (row.querySelector(".record")));
    this.classes.push(entry);
    this.at(".classes").append(row);
    this.count(entry);
    return row;
  }

  /** Takes a class off the page; one with pictures can be brought back. @param {Entry} entry */
  remove(entry) {
    entry.end();
    const place = this.classes.indexOf(entry);
    this.classes.splice(place, 1);
    if (!entry.one.size) {
      entry.row.remove();
      this.at(".another").focus();
      return;
    }
    const gone = document.createElement("p");
    gone.className = "note removed";
    gone.setAttribute("role", "status");
    const back = Object.assign(document.createElement("button"), { type: "button", className: "button quiet", textContent: "Undo" });
    const pictures = `${entry.one.size} picture${entry.one.size === 1 ? "" : "s"}`;
    gone.append(`${entry.one.name || "A class"} with ${pictures} was removed. `, back);
    back.addEventListener("click", () => {
      gone.replaceWith(entry.row);
      this.classes.splice(place, 0, entry);
      /** @type {HTMLElement} */ (entry.row.querySelector(".remove")).focus();
    });
    entry.row.replaceWith(gone);
    back.focus();
  }

  /** @param {Entry} entry @param {File[]} files */
  take(entry, files) {
    const pictures = files.filter((file) => file.type.startsWith("image/"));
    if (!files.length || pictures.length < files.length) say(this.root, "Only pictures can go into a class. A folder or an archive goes into the box above.");
    for (const picture of pictures) this.put(entry, `${entry.loose++}-${folderOf(picture.name).slice(-60)}`, picture);
    this.count(entry);
  }

  /** @param {Entry} entry @param {string} name @param {Blob} picture */
  put(entry, name, picture) {
    entry.one.items.push({ name, picture });
    if (entry.one.size > MOST_THUMBS) return;
    const thumb = document.createElement("img");
    thumb.alt = "";
    thumb.src = URL.createObjectURL(picture);
    entry.row.querySelector(".strip")?.append(thumb);
  }

  /** @param {Entry} entry */
  count({ one, row }) {
    const pictures = `${one.size} picture${one.size === 1 ? "" : "s"}`;
    const recordings = one.recordings ? `, ${one.recordings} recording${one.recordings === 1 ? "" : "s"}` : "";
    /** @type {HTMLElement} */ (row.querySelector(".counts")).textContent = one.size ? pictures + recordings : "";
  }

  /**
   * A recording lasts as long as the button is held, by a pointer or by a key.
   * @param {Entry} entry
   * @param {HTMLElement} button
   */
  hold(entry, button) {
    let timer = 0;
    let press = 0; // counts presses and releases, so that one which is over is not taken up late
    const begin = async () => {
      const mine = ++press;
      if (!this.camera.isOn) {
        await this.turnCamera(true);
        if (mine !== press || !this.camera.isOn) {
          if (this.camera.isOn) say(this.root, "The camera is on. Hold the button to record.");
          return;
        }
      }
      clearInterval(timer);
      const session = ++this.sessions;
      entry.one.recordings++;
      let frame = 0;
      button.classList.add("recording");
      const shoot = async () => {
        const picture = await this.frame();
        if (picture) this.put(entry, `session-${session}-${String(frame++).padStart(4, "0")}.jpg`, picture);
        this.count(entry);
      };
      timer = window.setInterval(shoot, FRAME_MS);
      void shoot();
    };
    const end = () => {
      press++;
      clearInterval(timer);
      button.classList.remove("recording");
    };
    entry.end = end;
    button.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      button.setPointerCapture(e.pointerId);
      void begin();
    });
    for (const over of ["pointerup", "pointercancel", "blur"]) button.addEventListener(over, end);
    button.addEventListener("keydown", (e) => {
      if (e.key !== " " && e.key !== "Enter") return;
      e.preventDefault();
      if (!e.repeat) void begin();
    });
    button.addEventListener("keyup", end);
  }

  /** @returns {Promise<Blob | null>} */
  frame() {
    const { video, isOn } = this.camera;
    const { videoWidth: width, videoHeight: height } = video;
    if (!isOn || !width) return Promise.resolve(null);
    const scale = FRAME / Math.max(width, height);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  }

  /** @param {boolean} on */
  async turnCamera(on) {
    if (on) {
      const problem = await this.camera.start();
      if (problem !== null) say(this.root, problem);
    } else {
      for (const entry of this.classes) entry.end();
      this.camera.stop();
    }
    this.at(".preview").hidden = !this.camera.isOn;
    this.at(".camera").setAttribute("aria-pressed", String(this.camera.isOn));
  }

  use() {
    const problem = missing(this.classes.map(({ one, loose }) => ({ name: one.name, size: one.size, recordings: one.recordings, loose })));
    say(this.root, problem);
    if (problem) return;
    for (const entry of this.classes) entry.end();
    const filled = this.classes.filter(({ one }) => one.size);
    const files = filled.flatMap(({ one }) =>
      one.items.map(({ name, picture }) => /** @type {[string, Blob]} */ ([`${folderOf(one.name)}/${name}`, picture])),
    );
    const recorded = files.some(([path]) => path.includes("/session-"));
    const title = filled.map(({ one }) => folderOf(one.name)).join("-").slice(0, 40);
    try {
      send(this.root, `${title}.tar`, packed(files), recorded ? { sessions: "named" } : {});
    } catch (failure) {
      say(this.root, /** @type {Error} */ (failure).message);
    }
  }
}

mount(".collecting[data-to]", (root) => new Collecting(root));
