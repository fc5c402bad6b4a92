// @ts-check
// A network as one picture: its maps as tiles, and what flows between them as lines. Nothing in it is scripted: tiles
// and lines show what the network computed for the picture in front, here (`network.js`) or on the server.

/** @typedef {import("./network.js").Reach} Reach */

// The answer arrives a moment later at each layer, so that one sees it go through.
const DELAY_MS = 70;
// On a phone lines end at the name of an answer, which is at the left of its row; in pixels.
const NAME = 6;

/**
 * Planes of height x width, one after the other; `most` is the value in full colour, by default the greatest.
 * @typedef {{height: number, width: number, values: ArrayLike<number>, most?: number}} Maps
 *
 * What the maps of one column show, and what flows to each from each map before; null where that is not known.
 * @typedef {{maps: Maps, flows: ArrayLike<number> | null, sizes: ArrayLike<number> | null}} Stage
 *
 * A picture, a stage for each column, and one for the answers, whose maps are not drawn.
 * @typedef {{picture: ArrayLike<number> | CanvasImageSource, stages: Stage[], probabilities: ArrayLike<number>}} Answer
 *
 * Maps have `height` x `width` values, of which an answer may show fewer, thinned out.
 * @typedef {{classes: string, count: number, height: number, width: number, reach: Reach | null}} ColumnLayout
 * @typedef {{height: number, width: number, columns: ColumnLayout[], answers: string[]}} Layout
 *
 * @typedef {{root: HTMLElement, tiles: HTMLCanvasElement[]}} Column
 * @typedef {{stage: number, map: number, x: number, y: number}} Spot a value of a map
 */

