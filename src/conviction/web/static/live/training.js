// @ts-check
// A training as it happens: its steps, the loss of every call, the kernels of the first layer. The process writes them
// down (`reporting/journal.py`), the server hands on what is new, and this asks for it while the page is in front.
import { mount } from "./mount.js";
import { numbersOf } from "./network.js";

/**
 * @typedef {{epoch: number, images: number, total: number, loss: number, accuracy: number, images_per_second: number}} Progress
 * @typedef {{epoch: number, loss: number, accuracy: number, val_loss: number, val_accuracy: number}} Epoch
 * @typedef {{at: number, started?: true, doing?: string, step?: string, epochs?: number, progress?: Progress, epoch?: Epoch,
 *   kernels?: {shape: number[], values: string}}} Line
 */

const MOST_KERNELS = 32;
// In the order in which they come; what takes no time of its own is left out.
export const STEPS = ["Load", "Audit", "Split", "Model", "Compile", "Train", "Evaluate"];

/** What the lines so far say. */
export class Story {
  constructor() {
    /** @type {Set<string>} */
    this.done = new Set();
    this.epochs = 0;
    /** @type {{at: number, x: number, loss: number}[]} x in epochs */
    this.losses = [];
    /** @type {Epoch[]} */
    this.validated = [];
    /** @type {Progress | null} */
    this.progress = null;
    /** @type {{shape: number[], values: Float32Array} | null} */
    this.kernels = null;
    this.last = 0;
  }

  /** @param {Line} line */
  hear(line) {
    this.last = line.at;
    if (line.step) this.done.add(line.step);
    if (line.epochs) this.epochs = line.epochs;
    if (line.progress) {
      this.progress = line.progress;
      this.losses.push({ at: line.at, x: line.progress.epoch - 1 + line.progress.images / line.progress.total, loss: line.progress.loss });
    }
    if (line.epoch) this.validated.push(line.epoch);
    if (line.kernels) this.kernels = { shape: line.kernels.shape, values: numbersOf(line.kernels.values) };
  }

  /** The step that is under way. */
  get current() {
    // The others are named when they are done, and training when it starts.
    if (this.done.has("Train") && !this.done.has("Evaluate")) return this.trained ? "Evaluate" : "Train";
    return STEPS.find((step) => !this.done.has(step)) ?? "";
  }

  get trained() {
    return this.epochs > 0 && this.validated.length > 0 && this.validated[this.validated.length - 1].epoch >= this.epochs;
  }

  /** Seconds until the last epoch ends, as long as the rest takes as what has been done here; null before that is known. */
  get left() {
    if (this.losses.length < 2 || this.trained) return null;
    // From the first line on: before it the network was compiled, which happens once.
    const [first, last] = [this.losses[0], this.losses[this.losses.length - 1]];
    const seconds = last.at - first.at;
    return seconds < 1 ? null : (seconds / (last.x - first.x)) * (this.epochs - last.x);
  }
}

