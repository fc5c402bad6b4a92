// @ts-check
// A text that is typed here and saved in a file of the server, which other programs may write as well. Text that is not
// in the file yet is also kept by the tab, so that it survives a reload, and a file that was changed elsewhere is
// replaced only after somebody has chosen to.

/** @typedef {{status: number, message?: string, text?: string, version?: string}} Reply */
/** @typedef {{get: (key: string) => string | null, set: (key: string, value: string) => void, remove: (key: string) => void}} Keeps */
/** @typedef {{text: string, version: string, unconfirmed: string[]}} Backup */
/** @typedef {"saved" | "unsaved" | "failed" | "changed"} State where "changed" means: by others */

export class Draft {
  /**
   * @param {(text: string, version: string) => Promise<Reply>} send writes the file if it still has this version
   * @param {Keeps} keeps
   * @param {string} key of the text that is not in the file yet
   * @param {(state: State, message: string) => unknown} tell when the state has changed
   */
  constructor(send, keeps, key, tell) {
    this.send = send;
    this.keeps = keeps;
    this.key = key;
    this.tell = tell;
    this.text = this.version = "";
    /** @type {{text: string, version: string} | null} what the file has become elsewhere */
    this.other = null;
    /** @type {string[]} what was sent without an answer; the file may have any of them */
    this.unconfirmed = [];
    this.dirty = false;
    /** @type {Promise<boolean> | null} */
    this.saving = null;
  }

  /**
   * Begins with what the file has, or with what was typed in this tab and never came into it.
   * @param {string} text
   * @param {string} version
   */
  begin(text, version) {
    const backup = this.backup();
    this.text = backup?.text ?? text;
    this.version = version;
    if (!backup || backup.text === text) return this.settle();
    this.dirty = true;
    this.unconfirmed = backup.unconfirmed;
    if (backup.version !== version && !backup.unconfirmed.includes(text)) this.clash(text, version);
    else this.tell("unsaved", "");
  }

  /** @param {string} text */
  change(text) {
    if (text === this.text) return;
    this.text = text;
    this.dirty = true;
    this.keep();
    if (!this.other) this.tell("unsaved", "");
  }

  /** Saves the text unless the file has changed; returns whether all of it is saved. */
  async save() {
    while (this.saving) await this.saving;
    while (this.dirty && !this.other) {
      this.saving = this.write().catch(() => false);
      const done = await this.saving;
      this.saving = null;
      if (!done) return false;
    }
    return !this.other;
  }

  async write() {
    const { text, version } = this;
    this.announce();
    return this.take(await this.send(text, version), text);
  }

  /** From now on, the file may have the text. */
  announce() {
    if (!this.unconfirmed.includes(this.text)) this.unconfirmed.push(this.text);
    this.keep();
  }

  /**
   * Handles the server's reply to this text; returns whether it was saved, or can be now.
   * @param {Reply} reply
   * @param {string} text
   */
  take(reply, text) {
    if (reply.status === 409 && reply.text !== undefined && this.unconfirmed.includes(reply.text)) {
      // It was saved, and the answer got lost.
      this.version = reply.version ?? "";
      this.keep();
      return true;
    }
    if (reply.status === 409) {
      this.clash(reply.text ?? "", reply.version ?? "");
      return false;
    }
    if (reply.version === undefined) {
      this.tell("failed", reply.message ?? "");
      return false;
    }
    this.version = reply.version;
    this.unconfirmed = [];
    if (this.text === text) this.settle();
    else this.keep();
    return true;
  }

  /** The file as it is elsewhere takes the place of what was typed; returns what was typed. */
  takeOther() {
    const own = this.text;
    if (this.other) {
      this.text = this.other.text;
      this.version = this.other.version;
      this.settle();
    }
    return own;
  }

  /** What was typed takes the place of what the file has become. */
  keepMine() {
    if (this.other) this.version = this.other.version;
    this.other = null;
    this.keep();
    return this.save();
  }

  /**
   * @param {string} text
   * @param {string} version
   */
  clash(text, version) {
    this.other = { text, version };
    this.dirty = true;
    this.keep();
    this.tell("changed", "");
  }

  settle() {
    this.dirty = false;
    this.other = null;
    this.unconfirmed = [];
    this.keeps.remove(this.key);
    this.tell("saved", "");
  }

  keep() {
    /** @type {Backup} */
    const backup = { text: this.text, version: this.version, unconfirmed: this.unconfirmed };
    this.keeps.set(this.key, JSON.stringify(backup));
  }

  /** @returns {Backup | null} */
  backup() {
    try {
      const backup = JSON.parse(this.keeps.get(this.key) ?? "null");
      return typeof backup?.text === "string" && Array.isArray(backup.unconfirmed) ? backup : null;
    } catch {
      return null;
    }
  }
}
