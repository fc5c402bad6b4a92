// @ts-check
// A training as it happens: its steps, the loss of every call, the kernels of the first layer and what they make of a
// picture; afterwards, any moment of it again. The process writes all this down (`reporting/journal.py`), the server hands
// on what is new, and this asks for it while the page is in front.
import { paintKernel, paintMap, pixelsOf, response } from "./filters.js";
import { mount } from "./mount.js";
import { STEPS, Story, spoken } from "./story.js";

const MOST_KERNELS = 24;
// What playing a training again takes, however long it was.
const PLAY_MS = 5000;

class Watching {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.job = "";
    this.next = 0;
    this.asking = false;
    this.ended = true; // until there is a job to ask about
    this.story = new Story();
    /** Which moment is shown; null for the last one. @type {number | null} */
    this.shown = null;
    this.playing = 0;
    /** @type {import("./filters.js").Pixels | null} */
    this.picture = null;
    this.pictured = "";
  }

  /** Whether the element is about another job than before. */
  turn() {
    const { job = "" } = this.root.dataset;
    if (job === this.job) return;
    this.job = job;
    this.next = 0;
    this.ended = !job;
    this.story = new Story();
    this.shown = null;
    cancelAnimationFrame(this.playing);
    this.root.replaceChildren();
  }

  async ask() {
    this.turn();
    this.look();
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
      const news = next !== this.next;
      this.next = next;
      this.story.read(lines);
      this.ended = !alive && !news;
      if (news || this.ended) this.draw();
    } catch {
      // The server is away for a moment; the page says so.
    } finally {
      this.asking = false;
    }
  }

  /** Takes the picture whose maps are shown, once the page has one. */
  async look() {
    const { picture = "" } = this.root.dataset;
    const [moment] = this.story.moments;
    if (!picture || !moment || this.pictured === picture) return;
    const channels = moment.kernels.shape[2];
    this.pictured = picture;
    if (channels !== 1 && channels !== 3) return;
    this.picture = await pixelsOf(picture, channels);
    this.drawKernels();
  }

  make() {
    this.root.innerHTML = `<ol class="track" aria-label="Steps of this training"></ol>
      <div class="live-training"><figure class="curve" hidden><canvas class="losses" role="img"></canvas>
        <figcaption class="note">Loss: the line is for training images, the dots are for validation images</figcaption></figure>
      <figure class="filters" hidden><div class="kernels" role="img"></div><figcaption class="note"></figcaption></figure></div>
      <div class="again" hidden><button type="button" class="button">Play from the start</button>
        <input type="range" min="0" step="1" aria-label="Moment of the training"><output class="note"></output></div><p class="note rate"></p>`;
    /** @type {HTMLElement} */ (this.root.querySelector(".track")).append(
      ...STEPS.map((step) => Object.assign(document.createElement("li"), { textContent: step })),
    );
    /** @type {HTMLElement} */ (this.root.querySelector(".again button")).addEventListener("click", () => this.play());
    this.slider.addEventListener("input", () => {
      cancelAnimationFrame(this.playing);
      this.show(this.slider.valueAsNumber);
    });
  }

  get slider() {
    return /** @type {HTMLInputElement} */ (this.root.querySelector(".again input"));
  }

  /** The moment that is shown. */
  get moment() {
    const { moments } = this.story;
    return moments[this.shown ?? moments.length - 1];
  }

  /** Shows a moment; the last one goes on with the training. @param {number} n */
  show(n) {
    this.shown = n >= this.story.moments.length - 1 ? null : n;
    this.drawLosses();
    this.drawKernels();
    this.drawAgain();
  }

  /** The whole training in a few seconds. */
  play() {
    cancelAnimationFrame(this.playing);
    const [began, last] = [performance.now(), this.story.moments.length - 1];
    const turn = (/** @type {number} */ now) => {
      const share = Math.min(1, (now - began) / PLAY_MS);
      this.show(Math.round(share * last));
      if (share < 1) this.playing = requestAnimationFrame(turn);
    };
    this.playing = requestAnimationFrame(turn);
  }

  drawAgain() {
    const { moments } = this.story;
    const row = /** @type {HTMLElement} */ (this.root.querySelector(".again"));
    row.hidden = moments.length < 2;
    if (row.hidden) return;
    this.slider.max = String(moments.length - 1);
    this.slider.value = String(this.shown ?? moments.length - 1);
    const words = this.shown === null && !this.ended ? "now" : `after ${this.moment.x.toFixed(1)} epochs`;
    this.slider.setAttribute("aria-valuetext", words);
    /** @type {HTMLElement} */ (row.querySelector("output")).textContent = words;
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
    this.drawAgain();
    this.look();
  }

  drawLosses() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.root.querySelector(".losses"));
    const { losses, validated, epochs } = this.story;
    const figure = /** @type {HTMLElement} */ (this.root.querySelector(".curve"));
    figure.hidden = losses.length === 0;
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
    if (this.shown !== null) {
      pen.strokeStyle = soft;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x(this.moment.x), edge.top);
      pen.lineTo(x(this.moment.x), height - edge.bottom);
      pen.stroke();
    }
    const last = losses[losses.length - 1];
    const told = validated.length ? `, and on validation images ${validated[validated.length - 1].val_loss.toFixed(3)}` : "";
    canvas.setAttribute("aria-label", `Loss during the training: now ${last.loss.toFixed(3)}${told}`);
  }

  drawKernels() {
    if (!this.moment) return;
    const { kernels } = this.moment;
    const place = /** @type {HTMLElement} */ (this.root.querySelector(".kernels"));
    const [rows, columns, , filters] = kernels.shape;
    const [count, { picture }] = [Math.min(filters, MOST_KERNELS), this];
    const canvases = count * (picture ? 2 : 1);
    if (place.querySelectorAll("canvas").length !== canvases) {
      const figure = /** @type {HTMLElement} */ (place.parentElement);
      figure.hidden = false;
      /** @type {HTMLElement} */ (figure.querySelector("figcaption")).textContent =
        "Filters of the first layer: white is a positive weight, black a negative one." +
        (picture ? " Below each is its response to one picture, before bias and activation, on a scale of its own." : "");
      place.replaceChildren(
        ...Array.from({ length: count }, () => {
          const tile = document.createElement("div");
          tile.append(Object.assign(document.createElement("canvas"), { width: columns, height: rows, className: "kernel" }));
          if (picture) tile.append(Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height, className: "map" }));
          return tile;
        }),
      );
      const maps = picture ? ", and the response of each to one picture" : "";
      place.setAttribute("aria-label", `${count} of the ${filters} filters of the first layer, ${rows} by ${columns}${maps}`);
    }
    const most = Math.max(1e-6, ...kernels.values.map(Math.abs));
    [...place.children].forEach((tile, f) => {
      const [kernel, map] = /** @type {HTMLCollectionOf<HTMLCanvasElement>} */ (/** @type {unknown} */ (tile.children));
      paintKernel(kernel, kernels, f, most);
      if (picture) paintMap(map, response(picture, kernels, f));
    });
  }
}

mount(
  "[data-events]",
  (root) => new Watching(root),
  (watching) => watching.ask(),
);
