// @ts-check
// The camera of whoever looks at the page, and a picture of it as the digits are that the first network has learned from.

const NOT_HERE = "The camera works only if you open the lab on this computer, or over https.";
const NONE = "The camera did not start: there is none, another program uses it, or this page may not use it.";

/** One camera on one video element. A stream that comes after `stop` is stopped, so that no camera stays on unseen. */
export class Camera {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.request = 0;
    /** @type {Promise<string | null> | null} */
    this.starting = null;
  }

  get isOn() {
    return this.video.srcObject !== null;
  }

  /** Turns it on. @returns {Promise<string | null>} empty, or why it is not on; null if it was stopped meanwhile */
  start() {
    this.starting ??= this.open().finally(() => (this.starting = null));
    return this.starting;
  }

  async open() {
    const mine = ++this.request;
    if (!navigator.mediaDevices?.getUserMedia) return NOT_HERE;
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 640, height: 480 } });
    } catch {
      return mine === this.request ? NONE : null;
    }
    if (mine !== this.request) {
      for (const track of stream.getTracks()) track.stop();
      return null;
    }
    this.video.srcObject = stream;
    // A video that is taken off the page while it begins says so; nothing is wrong then.
    await this.video.play().catch(() => {});
    return this.isOn ? "" : null;
  }

  stop() {
    this.request++;
    for (const track of /** @type {MediaStream | null} */ (this.video.srcObject)?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }
}

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
