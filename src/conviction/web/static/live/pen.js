// @ts-check
// Drawing on a small picture: a pen for the finger, and one that writes a digit by itself.

/** @typedef {{x: number, y: number}} Point in pixels of the picture */

// In pixels of 28 x 28: as wide as the lines of the digits that the network has learned from.
const CORE = 0.75;
const EDGE = 1.1;

export class Sheet {
  /** @param {number} height @param {number} width */
  constructor(height, width) {
    this.height = height;
    this.width = width;
    this.values = new Float32Array(height * width);
  }

  get isEmpty() {
    return this.values.every((value) => value === 0);
  }

  clear() {
    this.values.fill(0);
  }

  /** Draws a line with a soft edge. @param {Point} from @param {Point} to */
  line(from, to) {
    const margin = CORE + EDGE + 1;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - margin));
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - margin));
    for (let y = top; y < Math.min(this.height, Math.max(from.y, to.y) + margin); y++) {
      for (let x = left; x < Math.min(this.width, Math.max(from.x, to.x) + margin); x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const along = length === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const ink = Math.min(1, Math.max(0, 1 - (distance - CORE) / EDGE));
        this.values[y * this.width + x] = Math.max(this.values[y * this.width + x], ink);
      }
    }
  }
}

// How a person writes each digit: the points that a stroke goes through, on a sheet of 28 x 28.
/** @type {[number, number][][][]} */
const WRITTEN = [
  [[[15, 5], [10, 7], [8, 13], [9, 20], [13, 23], [18, 21], [20, 15], [19, 8], [15, 5]]],
  [[[16, 5], [15, 11], [14, 17], [13, 23]]],
  [[[8, 9], [10, 6], [15, 5], [19, 8], [18, 12], [13, 17], [8, 22], [14, 21], [21, 22]]],
  [[[8, 7], [13, 5], [18, 7], [17, 11], [12, 13], [18, 15], [19, 19], [15, 23], [8, 21]]],
  [[[11, 5], [9, 10], [8, 15], [13, 15], [20, 14]], [[18, 7], [17, 14], [16, 23]]],
  [[[19, 5], [14, 5], [10, 6], [9, 12], [14, 11], [19, 14], [19, 19], [14, 23], [8, 21]]],
  [[[17, 5], [12, 9], [9, 15], [10, 21], [15, 23], [19, 20], [18, 16], [13, 15], [10, 18]]],
  [[[7, 7], [13, 6], [20, 6], [17, 12], [14, 18], [12, 23]]],
  [[[18, 7], [13, 5], [10, 8], [13, 12], [18, 17], [17, 22], [12, 23], [9, 19], [13, 14], [18, 10], [18, 7]]],
  [[[18, 8], [14, 5], [10, 8], [11, 13], [16, 13], [18, 9], [18, 16], [16, 23]]],
];

/**
 * The strokes of a digit as points close to each other, on a curve through those above (Catmull and Rom, 1974).
 * @param {number} digit
 * @returns {Point[][]}
 */
export function strokesOf(digit) {
  return WRITTEN[digit].map((stroke) => {
    /** @type {Point[]} */
    const points = [];
    for (let k = 0; k + 1 < stroke.length; k++) {
      const around = [k - 1, k, k + 1, k + 2].map((n) => stroke[Math.min(stroke.length - 1, Math.max(0, n))]);
      for (let n = 0; n < 8; n++) points.push({ x: between(around, 0, n / 8), y: between(around, 1, n / 8) });
    }
    const [x, y] = stroke[stroke.length - 1];
    return [...points, { x, y }];
  });
}

/** @param {number[][]} points four @param {0 | 1} axis @param {number} t 0 at the second, 1 at the third */
function between(points, axis, t) {
  const [a, b, c, d] = points.map((point) => point[axis]);
  return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t);
}
