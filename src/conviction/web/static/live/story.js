// @ts-check
// What a training has written down (`reporting/journal.py`), line by line.
import { unpacked } from "./filters.js";

/**
 * @typedef {{epoch: number, images: number, total: number, loss: number, accuracy: number, images_per_second: number}} Progress
 * @typedef {{epoch: number, loss: number, accuracy: number, val_loss: number, val_accuracy: number}} Epoch
 * @typedef {{at: number, started?: true, doing?: string, step?: string, epochs?: number, progress?: Progress, epoch?: Epoch,
 *   kernels?: {shape: number[], most: number, values: string}, x?: number}} Line
 *
 * What the first layer was after `x` epochs.
 * @typedef {{x: number, kernels: import("./filters.js").Kernels}} Moment
 */

// In the order in which they come; what takes no time of its own is left out.
export const STEPS = ["Load", "Audit", "Split", "Model", "Compile", "Train", "Evaluate"];

/** What the lines so far say. */
export class Story {
  constructor() {
    /** @type {Set<string>} */
    this.done = new Set();
    this.epochs = 0;
    /** @type {{at: number, x: number, loss: number}[]} x in epochs */
    this.losses = [];
    /** @type {Epoch[]} */
    this.validated = [];
    /** @type {Progress | null} */
    this.progress = null;
    /** @type {Moment[]} */
    this.moments = [];
    this.last = 0;
  }

  /** Lines of the file; one that is no JSON is passed over. @param {string} lines */
  read(lines) {
    for (const line of lines.split("\n")) {
      try {
        if (line) this.hear(JSON.parse(line));
      } catch {
        continue;
      }
    }
  }

  /** @param {Line} line */
  hear(line) {
    this.last = line.at;
    if (line.step) this.done.add(line.step);
    if (line.epochs) this.epochs = line.epochs;
    if (line.progress) {
      this.progress = line.progress;
      this.losses.push({ at: line.at, x: line.progress.epoch - 1 + line.progress.images / line.progress.total, loss: line.progress.loss });
    }
    if (line.epoch) this.validated.push(line.epoch);
    if (line.kernels?.most) this.moments.push({ x: line.x ?? 0, kernels: unpacked(line.kernels) });
  }

  /** The step that is under way. */
  get current() {
    // The others are named when they are done, and training when it starts.
    if (this.done.has("Train") && !this.done.has("Evaluate")) return this.trained ? "Evaluate" : "Train";
    return STEPS.find((step) => !this.done.has(step)) ?? "";
  }

  get trained() {
    return this.epochs > 0 && this.validated.length > 0 && this.validated[this.validated.length - 1].epoch >= this.epochs;
  }

  /** Seconds until the last epoch ends, as long as the rest takes as what has been done here; null before that is known. */
  get left() {
    if (this.losses.length < 2 || this.trained) return null;
    // From the first line on: before it the network was compiled, which happens once.
    const [first, last] = [this.losses[0], this.losses[this.losses.length - 1]];
    const seconds = last.at - first.at;
    return seconds < 1 ? null : (seconds / (last.x - first.x)) * (this.epochs - last.x);
  }
}

/** A time as people say it. @param {number} seconds @returns {string} */
export function spoken(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
