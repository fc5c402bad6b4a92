// @ts-check
// Classes that are made on the page: loose pictures, and recordings of the camera. What is recorded while the button is
// held is one session: its pictures are much alike, so all of them stay in one part of the split.
import { packed } from "./archive.js";
import { mount } from "./mount.js";
import { say, send } from "./upload.js";

/** @typedef {{name: string, picture: Blob}} Item */

const FRAME_MS = 150;
// In pixels of the longer side of a frame; networks here take fewer.
const FRAME = 320;
const MOST_THUMBS = 24;
// A recording to learn from, one to watch and one to test on.
export const LEAST_RECORDINGS = 3;
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
  if (filled.length < 2) return "Two classes are needed at least, with pictures in each.";
  for (const one of filled) {
    if (!one.name.trim()) return "Each class needs a name.";
    if (new TextEncoder().encode(one.name).length > MOST_BYTES) return `${one.name.slice(0, 20)}...: this name is too long.`;
  }
  const names = filled.map((one) => folderOf(one.name));
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice) return `Two classes are called ${twice}.`;
  const few = filled.find((one) => !one.loose && one.recordings < LEAST_RECORDINGS);
  if (few)
    return (
      `${few.name}: ${few.recordings} of ${LEAST_RECORDINGS} recordings. One is to learn from, one to watch and one to test on; ` +
      "move, or change the background, before each."
    );
  return "";
}

/** A name that a folder can have. @param {string} name */
export function folderOf(name) {
  return name.trim().replace(/[/\\]/g, "-").replace(/^\.+/, "");
}

class Collecting {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {{one: OneClass, loose: number, row: HTMLElement}[]} */
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
    this.video = /** @type {HTMLVideoElement} */ (root.querySelector("video"));
    this.at(".another").addEventListener("click", () => this.add().querySelector("input")?.focus());
    this.at(".camera").addEventListener("click", () => this.turnCamera());
    this.at(".use").addEventListener("click", () => this.use());
    this.add();
    this.add();
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  add() {
    const entry = { one: new OneClass(""), loose: 0, row: document.createElement("section") };
    const { row } = entry;
    row.className = "one-class";
    row.innerHTML = `<div class="fields"><label class="field"><span class="field-name">Class</span><input type="text" maxlength="60" autocomplete="off"></label>
        <button type="button" class="button record">Hold to record</button>
        <label class="button">Pictures<input type="file" accept="image/*" multiple></label>
        <button type="button" class="button quiet remove">Remove</button></div>
      <p class="note counts" role="status"></p><div class="strip"></div>`;
    const [name, file] = /** @type {HTMLInputElement[]} */ ([...row.querySelectorAll("input")]);
    name.addEventListener("input", () => (entry.one.name = name.value));
    file.addEventListener("change", () => {
      this.take(entry, [...(file.files ?? [])]);
      file.value = "";
    });
    for (const over of ["dragover", "drop"]) row.addEventListener(over, (e) => e.preventDefault());
    row.addEventListener("drop", (e) => this.take(entry, [...(e.dataTransfer?.files ?? [])]));
    row.querySelector(".remove")?.addEventListener("click", () => {
      this.classes = this.classes.filter((other) => other !== entry);
      row.remove();
    });
    this.hold(entry, /** @type {HTMLElement} */ (row.querySelector(".record")));
    this.classes.push(entry);
    this.at(".classes").append(row);
    this.count(entry);
    return row;
  }

  /** @param {{one: OneClass, loose: number, row: HTMLElement}} entry @param {File[]} files */
  take(entry, files) {
    const pictures = files.filter((file) => file.type.startsWith("image/"));
    if (pictures.length < files.length) say(this.root, "Only pictures can go into a class. A folder or an archive goes into the box above.");
    for (const picture of pictures) {
      const ending = picture.name.includes(".") ? picture.name.slice(picture.name.lastIndexOf(".")) : "";
      this.put(entry, `picture-${entry.loose++}${ending}`, picture);
    }
    this.count(entry);
  }

  /** @param {{one: OneClass, row: HTMLElement}} entry @param {string} name @param {Blob} picture */
  put(entry, name, picture) {
    entry.one.items.push({ name, picture });
    if (entry.one.size > MOST_THUMBS) return;
    const thumb = document.createElement("img");
    thumb.alt = "";
    thumb.src = URL.createObjectURL(picture);
    entry.row.querySelector(".strip")?.append(thumb);
  }

  /** @param {{one: OneClass, row: HTMLElement}} entry */
  count({ one, row }) {
    const pictures = `${one.size} picture${one.size === 1 ? "" : "s"}`;
    const recordings = one.recordings ? `, ${one.recordings} recording${one.recordings === 1 ? "" : "s"}` : "";
    /** @type {HTMLElement} */ (row.querySelector(".counts")).textContent = one.size ? pictures + recordings : "";
  }

  /**
   * A recording lasts as long as the button is held, by a pointer or by a key.
   * @param {{one: OneClass, loose: number, row: HTMLElement}} entry
   * @param {HTMLElement} button
   */
  hold(entry, button) {
    let timer = 0;
    const begin = async () => {
      if (timer || (!this.video.srcObject && !(await this.turnCamera()))) return;
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
      clearInterval(timer);
      timer = 0;
      button.classList.remove("recording");
    };
    button.addEventListener("pointerdown", (e) => {
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
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!this.video.srcObject || !width) return Promise.resolve(null);
    const scale = FRAME / Math.max(width, height);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.getContext("2d")?.drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  }

  /** On or off; whether it is on now. */
  async turnCamera() {
    const camera = this.at(".camera");
    if (this.video.srcObject) {
      for (const track of /** @type {MediaStream} */ (this.video.srcObject).getTracks()) track.stop();
      this.video.srcObject = null;
    } else if (!navigator.mediaDevices) {
      say(this.root, "Browsers give a camera only to pages of this computer, or to pages with https. Pictures of a phone can be added as files.");
    } else {
      try {
        this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
        await this.video.play();
        say(this.root, "");
      } catch {
        say(this.root, "The camera did not start: there is none, another program uses it, or this page may not use it.");
      }
    }
    const on = this.video.srcObject !== null;
    this.at(".preview").hidden = !on;
    camera.setAttribute("aria-pressed", String(on));
    return on;
  }

  use() {
    const problem = missing(this.classes.map(({ one, loose }) => ({ name: one.name, size: one.size, recordings: one.recordings, loose })));
    say(this.root, problem);
    if (problem) return;
    const files = this.classes.flatMap(({ one }) =>
      one.items.map(({ name, picture }) => /** @type {[string, Blob]} */ ([`${folderOf(one.name)}/${name}`, picture])),
    );
    send(this.root, "my-pictures.tar", packed(files), this.sessions ? { sessions: "named" } : {});
  }
}

mount(".collecting[data-to]", (root) => new Collecting(root));