export class Picture {
  /**
   * @param {HTMLElement} root an element with the canvas of the input in it, and a place for columns and for answers
   * @param {Layout} layout
   * @param {(spot: Spot) => unknown} [pick] when a value is clicked
   */
  constructor(root, layout, pick) {
    this.layout = layout;
    this.pick = pick;
    this.root = root;
    this.input = /** @type {HTMLCanvasElement} */ (root.querySelector(".input"));
    this.lines = new Overlay(root, ".lines");
    this.marks = new Overlay(root, ".marks");
    [this.input.height, this.input.width] = [layout.height, layout.width];
    this.input.style.setProperty("--ratio", `${layout.width / layout.height}`);
    /** @type {Column[]} */
    this.columns = [];
    /** @type {{at: number, answer: Answer}[]} */
    this.arriving = [];
    /** @type {(Answer | null)[]} */
    this.shown = [...layout.columns, null].map(() => null);
    /** @type {Answer["picture"] | null} */
    this.current = null;
    /** @type {Spot | null} where the pointer is */
    this.spot = null;
    /** @type {Spot | null} where a window stands while nothing is pointed at */
    this.chosen = null;
    /** @type {Spot | null} where a window slides; its map is shown up to there */
    this.sliding = null;
    this.frame = 0;
    this.makeColumns();
    this.bars = this.makeBars();
    const again = () => this.draw();
    this.resized = new ResizeObserver(again);
    this.resized.observe(root);
    this.queries = ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)"].map((query) => matchMedia(query));
    for (const query of this.queries) query.addEventListener("change", again);
    this.end = () => {
      this.resized.disconnect();
      for (const query of this.queries) query.removeEventListener("change", again);
      cancelAnimationFrame(this.frame);
    };
  }

  /** How many values of a map are shown. @param {number} k @param {number} map @param {Maps} maps */
  revealedOf(k, map, maps) {
    const spot = this.sliding;
    if (spot?.stage !== k || spot.map !== map) return Infinity;
    const { height, width } = this.layout.columns[k];
    return Math.floor((spot.y * maps.height) / height) * maps.width + Math.floor((spot.x * maps.width) / width) + 1;
  }

  makeColumns() {
    const place = /** @type {HTMLElement} */ (this.root.querySelector(".columns"));
    this.layout.columns.forEach(({ classes, count, height, width }, k) => {
      const column = document.createElement("div");
      column.className = `column ${classes}`;
      const tiles = Array.from({ length: count }, (_, map) => {
        const tile = document.createElement("canvas");
        tile.style.aspectRatio = `${width} / ${height}`;
        // Smaller maps are smaller tiles, where the style sheet wants it.
        tile.style.setProperty("--narrow", `${Math.min(1, width / height)}`);
        tile.style.setProperty("--share", `${Math.max(height / this.layout.height, width / this.layout.width)}`);
        /** @param {MouseEvent} e @returns {Spot} */
        const spot = (e) => {
          const box = tile.getBoundingClientRect();
          const [x, y] = [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height];
          return { stage: k, map, x: within(x * width, width), y: within(y * height, height) };
        };
        tile.addEventListener("pointermove", (e) => this.point(spot(e)));
        tile.addEventListener("pointerleave", () => this.point(null));
        tile.addEventListener("click", (e) => this.pick?.(spot(e)));
        column.append(tile);
        return tile;
      });
      place.append(column);
      this.columns.push({ root: column, tiles });
    });
  }

  makeBars() {
    const list = /** @type {HTMLElement} */ (this.root.querySelector(".probabilities"));
    return this.layout.answers.map((name, map) => {
      const row = document.createElement("li");
      const [label, bar, share] = ["b", "i", "span"].map((kind) => row.appendChild(document.createElement(kind)));
      label.textContent = label.title = name;
      row.addEventListener("pointerenter", () => this.point({ stage: this.columns.length, map, x: 0, y: 0 }));
      row.addEventListener("pointerleave", () => this.point(null));
      row.addEventListener("click", () => this.pick?.({ stage: this.columns.length, map, x: 0, y: 0 }));
      list.append(row);
      return { row, label, bar, share };
    });
  }

  /** Shows what the network makes of a picture, layer after layer. @param {Answer} answer */
  show(answer) {
    this.arriving.push({ at: performance.now(), answer });
    this.wake();
  }

  /** @param {Spot | null} spot */
  point(spot) {
    this.spot = spot;
    this.wake();
  }

  wake() {
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      this.step(now);
    });
  }

  /** @param {number} now */
  step(now) {
    const delay = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : DELAY_MS;
    const last = this.arriving[this.arriving.length - 1];
    if (last) {
      this.current = last.answer.picture;
      this.shown = this.shown.map((before, k) => {
        const there = this.arriving.filter((one) => now - one.at >= delay * (k + 1));
        return there.length ? there[there.length - 1].answer : before;
      });
      const whole = delay * this.shown.length;
      // What has been overtaken everywhere is forgotten.
      while (this.arriving.length > 1 && now - this.arriving[1].at >= whole) this.arriving.shift();
      if (now - last.at >= whole) this.arriving = [];
    }
    this.draw();
    if (this.arriving.length) this.wake();
  }

  draw() {
    const colours = this.colours();
    const { height, width } = this.layout;
    if (this.current && "length" in this.current) paint(this.input, { height, width, values: this.current }, 0, 1, colours);
    else if (this.current) this.input.getContext("2d")?.drawImage(this.current, 0, 0, width, height);
    this.columns.forEach(({ tiles }, k) => {
      const maps = this.shown[k]?.stages[k].maps;
      if (!maps) return;
      // All maps of a layer on one scale: what is bright is strong, here and beside.
      const most = maps.most ?? Array.from(maps.values).reduce((a, b) => Math.max(a, b), 0.5);
      tiles.forEach((tile, i) => paint(tile, maps, i, most, colours, this.revealedOf(k, i, maps)));
    });
    const end = this.shown[this.shown.length - 1];
    if (end) {
      const best = Array.prototype.indexOf.call(end.probabilities, Math.max(...Array.from(end.probabilities)));
      this.bars.forEach(({ row, bar, share }, j) => {
        row.classList.toggle("best", j === best);
        bar.style.setProperty("--share", end.probabilities[j].toFixed(4));
        share.textContent = `${Math.round(100 * end.probabilities[j])}%`;
      });
    }
    this.drawLines();
  }

  /** The colours of 0, of the greatest value and of its opposite, from the style sheet. */
  colours() {
    const style = getComputedStyle(this.root);
    return ["--low", "--high", "--below"].map((name) => style.getPropertyValue(name).split(",").map(Number));
  }

  /** Lines from map to map: the width shows how much flows, the colour whether it adds or takes away. */
  drawLines() {
    const area = this.root.getBoundingClientRect();
    const [pen, marks] = [this.lines.clean(area), this.marks.clean(area)];
    const style = getComputedStyle(this.root);
    const [forIt, against] = [style.getPropertyValue("--for"), style.getPropertyValue("--against")];
    /** @param {Element} element */
    const boxOf = (element) => {
      const box = element.getBoundingClientRect();
      return { left: box.left - area.left, top: box.top - area.top, width: box.width, height: box.height };
    };
    const answers = boxOf(/** @type {Element} */ (this.root.querySelector(".probabilities")));
    const down = answers.top > boxOf(this.input).top + boxOf(this.input).height;
    const rows = [[boxOf(this.input)], ...this.columns.map(({ tiles }) => tiles.map(boxOf)), this.bars.map(({ row }) => boxOf(row))];
    const focus = this.sliding ?? this.spot ?? this.chosen;
    // Where nothing is pointed at, the lines of what was chosen stand out less.
    const faint = this.spot ? 0.12 : 0.3;
    this.shown.forEach((answer, k) => {
      if (!answer) return;
      const { flows, sizes } = answer.stages[k];
      if (!flows || !sizes) return;
      const [from, to] = [rows[k], rows[k + 1]];
      const most = Math.max(1e-6, ...Array.from(sizes));
      for (let j = 0; j < to.length; j++) {
        for (let i = 0; i < from.length; i++) {
          const share = sizes[j * from.length + i] / most;
          if (share < 0.04) continue;
          const chosen = focus && ((focus.stage === k && focus.map === j) || (focus.stage === k - 1 && focus.map === i));
          const strength = focus ? (chosen ? 1 : faint) : 0.55;
          pen.globalAlpha = Math.min(1, strength * (0.15 + 0.85 * share));
          pen.lineWidth = 0.5 + 2 * share + (chosen ? 0.5 : 0);
          pen.strokeStyle = flows[j * from.length + i] < 0 ? against : forIt;
          curve(pen, from[i], to[j], down);
        }
      }
    });
    if (focus) this.frameWindow(marks, rows, focus);
  }

  /**
   * The window of each map before it that a value has been computed from.
   * @param {CanvasRenderingContext2D} pen
   * @param {{left: number, top: number, width: number, height: number}[][]} rows
   * @param {Spot} spot
   */
  frameWindow(pen, rows, spot) {
    const column = this.layout.columns[spot.stage];
    if (!this.shown[spot.stage] || !column?.reach) return;
    const { top, left, rows: tall, columns: across, down, right, same_map } = column.reach;
    const before = spot.stage === 0 ? this.layout : this.layout.columns[spot.stage - 1];
    const style = getComputedStyle(this.root);
    /** Seen on dark maps and on light ones. @param {number} x @param {number} y @param {number} width @param {number} height */
    const frame = (x, y, width, height) => {
      for (const [line, colour] of /** @type {[number, string][]} */ ([[3.5, "--paper"], [1.5, "--pointer"]])) {
        pen.lineWidth = line;
        pen.strokeStyle = style.getPropertyValue(colour);
        pen.strokeRect(x, y, width, height);
      }
    };
    rows[spot.stage].forEach((box, i) => {
      if (same_map && rows[spot.stage].length > 1 && i !== spot.map) return;
      const [high, wide] = [box.height / before.height, box.width / before.width];
      frame(box.left + (left + spot.x * right) * wide, box.top + (top + spot.y * down) * high, across * wide, tall * high);
    });
    const box = rows[spot.stage + 1][spot.map];
    if (!box) return;
    const [high, wide] = [box.height / column.height, box.width / column.width];
    frame(box.left + spot.x * wide, box.top + spot.y * high, wide, high);
  }
}

