// @ts-check
// A learner's own network as one picture, computed on the server: columns of maps, a window that slides, and values
// that are clicked to see how they were calculated.
import { Picture } from "./picture.js";

/** @typedef {import("./network.js").Reach} Reach */
/** @typedef {import("./picture.js").Spot} Spot */
/**
 * A column as the server sends it: `maps` are int8 in base64, `count` planes of `rows` x `columns` values.
 * Until they are computed, there are only shapes.
 * @typedef {{rows: number, columns: number, maps: string, window: string, reach: Reach | null, flows: number[] | null, sizes: number[] | null}} Computed
 * @typedef {{title: string, label: string, vector: boolean, height: number, width: number, shown: string, count: number}
 *   & Partial<Computed>} ColumnContent
 * @typedef {{probabilities: number[], flows: number[] | null, sizes: number[] | null}} ComputedAnswers
 * @typedef {{input: string, name: string, height: number, width: number, label: string, waiting?: boolean, columns: ColumnContent[],
 *   answers: {names: string[], title: string} & Partial<ComputedAnswers>}} DiagramContent
 * @typedef {Spot | {stage: number}} Pick a value, or a column as a whole
 */

// The server's scale of a map.
const FULL_COLOUR = 127;
// Up to this many maps stand in one column of tiles; more take two.
const FEW = 8;
// With more columns than this, there is no room for full names.
const ROOMY = 5;
// As in the style sheet: the calculation opens as a sheet over the page.
const NARROW = "(max-width: 51.99rem)";

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
   * @param {boolean} opens whether the calculation of what is clicked then opens below
   */
  constructor(root, pick, opens) {
    this.root = root;
    this.pick = pick;
    this.opens = opens;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {DiagramContent | null} */
    this.file = null;
    this.shape = "";
    /** @type {Spot | null} the value that is looked at, if it is on a map that is shown */
    this.chosen = null;
    /** @type {Spot | null | undefined} where the window slides */
    this.moving = null;
    this.last = 0;
    this.playing = 0;
  }

  end() {
    this.stop();
    this.picture?.end();
  }

  /** @param {DiagramContent} file */
  async show(file) {
    this.stop();
    this.file = file;
    const shape = JSON.stringify([file.height, file.width, file.answers.names.length, file.columns.map((one) => [one.label, one.count])]);
    if (shape !== this.shape) this.build(file);
    this.shape = shape;
    this.at(".input").setAttribute("aria-label", file.name);
    this.at(".said .head").textContent = file.answers.title;
    this.picture?.bars.forEach(({ label }, k) => (label.textContent = label.title = file.answers.names[k]));
    const { probabilities = [], flows = null, sizes = null } = file.answers;
    // The old network's values fade until the new ones arrive.
    this.root.classList.toggle("stale", !!file.waiting);
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
          maps: { height: rows, width: columns, values: bytesOf(maps), most: FULL_COLOUR },
          flows,
          sizes,
        })),
        { maps: { height: 1, width: 1, values: probabilities }, flows, sizes },
      ],
      probabilities,
    });
    this.controls();
  }

  /** @param {DiagramContent} file */
  build(file) {
    this.picture?.end();
    this.root.innerHTML = `<div class="live"><canvas class="lines" aria-hidden="true"></canvas><canvas class="marks" aria-hidden="true"></canvas>
      <div class="sheet"><canvas class="input" role="img"></canvas></div>
      <div class="columns" role="group"></div><div class="said"><button type="button" class="head"></button><ol class="probabilities" aria-label="Probability of each class"></ol></div></div>
      <div class="sliding" hidden><button type="button" class="button play"></button><button type="button" class="button step">One step</button>
        <label>Speed <input type="range" min="1" max="60" value="15"></label><span class="note"></span></div>`;
    this.at(".live").classList.toggle("many", file.columns.length > ROOMY);
    this.at(".columns").setAttribute("aria-label", file.label);
    const look = (/** @type {Pick} */ spot) => {
      this.pick(spot);
      this.bring(spot.stage);
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
    head.title = "Lines show what the maps or units drawn here add to each class's score. Softmax turns the scores into probabilities.";
    head.addEventListener("click", () => look({ stage: file.columns.length }));
    this.at(".live").classList.toggle("opens", this.opens);
    /** @type {HTMLButtonElement} */ (head).disabled = !this.opens;
    this.at(".play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.at(".step").addEventListener("click", () => this.step());
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  /** What was chosen and its calculation come into view together. @param {number} stage */
  bring(stage) {
    if (!this.opens) return;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    if (matchMedia(NARROW).matches) {
      this.openSheet();
      (this.root.querySelectorAll(".stage")[stage] ?? this.at(".said")).scrollIntoView({ behavior });
    } else if (this.root.getBoundingClientRect().top > 0) {
      this.root.scrollIntoView({ behavior });
    }
  }

  /** On a narrow window the calculation lies over the page; Escape and its button close it. */
  openSheet() {
    const sheet = /** @type {HTMLElement | null} */ (document.querySelector(".inside .calculation"));
    const button = /** @type {HTMLElement | null} */ (sheet?.querySelector(".close-sheet") ?? null);
    if (!sheet || !button) return;
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    const close = () => {
      sheet.classList.remove("sheet");
      sheet.onkeydown = button.onclick = null;
      opener?.focus({ preventScroll: true });
    };
    sheet.classList.add("sheet");
    button.onclick = close;
    sheet.onkeydown = (e) => {
      if (e.key === "Escape") close();
    };
    if (opener?.matches(".head:focus-visible")) button.focus();
  }

  /** @param {ColumnContent} column */
  head(column) {
    const head = document.createElement("button");
    head.type = "button";
    head.className = "head";
    head.title = column.label;
    head.setAttribute("aria-label", column.label);
    const [name, size, shown] = ["b", "small", "small"].map((kind) => document.createElement(kind));
    name.textContent = column.title;
    size.textContent = column.vector ? "" : `${column.height}x${column.width}`;
    shown.textContent = column.shown;
    head.append(name, size, shown);
    return head;
  }

  /** What is looked at: a column, and a value if its map is shown. @param {number[] | null} at column, map, row, column */
  mark(at) {
    const { picture } = this;
    if (!picture || !at) return;
    this.stop();
    const [stage = -1, map = -1, y = 0, x = 0] = at;
    this.choose(map < 0 ? null : { stage, map, x, y });
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

  /** @param {Spot | null} spot */
  choose(spot) {
    this.chosen = spot;
    if (!this.picture) return;
    this.picture.chosen = spot;
    this.picture.wake();
  }

  controls() {
    const column = this.chosen && this.file?.columns[this.chosen.stage];
    this.at(".sliding").hidden = !column?.window;
    this.at(".play").textContent = this.playing ? "Pause" : "Slide the window";
    this.at(".sliding .note").textContent = column?.window ?? "";
  }

  /** Starts at the chosen value, or at the first if the chosen one is the last. */
  play() {
    const column = this.chosen && this.file?.columns[this.chosen.stage];
    if (!column || !this.chosen || !this.picture) return;
    this.moving = following(this.chosen, column) ? this.chosen : { ...this.chosen, x: 0, y: 0 };
    this.last = performance.now();
    let owed = 0;
    const move = (/** @type {number} */ now) => {
      if (!this.moving) return;
      // Not all the time that a tab was hidden.
      owed += Math.min(0.1, (now - this.last) / 1000) * Number(/** @type {HTMLInputElement} */ (this.at(".sliding input")).value);
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
    // At once, so that a quick second press goes on from there.
    this.choose(next);
    this.pick(next);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.moving = null;
    this.reveal(null);
    if (this.picture) this.controls();
  }

  /** Shows the map up to this value, and the window of this value. @param {Spot | null} spot */
  reveal(spot) {
    if (!this.picture) return;
    this.picture.sliding = spot;
    this.picture.wake();
  }
}
