// @ts-check
// A picture of the camera as the digits are that the network has learned from: light ink on black.

// Less contrast than this, of 255, is a blank sheet.
const LEAST_CONTRAST = 60;

/**
 * @param {Uint8ClampedArray} pixels red, green, blue and opacity of each pixel
 * @returns {Float32Array} 0 for the paper to 1 for the ink, whichever of the two is the darker
 */
export function inkOf(pixels) {
  const grey = Float32Array.from({ length: pixels.length / 4 }, (_, i) => 0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]);
  const sorted = grey.slice().sort();
  // Most of what is seen is paper.
  const paper = sorted[sorted.length >> 1];
  const [darkest, lightest] = [sorted[0], sorted[sorted.length - 1]];
  const ink = paper - darkest > lightest - paper ? darkest : lightest;
  if (Math.abs(ink - paper) < LEAST_CONTRAST) return new Float32Array(grey.length);
  // Shadows on the paper are no ink: what differs by less than a third of the contrast is paper.
  return grey.map((value) => Math.min(1, Math.max(0, ((value - paper) / (ink - paper) - 1 / 3) * 2)));
}
