// @ts-check
// An exercise: an editor, the learner's file, and what a check says.
import { Draft } from "./draft.js";
import { mount } from "./mount.js";
import { keyIn, rememberStartKey, startKey } from "./start_key.js";

/** @typedef {{text: string, heading: string, verbatim: boolean}} Paragraph */
/** @typedef {{text: string, version: string, path: string, stub: string}} File */

// NiceGUI's build of CodeMirror, from the import map of the page.
const CODEMIRROR = "nicegui-codemirror";
const SAVE_MS = 500;
const AGAIN_MS = 3000;
const SILENT = "The lab does not answer. Check in the terminal that it is still running.";

class Exercise {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Draft | null} */
    this.draft = null;
    /** @type {any} the view of CodeMirror */
    this.view = null;
    this.saveLater = 0;
    void this.open();
    window.addEventListener("focus", () => this.refresh());
    window.addEventListener("pagehide", () => this.leave());
  }

  /** @param {string} selector */
  at(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  /**
   * @param {string} method
   * @param {string} [action]
   * @param {object} [content]
   * @param {boolean} [keepalive]
   * @returns {Promise<any>} with its status; 0 where no answer came
   */
  async ask(method, action = "", content, keepalive = false) {
    try {
      const response = await fetch(`/lab-exercises/${this.root.dataset.name}${action}`, {
        method,
        headers: { "X-Lab-Key": startKey() },
        body: content && JSON.stringify(content),
        keepalive,
      });
      const message = `The lab answered with an error (status ${response.status}).`;
      return { message, ...(await response.json().catch(() => ({}))), status: response.status };
    } catch {
      return { status: 0, message: SILENT };
    }
  }

  async open() {
    if (!startKey()) return this.askForKey("");
    const file = await this.ask("GET");
    if (file.status === 403) return this.askForKey(file.message);
    if (file.status !== 200) return this.explain(file.message);
    const editor = await import(CODEMIRROR).catch(() => null);
    if (!editor) return this.explain("The editor could not be loaded. Reload the page.");
    this.build(editor, file);
  }

  /** @param {string} message */
  explain(message) {
    this.root.innerHTML = `<div class="message trouble" role="alert"><p></p><button type="button" class="button">Try again</button></div>`;
    this.at("p").textContent = message;
    this.at("button").addEventListener("click", () => this.open());
  }

  /** @param {string} message */
  askForKey(message) {
    this.draft = this.view = null;
    this.root.innerHTML = `<form class="message"><p>The code that you write here runs on this computer, so only the
        person who started the lab may run it. Open the link that the lab printed in its terminal, or paste it here.</p>
      <p class="trouble" role="alert"></p>
      <label class="field"><span class="field-name">Link from the terminal</span><input type="text" autocomplete="off" spellcheck="false"></label>
      <p class="buttons"><button class="button primary">Continue</button></p></form>
      <pre class="code" tabindex="0" role="region" aria-label="Starter code"></pre>`;
    this.at(".trouble").textContent = message;
    this.at("pre").textContent = this.root.dataset.stub ?? "";
    this.at("form").addEventListener("submit", (e) => {
      e.preventDefault();
      rememberStartKey(keyIn(/** @type {HTMLInputElement} */ (this.at("input")).value));
      void this.open();
    });
  }

  /**
   * @param {any} editor
   * @param {File} file
   */
  build(editor, file) {
    this.root.innerHTML = `<div class="editor"></div><p class="note kept"></p>
      <p class="note">Press Ctrl+Enter (\u2318+Enter on a Mac) to check your code, and Tab to indent. To leave the editor,
        press Escape and then Tab.</p>
      <div class="changed message" role="alert" hidden><p></p>
        <p class="buttons"><button type="button" class="button other">Use the version in the file</button>
        <button type="button" class="button mine">Keep my version</button></p></div>
      <p class="trouble" role="alert"></p>
      <div class="buttons"><button type="button" class="button primary check">Check</button>
        <button type="button" class="button hint">Hint</button>
        <button type="button" class="button quiet solution">Solution</button>
        <button type="button" class="button quiet again">Start over</button></div>
      <div class="judgement" role="status"></div><div class="help" role="status"></div>`;
    this.file = file;
    this.draft = new Draft(
      (text, version) => this.send(text, version),
      localStorage,
      `conviction.draft.${file.path}`,
      (state, message) => this.show(state, message),
    );
    this.draft.begin(file.text, file.version);
    this.view = editorOf(editor, this.at(".editor"), this.draft.text, `Your code for ${this.root.dataset.title}`, {
      changed: (text) => this.changed(text),
      check: () => this.check(),
    });
    if (this.draft.dirty) void this.draft.save();
    this.at(".check").addEventListener("click", () => this.check());
    this.at(".hint").addEventListener("click", () => this.hint());
    this.at(".solution").addEventListener("click", () => this.solution());
    this.at(".again").addEventListener("click", () => this.beginAgain());
    this.at(".other").addEventListener("click", () => this.useFile());
    this.at(".mine").addEventListener("click", () => this.draft?.keepMine());
  }

  /** @param {string} text */
  changed(text) {
    this.draft?.change(text);
    clearTimeout(this.saveLater);
    this.saveLater = setTimeout(() => this.draft?.save(), SAVE_MS);
  }

  /**
   * @param {string} text
   * @param {string} version
   */
  async send(text, version) {
    const reply = await this.ask("PUT", "", { text, version });
    if (reply.status === 403) this.askForKey(reply.message);
    else if (reply.version === undefined) {
      clearTimeout(this.saveLater);
      this.saveLater = setTimeout(() => this.draft?.save(), AGAIN_MS);
    }
    return reply;
  }

  /**
   * @param {import("./draft.js").State} state
   * @param {string} message
   */
  show(state, message) {
    if (!this.draft || !this.file || !this.at(".kept")) return;
    const path = this.file.path;
    this.at(".kept").textContent = !this.draft.version
      ? `Your code will be saved in ${path}.`
      : state === "saved"
        ? `Saved in ${path}. You can also edit it in your own editor.`
        : `Your file is ${path}.`;
    const other = this.draft.other;
    this.at(".changed").hidden = !other;
    this.at(".changed p").textContent = !other
      ? ""
      : other.version
        ? "This file was changed outside this page, and your latest changes here are not in it. Which version do you want to keep?"
        : "This file was deleted outside this page. Do you want to keep what you wrote, or to start from the task?";
    this.at(".changed .other").textContent = other?.version === "" ? "Start from the task" : "Use the version in the file";
    if (state !== "unsaved")
      this.at(".trouble").textContent = state === "failed" ? `Not saved: ${message} The page keeps trying.` : "";
  }

  /** Loads what another program has written, unless there are unsaved changes here. */
  async refresh() {
    const draft = this.draft;
    if (!draft || draft.dirty || draft.saving || draft.other) return;
    const version = draft.version;
    const file = await this.ask("GET");
    if (file.status !== 200 || file.version === version) return;
    if (draft !== this.draft || draft.dirty || draft.version !== version) return;
    draft.begin(file.text, file.version);
    this.replace(file.text);
  }

  /** Saves when the page is closed or reloaded. The request may not arrive; the storage still has its text. */
  leave() {
    const draft = this.draft;
    if (draft?.dirty && !draft.saving && !draft.other)
      void this.ask("PUT", "", { text: draft.text, version: draft.version }, true);
  }

  /** @param {string} text */
  replace(text) {
    const length = this.view.state.doc.length;
    if (this.view.state.doc.toString() !== text) this.view.dispatch({ changes: { from: 0, to: length, insert: text } });
  }

  async check() {
    const button = /** @type {HTMLButtonElement} */ (this.at(".check"));
    if (button.getAttribute("aria-disabled") || !this.draft) return;
    button.setAttribute("aria-disabled", "true");
    this.at(".judgement").innerHTML = `<p class="waiting">Your code is running.</p>`;
    const text = this.draft.text;
    clearTimeout(this.saveLater);
    await this.draft.save();
    const reply = await this.ask("POST", "/check", { text });
    if (reply.status === 403) return this.askForKey(reply.message);
    button.removeAttribute("aria-disabled");
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

  beginAgain() {
    const own = this.view.state.doc.toString();
    this.replace(this.file?.stub ?? "");
    this.at(".judgement").replaceChildren();
    this.offerBack("The editor is back to the starter code.", own);
  }

  useFile() {
    const deleted = this.draft?.other?.version === "";
    const own = this.draft?.takeOther() ?? "";
    this.replace(this.draft?.text ?? "");
    this.offerBack(`The editor now shows ${deleted ? "the task" : "the version in the file"}.`, own);
  }

  /**
   * @param {string} sentence
   * @param {string} own
   */
  offerBack(sentence, own) {
    const box = element("div", "message");
    const back = element("button", "button back", "Restore my code");
    back.setAttribute("type", "button");
    back.addEventListener("click", () => {
      this.replace(own);
      box.remove();
      this.view.focus();
    });
    box.append(element("p", "", sentence), back);
    this.at(".help").replaceChildren(box);
  }
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
  const view = new EditorView({
    parent,
    doc: text,
    extensions: [
      keymap.of([{ key: "Mod-Enter", run: () => (does.check(), true) }, indentWithTab]),
      basicSetup,
      EditorView.lineWrapping,
      indentUnit.of("    "),
      theme.of(themeNow()),
      language.of([]),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
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
