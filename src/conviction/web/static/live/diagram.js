// @ts-check
// A learner's own network as one picture, computed on the server: columns of maps, a window that slides, and values
// that are clicked to see how they were calculated.
import { Picture } from "./picture.js";

/** @typedef {import("./network.js").Reach} Reach */
/** @typedef {import("./picture.js").Spot} Spot */
/**
 * A column as the server sends it: `maps` are int8 in base64, `count` planes of `rows` x `columns` values.
 * Until they are computed, there are only shapes.
 * @typedef {{rows: number, columns: number, maps: string, reach: Reach | null, flows: number[] | null, sizes: number[] | null}} Computed
 * @typedef {{title: string, label: string, vector: boolean, height: number, width: number, channels: number, count: number}
 *   & Partial<Computed>} ColumnFile
 * @typedef {{probabilities: number[], flows: number[] | null, sizes: number[] | null}} ComputedAnswers
 * @typedef {{input: string, name: string, height: number, width: number, label: string, columns: ColumnFile[],
 *   answers: {names: string[], title: string} & Partial<ComputedAnswers>}} DiagramFile
 * @typedef {Spot | {stage: number}} Pick a value, or a column as a whole
 */

// The server's scale of a map.
const MOST = 127;
// So many maps are below each other; more are in two columns.
const FEW = 8;
// So many columns have room for their names.
const ROOMY = 6;

/** Signed bytes in base64. @param {string} text @returns {Int8Array} */
export const bytesOf = (text) => Int8Array.from(atob(text), (character) => character.charCodeAt(0));

/**
 * The value after this one, row by row; null after the last.
 * @param {Spot} spot
 * @param {{height: number, width: number}} map
 * @returns {Spot | null}
 */
export function following(spot, { height, width }) {
  if (spot.x + 1 < width) return { ...spot, x: spot.x + 1 };
  return spot.y + 1 < height ? { ...spot, x: 0, y: spot.y + 1 } : null;
}

export class Diagram {
  /**
   * @param {HTMLElement} root
   * @param {(pick: Pick) => unknown} pick when a column or a value is clicked
   * @param {boolean} lift whether the picture then goes to the top of the window, because the answer is below it
   */
  constructor(root, pick, lift) {
    this.root = root;
    this.pick = pick;
    this.lift = lift;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {DiagramFile | null} */
    this.file = null;
    this.shape = "";
    /** @type {Spot | null} the value that is looked at, if it is on a map that is shown */
    this.chosen = null;
    this.last = 0;
    this.playing = 0;
  }

  end() {
    this.stop();
    this.picture?.end();
  }

  /** @param {DiagramFile} file */
  async show(file) {
    this.stop();
    this.file = file;
    const shape = JSON.stringify([file.height, file.width, file.answers.names, file.columns.map((one) => [one.label, one.count])]);
    if (shape !== this.shape) this.build(file);
    this.shape = shape;
    this.at(".input").setAttribute("aria-label", file.name);
    const { probabilities = [], flows = null, sizes = null } = file.answers;
    // Values of another network fade until those of this one are there.
    this.root.classList.toggle("stale", !probabilities.length);
    const input = new Image();
    input.src = file.input;
    await input.decode().catch(() => null);
    if (this.file !== file || !this.picture) return;
    if (!probabilities.length) {
      this.picture.current = input;
      this.picture.wake();
      return;
    }
    this.picture.layout.columns.forEach((column, k) => (column.reach = file.columns[k].reach ?? null));
    this.picture.show({
      picture: input,
      stages: [
        ...file.columns.map(({ rows = 1, columns = 1, maps = "", flows = null, sizes = null }) => ({
          maps: { height: rows, width: columns, values: bytesOf(maps), most: MOST },
          flows,
          sizes,
        })),
        { maps: { height: 1, width: 1, values: probabilities }, flows, sizes },
      ],
      probabilities,
    });
    this.controls();
  }

