// @ts-check
// A text that is typed here and saved in a file of the server, which other programs may write as well. Text that is not
// in the file yet is also in the browser's storage, if there is room, and a file that was changed elsewhere is replaced
// only after somebody has chosen to.

/** @typedef {{status: number, message?: string, text?: string, version?: string}} Reply */
/** @typedef {{text: string, version: string, sending: string | null}} Kept */
/** @typedef {"saved" | "unsaved" | "failed" | "changed"} State where "changed" means: by others */

export class Draft {
  /**
   * @param {(text: string, version: string) => Promise<Reply>} send writes the file if it still has this version
   * @param {Storage} storage
   * @param {string} key in the storage
   * @param {(state: State, message: string) => unknown} tell when the state has changed
   */
  constructor(send, storage, key, tell) {
    this.send = send;
    this.storage = storage;
    this.key = key;
    this.tell = tell;
    this.text = this.version = "";
    /** @type {{text: string, version: string} | null} what the file has become elsewhere */
    this.other = null;
    this.dirty = false;
    /** @type {Promise<unknown> | null} */
    this.saving = null;
  }

  /**
   * Begins with what the file has, or with what was typed here and never came into it.
   * @param {string} text
   * @param {string} version
   */
  begin(text, version) {
    this.text = text;
    this.version = version;
    const kept = this.kept();
    if (!kept || kept.text === text) return this.settle();
    this.text = kept.text;
    this.dirty = true;
    if (kept.version !== version && kept.sending !== text) this.clash(text, version);
    else this.tell("unsaved", "");
  }

  /** @param {string} text */
  change(text) {
    if (text === this.text) return;
    this.text = text;
    this.dirty = true;
    this.keep(null);
    if (!this.other) this.tell("unsaved", "");
  }

  /** Saves the text unless the file has changed; returns whether all of it is saved. */
  async save() {
    while (this.saving) await this.saving;
    while (this.dirty && !this.other) {
      this.saving = this.write();
      const done = await this.saving;
      this.saving = null;
      if (!done) return false;
    }
    return !this.other;
  }

  async write() {
    const text = this.text;
    this.keep(text);
    return this.take(await this.send(text, this.version), text);
  }

  /**
   * Handles the server's reply to this text; returns whether it was saved.
   * @param {Reply} reply
   * @param {string} text
   */
  take(reply, text) {
    if (reply.status === 409) {
      this.clash(reply.text ?? "", reply.version ?? "");
      return false;
    }
    if (reply.version === undefined) {
      this.tell("failed", reply.message ?? "");
      return false;
    }
    this.version = reply.version;
    if (this.text === text) this.settle();
    else this.keep(null);
    return true;
  }

  /** The file as it is elsewhere takes the place of what was typed; returns what was typed. */
  takeOther() {
    const own = this.text;
    if (this.other) {
      this.text = this.other.text;
      this.version = this.other.version;
      this.other = null;
      this.settle();
    }
    return own;
  }

  /** What was typed takes the place of what the file has become. */
  keepMine() {
    if (this.other) this.version = this.other.version;
    this.other = null;
    this.keep(null);
    return this.save();
  }

  /**
   * @param {string} text
   * @param {string} version
   */
  clash(text, version) {
    this.other = { text, version };
    this.keep(null);
    this.tell("changed", "");
  }

  settle() {
    this.dirty = false;
    this.storage.removeItem(this.key);
    this.tell("saved", "");
  }

  /** @param {string | null} sending text that was sent, and not yet confirmed */
  keep(sending) {
    const before = this.saving ? this.kept()?.sending ?? null : null;
    /** @type {Kept} */
    const kept = { text: this.text, version: this.version, sending: sending ?? before };
    try {
      this.storage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // The storage is full or forbidden; the file is what counts.
    }
  }

  /** @returns {Kept | null} */
  kept() {
    try {
      const kept = JSON.parse(this.storage.getItem(this.key) ?? "null");
      return typeof kept?.text === "string" ? kept : null;
    } catch {
      return null;
    }
  }
}
