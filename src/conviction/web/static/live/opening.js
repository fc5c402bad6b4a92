// @ts-check
// The first page: what is drawn, or seen by the camera, goes through a small network as the finger moves.
import { Camera, inkOf } from "./camera.js";
import { Network } from "./network.js";
import { Sheet, strokesOf } from "./pen.js";
import { Picture } from "./picture.js";

/** @typedef {import("./pen.js").Point} Point */

// A digit is written in less than five seconds, and then nothing moves until somebody does something.
const STROKE_MS = 1600;
const FIRST = 3;

/** @param {string} id @returns {HTMLElement} */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const answer = await fetch(new URL("digits.json", import.meta.url)).catch(() => null);
if (!answer?.ok) {
  at("trouble").textContent = "The network did not arrive. Is the lab still running? Load the page again.";
  throw new Error("digits.json");
}
const network = new Network(await answer.json());
const sheet = new Sheet(...network.shape);
const picture = new Picture(at("live"), network.layout);
const canvas = picture.input;
const video = /** @type {HTMLVideoElement} */ (at("video"));
const camera = new Camera(video);

let writing = 0; // the pen that writes by itself; another number ends it
let telling = 0;
let sentence = "";

function look(values = sheet.values) {
  const seen = network.answer(values.slice());
  picture.show(seen);
  const { probabilities } = seen;
  const best = probabilities.indexOf(Math.max(...probabilities));
  const blank = values.every((value) => value === 0);
  const next = blank ? "" : `Read as ${network.classes[best]}.`;
  if (next === sentence) return;
  sentence = next;
  // Read aloud once the answer stays, and not at every step of a drawing.
  clearTimeout(telling);
  telling = setTimeout(() => (at("read").textContent = sentence), 700);
}

/** Writes a digit as a hand would, or at once where people do not want motion. @param {number} digit */
function write(digit) {
  stop();
  const mine = ++writing;
  sheet.clear();
  const strokes = strokesOf(digit);
  /** @type {[Point, Point][]} */
  const lines = strokes.flatMap((stroke) => stroke.slice(1).map((point, n) => /** @type {[Point, Point]} */ ([stroke[n], point])));
  const begin = performance.now();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let drawn = 0;
  const draw = (/** @type {number} */ now) => {
    if (mine !== writing) return;
    const until = still ? lines.length : Math.min(lines.length, Math.ceil(((now - begin) / STROKE_MS) * lines.length));
    for (; drawn < until; drawn++) sheet.line(...lines[drawn]);
    look();
    if (drawn < lines.length) requestAnimationFrame(draw);
  };
  draw(begin);
}

/** Ends what moves by itself: the pen and the camera. */
function stop() {
  writing++;
  camera.stop();
  video.hidden = true;
  at("camera").setAttribute("aria-pressed", "false");
  at("trouble").textContent = "";
}

function clear() {
  stop();
  sheet.clear();
  look();
}

/** @param {PointerEvent} e @returns {Point} */
function pointOf(e) {
  const box = canvas.getBoundingClientRect();
  return { x: ((e.clientX - box.left) / box.width) * sheet.width, y: ((e.clientY - box.top) / box.height) * sheet.height };
}

let own = false; // whether what is on the sheet was drawn by hand
/** @type {Point | null} */
let last = null;
canvas.addEventListener("pointerdown", (e) => {
  e.preventDefault();
  stop();
  if (!own) sheet.clear();
  own = true;
  canvas.setPointerCapture(e.pointerId);
  last = pointOf(e);
  sheet.line(last, last);
  look();
});
canvas.addEventListener("pointermove", (e) => {
  if (!last) return;
  // All points since the last frame, so that a quick line is not cut into corners.
  for (const one of e.getCoalescedEvents?.() ?? [e]) {
    const next = pointOf(one);
    sheet.line(last, next);
    last = next;
  }
  look();
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));

let digit = FIRST;
at("another").addEventListener("click", () => {
  own = false;
  digit = (digit + 1) % network.classes.length;
  write(digit);
});
at("clear").addEventListener("click", () => {
  own = false;
  clear();
});
at("camera").addEventListener("click", async () => {
  const off = camera.isOn || camera.starting;
  own = false;
  clear();
  if (off) return;
  const problem = await camera.start();
  if (problem === null) return;
  at("trouble").textContent = problem;
  if (problem) return;
  at("camera").setAttribute("aria-pressed", "true");
  video.hidden = false;
  const small = new OffscreenCanvas(sheet.width, sheet.height);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (small.getContext("2d", { willReadFrequently: true }));
  pen.imageSmoothingQuality = "high";
  const see = () => {
    if (!camera.isOn) return;
    const side = Math.min(video.videoWidth, video.videoHeight);
    pen.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, sheet.width, sheet.height);
    sheet.values.set(inkOf(pen.getImageData(0, 0, sheet.width, sheet.height).data));
    look();
    video.requestVideoFrameCallback(see);
  };
  video.requestVideoFrameCallback(see);
});
// One click starts one training.
at("own").addEventListener("submit", () => setTimeout(() => at("own").querySelector("button")?.setAttribute("disabled", "")));
addEventListener("pageshow", () => at("own").querySelector("button")?.removeAttribute("disabled"));

write(FIRST);