  /** @param {DiagramFile} file */
  build(file) {
    this.picture?.end();
    this.root.innerHTML = `<div class="live"><canvas class="lines" aria-hidden="true"></canvas><canvas class="marks" aria-hidden="true"></canvas>
      <div class="sheet"><canvas class="input" role="img"></canvas></div>
      <div class="columns" role="group"></div><div class="said"><button type="button" class="head"></button><ol class="probabilities"></ol></div></div>
      <div class="sliding" hidden><button type="button" class="button play"></button><button type="button" class="button step">Step</button>
        <label>Speed <input type="range" min="1" max="60" value="15"></label><span class="note"></span></div>`;
    this.at(".live").classList.toggle("many", file.columns.length > ROOMY);
    this.at(".columns").setAttribute("aria-label", file.label);
    const look = (/** @type {Pick} */ spot) => {
      this.pick(spot);
      this.bring();
    };
    this.picture = new Picture(
      this.at(".live"),
      {
        height: file.height,
        width: file.width,
        columns: file.columns.map(({ vector, count, height, width, reach = null }) => ({
          classes: [vector ? "vector" : "", count <= FEW ? "few" : ""].join(" "),
          count,
          height,
          width,
          reach,
        })),
        answers: file.answers.names,
      },
      look,
    );
    this.picture.columns.forEach(({ root }, k) => {
      const stage = document.createElement("div");
      stage.className = "stage";
      root.replaceWith(stage);
      const column = this.head(file.columns[k]);
      column.addEventListener("click", () => look({ stage: k }));
      stage.append(column, root);
    });
    const head = this.at(".said .head");
    head.textContent = file.answers.title;
    head.addEventListener("click", () => look({ stage: file.columns.length }));
    this.at(".play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.at(".step").addEventListener("click", () => this.step());
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  bring() {
    if (!this.lift) return;
    const { top } = this.root.getBoundingClientRect();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (top > 0 && getComputedStyle(this.root).position === "sticky") this.root.scrollIntoView({ behavior: still ? "auto" : "smooth" });
  }

  /** @param {ColumnFile} column */
  head(column) {
    const head = document.createElement("button");
    head.type = "button";
    head.className = "head";
    head.title = column.label;
    head.setAttribute("aria-label", column.label);
    const [name, size, maps] = ["b", "small", "span"].map((kind) => document.createElement(kind));
    name.textContent = column.title;
    size.textContent = column.vector ? `${column.channels}` : `${column.height}x${column.width}`;
    maps.textContent = column.vector ? "" : `x${column.channels}`;
    size.append(maps);
    head.append(name, size);
    return head;
  }

  /** What is looked at: a column, and a value if its map is shown. @param {number[] | null} at column, map, row, column */
  mark(at) {
    const { picture } = this;
    if (!picture || !at) return;
    this.stop();
    const [stage = -1, map = -1, y = 0, x = 0] = at;
    this.chosen = map < 0 ? null : { stage, map, x, y };
    picture.chosen = this.chosen;
    this.root.querySelectorAll(".head").forEach((head, k) => {
      if (k === stage) head.setAttribute("aria-current", "true");
      else head.removeAttribute("aria-current");
    });
    picture.columns.forEach(({ tiles }, k) =>
      tiles.forEach((tile, i) => tile.classList.toggle("chosen", k === stage && i === map)),
    );
    picture.wake();
    this.controls();
  }

  controls() {
    const column = this.chosen && this.file?.columns[this.chosen.stage];
    this.at(".sliding").hidden = !column?.reach || column.height * column.width < 2;
    this.at(".play").textContent = this.playing ? "Pause" : "Slide the window";
    if (!column?.reach || !this.chosen) return;
    const { rows, columns, own } = column.reach;
    this.at(".sliding .note").textContent = `Each value here comes from ${rows} x ${columns} before it${own ? " on the same map" : ""}.`;
  }

  /** From the value that is looked at, or from the first if that is the last. */
  play() {
    const column = this.chosen && this.file?.columns[this.chosen.stage];
    if (!column || !this.chosen || !this.picture) return;
    this.moving = following(this.chosen, column) ? this.chosen : { ...this.chosen, x: 0, y: 0 };
    this.last = performance.now();
    let owed = 0;
    const move = (/** @type {number} */ now) => {
      if (!this.moving) return;
      owed += ((now - this.last) / 1000) * Number(/** @type {HTMLInputElement} */ (this.at(".sliding input")).value);
      this.last = now;
      for (; owed >= 1 && this.moving; owed--) {
        const next = following(this.moving, column);
        if (!next) return this.pause();
        this.moving = next;
      }
      this.reveal(this.moving);
      this.playing = requestAnimationFrame(move);
    };
    this.playing = requestAnimationFrame(move);
    this.controls();
  }

  /** Shows the numbers where the window stands. */
  pause() {
    const spot = this.moving;
    this.stop();
    if (spot) this.pick(spot);
  }

  step() {
    const spot = this.moving ?? this.chosen;
    const column = spot && this.file?.columns[spot.stage];
    if (!spot || !column) return;
    const next = following(spot, column) ?? { ...spot, x: 0, y: 0 };
    this.stop();
    this.pick(next);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.moving = null;
    this.reveal(null);
    if (this.picture) this.controls();
  }

  /** The map up to this value, and the windows of it. @param {Spot | null} spot */
  reveal(spot) {
    if (!this.picture) return;
    this.picture.sliding = spot;
    this.picture.wake();
  }
}
