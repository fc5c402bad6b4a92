// @ts-check
// A network as one picture: its maps as tiles, and what flows between them as lines. Nothing in it is scripted: tiles
// and lines show what `network.js` computed for the picture in front.

/** @typedef {import("./network.js").Answer} Answer */
/** @typedef {import("./network.js").Maps} Maps */
/** @typedef {import("./network.js").Network} Network */

// The answer arrives a moment later at each layer, so that one sees it go through.
const DELAY_MS = 70;
// On a phone lines end at the name of an answer, which is at the left of its row; in pixels.
const NAME = 6;

/**
 * @typedef {{root: HTMLElement, tiles: HTMLCanvasElement[]}} Column
 * @typedef {{stage: number, map: number, x: number, y: number}} Spot where the pointer is, in values of a map
 */

export class Picture {
  /**
   * @param {HTMLElement} root an element with the canvas of the input in it, and a place for columns and for answers
   * @param {Network} network
   */
  constructor(root, network) {
    this.network = network;
    this.root = root;
    this.input = /** @type {HTMLCanvasElement} */ (root.querySelector(".input"));
    this.lines = new Overlay(root, ".lines");
    this.marks = new Overlay(root, ".marks");
    [this.input.height, this.input.width] = network.shape;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {{at: number, picture: Float32Array, answer: Answer}[]} */
    this.arriving = [];
    /** @type {(Answer | null)[]} */
    this.shown = network.layers.map(() => null);
    /** @type {Spot | null} */
    this.spot = null;
    this.frame = 0;
    this.makeColumns();
    this.bars = this.makeBars();
    new ResizeObserver(() => this.draw()).observe(root);
    for (const query of ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)"])
      matchMedia(query).addEventListener("change", () => this.draw());
  }

  makeColumns() {
    const place = /** @type {HTMLElement} */ (this.root.querySelector(".columns"));
    const blank = this.network.answer(new Float32Array(this.network.shape[0] * this.network.shape[1]));
    this.network.layers.slice(0, -1).forEach((layer, k) => {
      const { maps } = blank.stages[k];
      const column = document.createElement("div");
      column.className = `column ${layer.type === "Conv2D" ? "convolution" : "pooling"}`;
      const tiles = Array.from({ length: maps.count }, (_, map) => {
        const tile = document.createElement("canvas");
        [tile.height, tile.width] = [maps.height, maps.width];
        tile.addEventListener("pointermove", (e) => {
          const box = tile.getBoundingClientRect();
          const [x, y] = [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height];
          this.point({ stage: k, map, x: Math.floor(x * tile.width), y: Math.floor(y * tile.height) });
        });
        tile.addEventListener("pointerleave", () => this.point(null));
        column.append(tile);
        return tile;
      });
      place.append(column);
      this.columns.push({ root: column, tiles });
    });
  }

  makeBars() {
    const list = /** @type {HTMLElement} */ (this.root.querySelector(".probabilities"));
    return this.network.classes.map((name, map) => {
      const row = document.createElement("li");
      const [label, bar, share] = ["b", "i", "span"].map((kind) => row.appendChild(document.createElement(kind)));
      label.textContent = name;
      row.addEventListener("pointerenter", () => this.point({ stage: this.columns.length, map, x: 0, y: 0 }));
      row.addEventListener("pointerleave", () => this.point(null));
      list.append(row);
      return { row, bar, share };
    });
  }

  /** Shows a picture and what the network makes of it, layer after layer. @param {Float32Array} picture */
  show(picture) {
    const answer = this.network.answer(picture);
    this.arriving.push({ at: performance.now(), picture: picture.slice(), answer });
    this.wake();
    return answer;
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
      this.current = last.picture;
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
    if (this.current) paint(this.input, { count: 1, height: this.input.height, width: this.input.width, values: this.current }, 0, 1, colours);
    this.columns.forEach(({ tiles }, k) => {
      const maps = this.shown[k]?.stages[k].maps;
      if (!maps) return;
      // All maps of a layer on one scale: what is bright is strong, here and beside.
      const most = Math.max(0.5, maps.values.reduce((a, b) => Math.max(a, b), 0));
      tiles.forEach((tile, i) => paint(tile, maps, i, most, colours));
    });
    const end = this.shown[this.shown.length - 1];
    if (end) {
      const best = end.probabilities.indexOf(Math.max(...end.probabilities));
      this.bars.forEach(({ row, bar, share }, j) => {
        row.classList.toggle("best", j === best);
        bar.style.setProperty("--share", end.probabilities[j].toFixed(4));
        share.textContent = `${Math.round(100 * end.probabilities[j])}%`;
      });
    }
    this.drawLines();
  }

