// @ts-check
// An exercise: an editor, the learner's file, and what a check says.
import { Draft } from "./draft.js";
import { kept } from "./kept.js";
import { mount } from "./mount.js";
import { KEY_CAME, keepStartKey, keyIn, startKey } from "./start_key.js";

/** @typedef {{text: string, heading: string, verbatim: boolean}} Paragraph */
/** @typedef {{text: string, version: string, path: string, stub: string}} LearnerFile */

// NiceGUI's build of CodeMirror, from the import map of the page.
const CODEMIRROR = "nicegui-codemirror";
const SAVE_MS = 500;
const AGAIN_MS = 3000;
const UNWRITTEN = "raise NotImplementedError";
const SILENT = "The lab does not answer. Check in the terminal that it is still running.";

class Exercise {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Draft | null} */
    this.draft = null;
    /** @type {LearnerFile | null} */
    this.file = null;
    /** @type {any} the view of CodeMirror */
    this.view = null;
    this.saveLater = 0;
    root.innerHTML = `<div class="key-form"></div><div class="workplace"></div>`;
    void this.open(startKey());
    addEventListener(KEY_CAME, () => this.open(startKey()));
    addEventListener("focus", () => this.refresh());
    addEventListener("pagehide", () => this.leave());
    addEventListener("beforeunload", (e) => {
      if (this.root.isConnected && this.draft?.dirty && this.at(".failure").textContent) e.preventDefault();
    });
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  /**
   * @param {string} method
   * @param {string} [action]
   * @param {object} [content]
   * @param {{key?: string, keepalive?: boolean}} [more]
   * @returns {Promise<any>} with its status; 0 where no answer came
   */
  async ask(method, action = "", content, { key = startKey(), keepalive = false } = {}) {
    try {
      const response = await fetch(`/lab-exercises/${this.root.dataset.name}${action}`, {
        method,
        headers: { "X-Lab-Key": key },
        body: content && JSON.stringify(content),
        keepalive,
      });
      const message = `The lab answered with an error (status ${response.status}).`;
      const reply = { message, ...(await response.json().catch(() => ({}))), status: response.status };
      if (reply.status === 403 && !this.at(".key-form").hasChildNodes()) this.askForKey(reply.message);
      return reply;
    } catch {
      return { status: 0, message: SILENT };
    }
  }

  /** @param {string} key */
  async open(key) {
    if (!key) return this.askForKey("");
    const file = await this.ask("GET", "", undefined, { key });
    if (file.status === 403) return this.askForKey(file.message);
    if (file.status !== 200) return this.explain(file.message);
    keepStartKey(key);
    const asked = this.at(".key-form").hasChildNodes();
    this.at(".key-form").replaceChildren();
    if (this.view && this.file?.path === file.path) await this.draft?.save();
    else {
      const editor = await import(CODEMIRROR).catch(() => null);
      if (!editor) return this.explain("The editor could not be loaded. Reload the page.");
      this.build(editor, file);
    }
    if (asked) this.view.focus();
  }

  /** @param {string} message */
  explain(message) {
    this.at(".key-form").innerHTML = `<div class="message trouble" role="alert"><p></p><button type="button" class="button">Try again</button></div>`;
    this.at(".key-form p").textContent = message;
    this.at(".key-form button").addEventListener("click", () => this.open(startKey()));
  }

  /** What was typed stays in the editor, if there is one. @param {string} message */
  askForKey(message) {
    const form = this.at(".key-form");
    const before = /** @type {HTMLInputElement | null} */ (form.querySelector("input"))?.value ?? "";
    form.innerHTML = `<form class="message"><p>The code that you write here runs on this computer, so only the
        person who started the lab may run it. Copy the link that the lab printed in its terminal, and paste it here.</p>
      <p class="trouble" role="alert"></p>
      <label class="field"><span class="field-name">Link from the terminal</span><input type="text" autocomplete="off" spellcheck="false"></label>
      <p class="buttons"><button class="button primary">Continue</button></p></form>
      <pre class="code" tabindex="0" role="region" aria-label="Starter code"></pre>`;
    const input = /** @type {HTMLInputElement} */ (form.querySelector("input"));
    input.value = before;
    this.at(".key-form .trouble").textContent = message;
    this.at("pre").textContent = this.root.dataset.stub ?? "";
    this.at("pre").hidden = this.view !== null;
    if (before) input.focus();
    this.at("form").addEventListener("submit", (e) => {
      e.preventDefault();
      const key = keyIn(input.value);
      if (key) void this.open(key);
      else this.askForKey("There is no key in that. The link ends in #key= and letters.");
    });
  }

  /**
   * @param {any} editor
   * @param {LearnerFile} file
   */
  build(editor, file) {
    this.at(".workplace").innerHTML = `<div class="editor"></div><p class="note file"></p>
      <p class="note" id="editor-keys">Press Ctrl+Enter (\u2318+Enter on a Mac) to check your code, and Tab to indent. To
        leave the editor, press Escape and then Tab.</p>
      <div class="changed-elsewhere message" role="alert" hidden><p></p>
        <p class="buttons"><button type="button" class="button take-other"></button>
        <button type="button" class="button keep-mine">Keep my version</button></p></div>
      <p class="failure trouble" role="alert"></p>
      <div class="restore" role="status"></div>
      <div class="buttons"><button type="button" class="button primary check">Check</button>
        <button type="button" class="button hint">Hint</button>
        <button type="button" class="button quiet solution">Solution</button>
        <button type="button" class="button quiet start-over">Start over</button></div>
      <div class="judgement" role="status"></div><div class="help" role="status"></div>`;
    this.view?.destroy();
    this.file = file;
    this.draft = new Draft(
      (text, version) => this.send(text, version),
      kept,
      `conviction.draft.${file.path}`,
      (state, message) => this.show(state, message),
    );
    this.draft.begin(file.text, file.version);
    this.view = editorOf(editor, this.at(".editor"), this.draft.text, `Your code for ${this.root.dataset.title}`, {
      changed: (text) => this.changed(text),
      check: () => this.at(".check").click(),
    });
    if (this.draft.dirty) void this.draft.save();
    this.waits(".check", () => this.check());
    this.waits(".hint", () => this.hint());
    this.waits(".solution", () => this.solution());
    this.waits(".take-other", () => this.takeOther());
    this.waits(".keep-mine", () => this.keepMine());
    this.at(".start-over").addEventListener("click", () => this.startOver());
  }

  /** A second click while the first works does nothing. @param {string} selector @param {() => Promise<unknown>} work */
  waits(selector, work) {
    const button = this.at(selector);
    button.addEventListener("click", async () => {
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      await work();
      button.removeAttribute("aria-disabled");
    });
  }

  /** @param {string} text */
  changed(text) {
    this.draft?.change(text);
    this.saveIn(SAVE_MS);
  }

  /** @param {number} ms */
  saveIn(ms) {
    clearTimeout(this.saveLater);
    this.saveLater = setTimeout(() => this.draft?.save(), ms);
  }

  /**
   * @param {string} text
   * @param {string} version
   */
  async send(text, version) {
    const reply = await this.ask("PUT", "", { text, version });
    if (reply.version === undefined && reply.status !== 403) this.saveIn(AGAIN_MS);
    return reply;
  }

  /**
   * @param {import("./draft.js").State} state
   * @param {string} message
   */
  show(state, message) {
    if (!this.draft || !this.file) return;
    const { path } = this.file;
    const { other, version } = this.draft;
    this.at(".file").textContent = !version
      ? `Your code will be saved in ${path}.`
      : state === "saved"
        ? `Saved in ${path}. You can also edit it in your own editor.`
        : `Your file is ${path}.`;
    this.at(".changed-elsewhere").hidden = !other;
    const deleted = other?.version === "";
    write(
      this.at(".changed-elsewhere p"),
      !other
        ? ""
        : deleted
          ? "This file was deleted outside this page. Do you want to keep what you wrote, or to start from the task?"
          : "This file was changed outside this page, and your latest changes here are not in it. Which version do you want to keep?",
    );
    this.at(".take-other").textContent = deleted ? "Start from the task" : "Use the version in the file";
    // Without the key, the form above the editor says what to do.
    const failure = this.at(".key-form").hasChildNodes() ? "Not saved yet." : `Not saved: ${message} The page keeps trying.`;
    if (state !== "unsaved") write(this.at(".failure"), state === "failed" ? failure : "");
  }

  /** Loads what another program has written, unless there are unsaved changes here. */
  async refresh() {
    const draft = this.draft;
    if (!draft || !this.root.isConnected || draft.dirty || draft.saving || draft.other) return;
    const version = draft.version;
    const file = await this.ask("GET");
    if (file.status !== 200 || file.version === version) return;
    if (draft.dirty || draft.saving || draft.version !== version) return;
    if (file.version === "") return draft.clash(file.text, file.version);
    draft.begin(file.text, file.version);
    this.replace(draft.text);
  }

  /** Saves when the page is closed or reloaded. The request may not arrive; the tab keeps its text. */
  leave() {
    const draft = this.draft;
    if (!draft?.dirty || draft.saving || draft.other) return;
    draft.announce();
    void this.ask("PUT", "", { text: draft.text, version: draft.version }, { keepalive: true });
  }

  /** @param {string} text */
  replace(text) {
    const length = this.view.state.doc.length;
    if (this.view.state.doc.toString() !== text) this.view.dispatch({ changes: { from: 0, to: length, insert: text } });
  }

  async check() {
    this.at(".judgement").innerHTML = `<p class="waiting">Your code is running.</p>`;
    clearTimeout(this.saveLater);
    const text = this.draft?.text ?? "";
    await this.draft?.save();
    const reply = await this.ask("POST", "/check", { text });
    /** @type {Paragraph[]} */
    const paragraphs = reply.paragraphs ?? [{ text: reply.message, heading: "", verbatim: false }];
    const box = element("div", reply.passed ? "message" : "message trouble");
    box.append(...paragraphs.map(drawn));
    const { next, nextTitle } = this.root.dataset;
    const onward = /** @type {HTMLAnchorElement} */ (element("a", "button primary", `Next: ${nextTitle}`));
    onward.href = next ?? "";
    this.at(".judgement").replaceChildren(box, ...(reply.passed && next ? [onward] : []));
  }

  async hint() {
    const reply = await this.ask("POST", "/hint");
    const list = element("ol");
    list.append(...(reply.hints ?? []).map((/** @type {string} */ hint) => element("li", "", hint)));
    this.help(reply, reply.hints && `Hint ${reply.hints.length} of ${reply.of}`, list);
  }

  async solution() {
    const reply = await this.ask("POST", "/solution");
    this.help(reply, "A solution", verbatim((reply.source ?? "").trimEnd(), "A solution"));
  }

  /**
   * @param {any} reply
   * @param {string} title
   * @param {HTMLElement} content
   */
  help(reply, title, content) {
    const refused = reply.status !== 200;
    this.at(".help").replaceChildren(
      ...(refused ? [element("p", "message", reply.message)] : [element("h3", "", title), content]),
    );
  }

  startOver() {
    const own = this.view.state.doc.toString();
    if (own === this.file?.stub) return;
    this.replace(this.file?.stub ?? "");
    this.at(".judgement").replaceChildren();
    this.offer("The editor is back to the starter code.", own);
  }

  /** The file may have changed once more since the page saw it. */
  async takeOther() {
    const file = await this.ask("GET");
    if (file.status !== 200 || !this.draft?.other) return;
    this.draft.other = { text: file.text, version: file.version };
    const own = this.draft.takeOther();
    this.replace(this.draft.text);
    this.offer(`The editor now shows ${file.version ? "the version in the file" : "the task"}.`, own);
    this.view.focus();
  }

  async keepMine() {
    await this.draft?.keepMine();
    this.view.focus();
  }

  /**
   * @param {string} sentence
   * @param {string} own what was in the editor before
   */
  offer(sentence, own) {
    const box = element("div", "message");
    const button = element("button", "button", "Restore my code");
    button.setAttribute("type", "button");
    button.addEventListener("click", () => {
      this.replace(own);
      box.remove();
      this.view.focus();
    });
    box.append(element("p", "", sentence), button);
    this.at(".restore").replaceChildren(box);
  }
}

