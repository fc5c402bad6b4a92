// @ts-check
// A small trained network, computed here: convolutions, pooling, dense layers.

/**
 * @typedef {{type: "Conv2D", kernel_size: [number, number], filters: number, weights: string, bias: string}} ConvFile
 * @typedef {{type: "MaxPooling2D", pool_size: [number, number]}} PoolFile
 * @typedef {{type: "Dense", units: number, weights: string, bias: string}} DenseFile
 * @typedef {{shape: [number, number], classes: string[], layers: (ConvFile | PoolFile | DenseFile)[],
 *   evidence: {images: number, right: number}}} NetworkFile
 *
 * A stack of maps, `count` planes of height x width, one after the other.
 * @typedef {{count: number, height: number, width: number, values: Float32Array}} Maps
 *
 * What one layer gave. `flows[j * inputs + i]` is what map i contributes to map (or class) j: the sum over all places,
 * before ReLU. `sizes` are the same sums of magnitudes, which do not cancel.
 * @typedef {{maps: Maps, flows: Float32Array, sizes: Float32Array}} Stage
 *
 * Where the window of a value lies on the maps before: that of (0, 0) begins at (top, left), the next one is `down` or
 * `right` further; `same_map`: on the map of the same number alone.
 * @typedef {{top: number, left: number, rows: number, columns: number, down: number, right: number, same_map: boolean}} Reach
 *
 * @typedef {{picture: Float32Array, stages: Stage[], scores: Float32Array, probabilities: Float32Array}} Answer
 */

/** Little-endian float32 numbers in base64. @param {string} text @returns {Float32Array} */
export function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export class Network {
  /** @param {NetworkFile} file */
  constructor(file) {
    this.classes = file.classes;
    this.shape = file.shape;
    this.evidence = file.evidence;
    this.layers = file.layers.map((layer) =>
      layer.type === "MaxPooling2D"
        ? layer
        : { ...layer, weights: numbersOf(layer.weights), bias: numbersOf(layer.bias) },
    );
    const dense = this.layers.findIndex((layer) => layer.type === "Dense");
    if (dense !== this.layers.length - 1) throw new Error("one dense layer, the output, comes last");
  }

  /** For a picture of it; the last layer's window is null, because it sees everything. @returns {import("./picture.js").Layout} */
  get layout() {
    let [height, width] = this.shape;
    const columns = this.layers.slice(0, -1).map((layer) => {
      const [rows, across] = "pool_size" in layer ? layer.pool_size : "kernel_size" in layer ? layer.kernel_size : [1, 1];
      /** @type {Reach} */
      const reach =
        layer.type === "MaxPooling2D"
          ? { top: 0, left: 0, rows, columns: across, down: rows, right: across, same_map: true }
          : { top: -((rows - 1) >> 1), left: -((across - 1) >> 1), rows, columns: across, down: 1, right: 1, same_map: false };
      height = Math.floor(height / reach.down);
      width = Math.floor(width / reach.right);
      return { classes: layer.type === "Conv2D" ? "convolution" : "pooling", height, width, reach };
    });
    const counts = this.answer(new Float32Array(this.shape[0] * this.shape[1])).stages.map(({ maps }) => maps.count);
    return {
      height: this.shape[0],
      width: this.shape[1],
      columns: columns.map((column, k) => ({ ...column, count: counts[k] })),
      answers: this.classes,
    };
  }

  /** How many numbers it has learned. */
  get parameters() {
    return this.layers.reduce((sum, one) => sum + ("weights" in one ? one.weights.length + one.bias.length : 0), 0);
  }

  /** @param {Float32Array} picture height x width, 0 to 1 @returns {Answer} */
  answer(picture) {
    const [height, width] = this.shape;
    /** @type {Maps} */
    let maps = { count: 1, height, width, values: picture };
    const stages = [];
    for (const layer of this.layers) {
      const stage =
        layer.type === "Conv2D" ? convolve(maps, layer) : layer.type === "MaxPooling2D" ? pool(maps, layer) : dense(maps, layer);
      stages.push(stage);
      maps = stage.maps;
    }
    return { picture, stages, scores: maps.values, probabilities: softmax(maps.values) };
  }
}