  /** The colours of the least and of the greatest value, from the style sheet. */
  colours() {
    const style = getComputedStyle(this.root);
    return [style.getPropertyValue("--low"), style.getPropertyValue("--high")].map((text) => text.split(",").map(Number));
  }

  /** Lines from map to map: as wide as what flows, and in one colour what speaks for, in another what speaks against. */
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
    const down = boxOf(this.bars[0].row).top > boxOf(this.input).top + boxOf(this.input).height;
    const rows = [[boxOf(this.input)], ...this.columns.map(({ tiles }) => tiles.map(boxOf)), this.bars.map(({ row }) => boxOf(row))];
    this.shown.forEach((answer, k) => {
      if (!answer) return;
      const { flows, sizes } = answer.stages[k];
      const [from, to] = [rows[k], rows[k + 1]];
      const most = Math.max(1e-6, ...sizes);
      for (let j = 0; j < to.length; j++) {
        for (let i = 0; i < from.length; i++) {
          const share = sizes[j * from.length + i] / most;
          if (share < 0.04) continue;
          const chosen = this.spot && ((this.spot.stage === k && this.spot.map === j) || (this.spot.stage === k - 1 && this.spot.map === i));
          const strength = this.spot ? (chosen ? 1 : 0.12) : 0.55;
          pen.globalAlpha = Math.min(1, strength * (0.15 + 0.85 * share));
          pen.lineWidth = 0.5 + 2 * share + (chosen ? 0.5 : 0);
          pen.strokeStyle = flows[j * from.length + i] < 0 ? against : forIt;
          curve(pen, from[i], to[j], down);
        }
      }
    });
    if (this.spot) this.frameWindow(marks, rows, this.spot);
  }

  /**
   * The window of each map before it that a value has been computed from.
   * @param {CanvasRenderingContext2D} pen
   * @param {{left: number, top: number, width: number, height: number}[][]} rows
   * @param {Spot} spot
   */
  frameWindow(pen, rows, spot) {
    const answer = this.shown[spot.stage];
    const layer = this.network.layers[spot.stage];
    if (!answer || layer.type === "Dense") return;
    const { reach, step, maps } = answer.stages[spot.stage];
    const before = spot.stage === 0 ? this.network.shape : [maps.height * step, maps.width * step];
    const start = step === 1 ? (reach - 1) >> 1 : 0;
    pen.lineWidth = 1.5;
    pen.strokeStyle = getComputedStyle(this.root).getPropertyValue("--pointer");
    rows[spot.stage].forEach((box, i) => {
      if (layer.type === "MaxPooling2D" && i !== spot.map) return;
      const [high, wide] = [box.height / before[0], box.width / before[1]];
      pen.strokeRect(box.left + (spot.x * step - start) * wide, box.top + (spot.y * step - start) * high, reach * wide, reach * high);
    });
    const box = rows[spot.stage + 1][spot.map];
    const [high, wide] = [box.height / maps.height, box.width / maps.width];
    pen.strokeRect(box.left + spot.x * wide, box.top + spot.y * high, wide, high);
  }
}

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
 * One map on a canvas of its size; its colours lie between the two that are given.
 * @param {HTMLCanvasElement} canvas
 * @param {Maps} maps
 * @param {number} map
 * @param {number} most the value that gets the second colour
 * @param {number[][]} colours
 */
function paint(canvas, maps, map, most, [low, high]) {
  const plane = maps.height * maps.width;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(maps.width, maps.height);
  for (let n = 0; n < plane; n++) {
    // Of the square root, so that weak values can be seen as well.
    const share = Math.sqrt(Math.min(1, Math.max(0, maps.values[map * plane + n] / most)));
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = low[c] + share * (high[c] - low[c]);
    image.data[4 * n + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}