/** A time as people say it. @param {number} seconds @returns {string} */
export function spoken(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

class Watching {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.job = "";
    this.next = 0;
    this.asking = false;
    this.ended = true; // until there is a job to ask about
    this.story = new Story();
  }

  /** Whether the element is about another job than before. */
  turn() {
    const { job = "" } = this.root.dataset;
    if (job === this.job) return;
    this.job = job;
    this.next = 0;
    this.ended = !job;
    this.story = new Story();
    this.root.replaceChildren();
  }

  async ask() {
    this.turn();
    if (this.ended || this.asking) return;
    this.asking = true;
    try {
      const query = new URLSearchParams({ start: String(this.next), job: this.job });
      const answer = await fetch(`${this.root.dataset.events}?${query}`);
      if (!answer.ok) {
        this.ended = answer.status === 404;
        return;
      }
      const { job, alive, next, lines } = await answer.json();
      if (job !== this.job) return; // the page will say so in a moment
      for (const line of lines.split("\n")) if (line) this.story.hear(JSON.parse(line));
      const news = next !== this.next;
      this.next = next;
      this.ended = !alive && !news;
      if (news || this.ended) this.draw();
    } catch {
      // The server is away for a moment; the page says so.
    } finally {
      this.asking = false;
    }
  }

  make() {
    this.root.innerHTML = `<ol class="track" aria-label="Steps of this training"></ol>
      <div class="live-training"><figure class="curve" hidden><canvas class="losses" role="img"></canvas>
        <figcaption class="note">Loss: the line on training images, the dots on validation images</figcaption></figure>
      <figure class="filters" hidden><div class="kernels" role="img"></div><figcaption class="note"></figcaption></figure></div><p class="note rate"></p>`;
    /** @type {HTMLElement} */ (this.root.querySelector(".track")).append(
      ...STEPS.map((step) => Object.assign(document.createElement("li"), { textContent: step })),
    );
  }

  draw() {
    const { story } = this;
    if (!story.last) return;
    if (!this.root.firstChild) this.make();
    const current = this.ended ? "" : story.current;
    for (const item of /** @type {HTMLCollectionOf<HTMLElement>} */ (this.root.getElementsByTagName("li"))) {
      const step = item.textContent ?? "";
      const done = step === "Train" ? story.trained : story.done.has(step);
      item.className = step === current ? "current" : done ? "done" : "";
      if (step === current) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    const { progress, left } = story;
    /** @type {HTMLElement} */ (this.root.querySelector(".rate")).textContent =
      progress && !story.trained && !this.ended
        ? `Epoch ${progress.epoch} of ${story.epochs}: loss ${progress.loss.toFixed(3)}, ` +
          `accuracy ${(100 * progress.accuracy).toFixed(0)}%, ` +
          `${Math.round(progress.images_per_second).toLocaleString("en")} images a second` +
          // Once an epoch has ended, the line below says it, by whole epochs.
          (left === null || story.validated.length ? "" : `, about ${spoken(left)} to go`)
        : current === "Train" && !story.trained
          ? "Getting ready. The first steps take longer than all others."
          : "";
    this.drawLosses();
    this.drawKernels();
  }

  drawLosses() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.root.querySelector(".losses"));
    const { losses, validated, epochs } = this.story;
    // Afterwards the curves of the epochs say the same.
    const figure = /** @type {HTMLElement} */ (this.root.querySelector(".curve"));
    figure.hidden = losses.length === 0 || this.ended;
    if (figure.hidden) return;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(devicePixelRatio, devicePixelRatio);
    const style = getComputedStyle(canvas);
    const [training, validation, line, soft] = ["--training", "--validation", "--line", "--soft"].map((name) => style.getPropertyValue(name));
    const edge = { left: 40, top: 8, right: 8, bottom: 22 };
    const most = Math.max(...losses.map((one) => one.loss), ...validated.map((one) => one.val_loss));
    const x = (/** @type {number} */ epoch) => edge.left + (epoch / epochs) * (width - edge.left - edge.right);
    const y = (/** @type {number} */ loss) => edge.top + (1 - loss / most) * (height - edge.top - edge.bottom);
    pen.font = "12px system-ui, sans-serif";
    pen.strokeStyle = line;
    pen.fillStyle = soft;
    for (const share of [0, 0.5, 1]) {
      pen.beginPath();
      pen.moveTo(edge.left, y(share * most));
      pen.lineTo(width - edge.right, y(share * most));
      pen.stroke();
      pen.fillText((share * most).toFixed(2), 4, y(share * most) + 4);
    }
    pen.fillText("0", x(0) - 3, height - 6);
    const end = `${epochs} epochs`;
    pen.fillText(end, width - edge.right - pen.measureText(end).width, height - 6);
    pen.lineWidth = 1.6;
    pen.strokeStyle = training;
    pen.beginPath();
    losses.forEach((one, n) => (n ? pen.lineTo(x(one.x), y(one.loss)) : pen.moveTo(x(one.x), y(one.loss))));
    pen.stroke();
    pen.fillStyle = validation;
    for (const one of validated) {
      pen.beginPath();
      pen.arc(x(one.epoch), y(one.val_loss), 3, 0, 7);
      pen.fill();
    }
    const last = losses[losses.length - 1];
    const told = validated.length ? `, and on validation images ${validated[validated.length - 1].val_loss.toFixed(3)}` : "";
    canvas.setAttribute("aria-label", `Loss at every call of the training: now ${last.loss.toFixed(3)}${told}`);
  }

  drawKernels() {
    const { kernels } = this.story;
    const place = /** @type {HTMLElement} */ (this.root.querySelector(".kernels"));
    if (!kernels) return;
    const [rows, columns, channels, filters] = kernels.shape;
    const count = Math.min(filters, MOST_KERNELS);
    if (place.childElementCount !== count) {
      const figure = /** @type {HTMLElement} */ (place.parentElement);
      figure.hidden = false;
      /** @type {HTMLElement} */ (figure.querySelector("figcaption")).textContent = "Filters of the first layer: white adds, black takes away";
      place.replaceChildren(
        ...Array.from({ length: count }, () => Object.assign(document.createElement("canvas"), { width: columns, height: rows })),
      );
      place.setAttribute("aria-label", `${count} of the ${filters} filters of the first layer, ${rows} by ${columns}, as they are now`);
    }
    const most = Math.max(1e-6, ...kernels.values.map(Math.abs));
    [...place.children].forEach((child, f) => {
      const canvas = /** @type {HTMLCanvasElement} */ (child);
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      const image = pen.createImageData(columns, rows);
      for (let n = 0; n < rows * columns; n++) {
        for (let c = 0; c < 3; c++) {
          const channel = channels === 3 ? c : 0;
          // Grey is nothing, white adds, black takes away.
          image.data[4 * n + c] = 128 + 127 * (kernels.values[(n * channels + channel) * filters + f] / most);
        }
        image.data[4 * n + 3] = 255;
      }
      pen.putImageData(image, 0, 0);
    });
  }
}

mount(
  "[data-events]",
  (root) => new Watching(root),
  (watching) => watching.ask(),
);