/**
 * Stride 1, padding "same", then ReLU. Weights are as Keras keeps them: rows, columns, maps in, maps out.
 * @param {Maps} from
 * @param {{kernel_size: [number, number], filters: number, weights: Float32Array, bias: Float32Array}} layer
 * @returns {Stage}
 */
function convolve(from, layer) {
  const { count, height, width } = from;
  const [rows, columns] = layer.kernel_size;
  const [up, left] = [(rows - 1) >> 1, (columns - 1) >> 1];
  const plane = height * width;
  const values = new Float32Array(layer.filters * plane);
  const flows = new Float32Array(layer.filters * count);
  const sizes = new Float32Array(layer.filters * count);
  const part = new Float32Array(plane);
  for (let j = 0; j < layer.filters; j++) {
    const to = values.subarray(j * plane, (j + 1) * plane).fill(layer.bias[j]);
    for (let i = 0; i < count; i++) {
      part.fill(0);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const weight = layer.weights[((r * columns + c) * count + i) * layer.filters + j];
          const [dy, dx] = [r - up, c - left];
          for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
            const source = i * plane + (y + dy) * width + dx;
            for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++)
              part[y * width + x] += weight * from.values[source + x];
          }
        }
      }
      let flow = 0;
      let size = 0;
      for (let n = 0; n < plane; n++) {
        to[n] += part[n];
        flow += part[n];
        size += Math.abs(part[n]);
      }
      flows[j * count + i] = flow;
      sizes[j * count + i] = size;
    }
    for (let n = 0; n < plane; n++) to[n] = Math.max(0, to[n]);
  }
  return { maps: { count: layer.filters, height, width, values }, flows, sizes };
}

/**
 * The largest value of each window; what is left over at the right and below is dropped, as Keras does.
 * @param {Maps} from
 * @param {PoolFile} layer
 * @returns {Stage}
 */
function pool(from, layer) {
  const [rows, columns] = layer.pool_size;
  const [height, width] = [Math.floor(from.height / rows), Math.floor(from.width / columns)];
  const values = new Float32Array(from.count * height * width);
  const flows = new Float32Array(from.count * from.count);
  for (let i = 0; i < from.count; i++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let most = -Infinity;
        for (let r = 0; r < rows; r++)
          for (let c = 0; c < columns; c++)
            most = Math.max(most, from.values[(i * from.height + y * rows + r) * from.width + x * columns + c]);
        values[(i * height + y) * width + x] = most;
        flows[i * from.count + i] += most;
      }
    }
  }
  return { maps: { count: from.count, height, width, values }, flows, sizes: flows };
}

/**
 * One score for each class, from all values of the maps in the order of Keras: rows, columns, maps.
 * @param {Maps} from
 * @param {{units: number, weights: Float32Array, bias: Float32Array}} layer
 * @returns {Stage}
 */
function dense(from, layer) {
  const plane = from.height * from.width;
  const values = Float32Array.from(layer.bias);
  const flows = new Float32Array(layer.units * from.count);
  for (let n = 0; n < plane; n++) {
    for (let i = 0; i < from.count; i++) {
      const value = from.values[i * plane + n];
      if (value === 0) continue;
      for (let j = 0; j < layer.units; j++)
        flows[j * from.count + i] += value * layer.weights[(n * from.count + i) * layer.units + j];
    }
  }
  for (let j = 0; j < layer.units; j++)
    for (let i = 0; i < from.count; i++) values[j] += flows[j * from.count + i];
  return { maps: { count: layer.units, height: 1, width: 1, values }, flows, sizes: flows.map(Math.abs) };
}

/** @param {Float32Array} scores @returns {Float32Array} */
export function softmax(scores) {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
