// @ts-check
// The filters of a first layer as small pictures, and what each makes of a picture.

/**
 * Keras's order: rows, columns, channels, filters.
 * @typedef {{shape: number[], values: Float32Array}} Kernels
 *
 * Pixels from 0 to 1, row by row, the channels of a pixel beside each other.
 * @typedef {{height: number, width: number, channels: number, values: Float32Array}} Pixels
 */

// Of a picture, so that all maps are computed in a moment.
const MOST_PIXELS = 64;

/** What `reporting/journal.py` has packed: whole numbers from -127 to 127 in base64, and what 127 stands for.
 * @param {{shape: number[], most: number, values: string}} packed @returns {Kernels} */
export function unpacked({ shape, most, values }) {
  const bytes = atob(values);
  return { shape, values: Float32Array.from({ length: bytes.length }, (_, n) => (((bytes.charCodeAt(n) + 128) & 255) - 128) * (most / 127)) };
}

/**
 * What filter f makes of a picture, before bias and activation: stride 1, zeros around it (padding "same").
 * @param {Pixels} picture @param {Kernels} kernels @param {number} f @returns {Float32Array} height x width
 */
export function response(picture, kernels, f) {
  const { height, width, values } = picture;
  const [rows, columns, channels, filters] = kernels.shape;
  const [up, left] = [(rows - 1) >> 1, (columns - 1) >> 1];
  const out = new Float32Array(height * width);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      for (let k = 0; k < channels; k++) {
        const weight = kernels.values[((r * columns + c) * channels + k) * filters + f];
        const [from, to] = [Math.max(0, left - c), Math.min(width, width + left - c)];
        for (let y = Math.max(0, up - r); y < Math.min(height, height + up - r); y++)
          for (let x = from; x < to; x++) out[y * width + x] += weight * values[((y + r - up) * width + x + c - left) * channels + k];
      }
  return out;
}

/** Grey is nothing, white adds, black takes away. @param {HTMLCanvasElement} canvas @param {(n: number, c: number) => number} valueAt -1 to 1 */
function paint(canvas, valueAt) {
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(canvas.width, canvas.height);
  for (let n = 0; n < canvas.width * canvas.height; n++) {
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = 128 + 127 * valueAt(n, c);
    image.data[4 * n + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

/** @param {HTMLCanvasElement} canvas columns x rows @param {Kernels} kernels @param {number} f @param {number} most shown as white */
export function paintKernel(canvas, { shape, values }, f, most) {
  const [, , channels, filters] = shape;
  paint(canvas, (n, c) => values[(n * channels + (channels === 3 ? c : 0)) * filters + f] / most);
}

/** @param {HTMLCanvasElement} canvas as large as the picture @param {Float32Array} map */
export function paintMap(canvas, map) {
  const most = Math.max(1e-6, ...map.map(Math.abs));
  paint(canvas, (n) => map[n] / most);
}

/** The pixels of a picture, in gray or in colour. @param {string} address @param {number} channels 1 or 3 @returns {Promise<Pixels>} */
export async function pixelsOf(address, channels) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const scale = Math.min(1, MOST_PIXELS / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth, image.naturalHeight].map((side) => Math.max(1, Math.round(scale * side)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.drawImage(image, 0, 0, width, height);
  const { data } = pen.getImageData(0, 0, width, height);
  const values = Float32Array.from({ length: width * height * channels }, (_, n) => data[4 * Math.floor(n / channels) + (n % channels)] / 255);
  return { height, width, channels, values };
}