/** @param {number} at @param {number} count @returns {number} the whole number below, from 0 to count - 1 */
const within = (at, count) => Math.min(count - 1, Math.max(0, Math.floor(at)));

/** A canvas over the whole picture, as fine as the screen. */
class Overlay {
  /** @param {HTMLElement} root @param {string} selector */
  constructor(root, selector) {
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector(selector));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
  }

  /** @param {DOMRect} area @returns {CanvasRenderingContext2D} empty, in units of the page */
  clean(area) {
    const [width, height] = [area.width, area.height].map((side) => Math.round(side * devicePixelRatio));
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.pen.clearRect(0, 0, area.width, area.height);
    return this.pen;
  }
}

/**
 * From the side of one box to the side of the other that faces it.
 * @param {CanvasRenderingContext2D} pen
 * @param {{left: number, top: number, width: number, height: number}} a
 * @param {{left: number, top: number, width: number, height: number}} b
 * @param {boolean} down whether the layers are below each other, as on a phone
 */
function curve(pen, a, b, down) {
  pen.beginPath();
  if (!down) {
    const [x, y, u, v] = [a.left + a.width + 1, a.top + a.height / 2, b.left - 1, b.top + b.height / 2];
    pen.moveTo(x, y);
    pen.bezierCurveTo((x + u) / 2, y, (x + u) / 2, v, u, v);
  } else {
    const [x, y, u, v] = [a.left + a.width / 2, a.top + a.height + 1, b.left + (b.width > 99 ? NAME : b.width / 2), b.top - 1];
    pen.moveTo(x, y);
    pen.bezierCurveTo(x, (y + v) / 2, u, (y + v) / 2, u, v);
  }
  pen.stroke();
}

/**
 * One map on a canvas, which gets its size; its colours lie between those that are given.
 * @param {HTMLCanvasElement} canvas
 * @param {Maps} maps
 * @param {number} map
 * @param {number} most the value that gets the second colour
 * @param {number[][]} colours of 0, of the greatest value, and of its opposite
 * @param {number} revealed how many values are shown
 */
function paint(canvas, maps, map, most, [low, high, below], revealed = Infinity) {
  if (canvas.height !== maps.height) canvas.height = maps.height;
  if (canvas.width !== maps.width) canvas.width = maps.width;
  const plane = maps.height * maps.width;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(maps.width, maps.height);
  for (let n = 0; n < plane; n++) {
    // Of the square root, so that weak values can be seen as well.
    const value = maps.values[map * plane + n] / most;
    const share = Math.sqrt(Math.min(1, Math.abs(value)));
    const end = value < 0 ? below : high;
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = low[c] + share * (end[c] - low[c]);
    image.data[4 * n + 3] = n < revealed ? 255 : 0;
  }
  pen.putImageData(image, 0, 0);
}