/** An alert is read aloud whenever it is written. @param {HTMLElement} place @param {string} text */
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** @param {Paragraph} one */
function drawn(one) {
  if (one.verbatim) return verbatim(one.text, "Values or output");
  const p = element("p", "", one.text);
  if (one.heading) p.prepend(element("b", "", one.heading), " ");
  return p;
}

/**
 * @param {string} text
 * @param {string} label
 */
function verbatim(text, label) {
  const pre = element("pre", "code", text);
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", label);
  return pre;
}

/**
 * @param {string} name
 * @param {string} [classes]
 * @param {string} [text]
 */
function element(name, classes = "", text = "") {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.textContent = text;
  return made;
}

/**
 * @param {any} editor CodeMirror
 * @param {HTMLElement} parent
 * @param {string} text
 * @param {string} label
 * @param {{changed: (text: string) => unknown, check: () => unknown}} does
 */
function editorOf(editor, parent, text, label, does) {
  const { EditorView, Compartment, basicSetup, indentUnit, indentWithTab, keymap, languages, themes } = editor;
  const theme = new Compartment();
  const language = new Compartment();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themeNow = () => (dark.matches ? themes.githubDark : themes.githubLight);
  const unwritten = text.indexOf(UNWRITTEN);
  const view = new EditorView({
    parent,
    doc: text,
    // What is typed first takes its place.
    selection: unwritten < 0 ? undefined : { anchor: unwritten, head: unwritten + UNWRITTEN.length },
    extensions: [
      keymap.of([{ key: "Mod-Enter", run: () => (does.check(), true) }, indentWithTab]),
      basicSetup,
      EditorView.lineWrapping,
      indentUnit.of("    "),
      theme.of(themeNow()),
      language.of([]),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": "editor-keys", tabindex: "0" }),
      EditorView.updateListener.of((/** @type {any} */ update) => {
        if (update.docChanged) does.changed(update.state.doc.toString());
      }),
    ],
  });
  dark.addEventListener("change", () => view.dispatch({ effects: theme.reconfigure(themeNow()) }));
  void languages
    .find((/** @type {any} */ one) => one.name === "Python")
    .load()
    .then((/** @type {any} */ python) => view.dispatch({ effects: language.reconfigure(python) }));
  return view;
}

mount(".exercise", (root) => new Exercise(root));
