// What is typed on the page and kept in a file that others may write, in Node's own test runner.
import assert from "node:assert/strict";
import { test } from "node:test";

const live = process.env.LIVE;
const { Draft } = await import(`${live}/draft.js`);
const { kept } = await import(`${live}/kept.js`);
const { keyIn } = await import(`${live}/start_key.js`);

class Kept extends Map {
  remove = (key) => this.delete(key);
}

/** A file of a server, whose version is its text; answers wait until they are let go. */
class Server {
  constructor(text) {
    this.text = text;
    this.waiting = [];
    this.down = this.lost = false;
  }

  send = async (text, version) => {
    if (this.lost) this.text = text;
    const reply = this.down || this.lost
      ? { status: 0, message: "silent" }
      : version === this.text || text === this.text
        ? { status: 200, version: (this.text = text) }
        : { status: 409, text: this.text, version: this.text };
    await new Promise((go) => this.waiting.push(go));
    return reply;
  };

  async answer() {
    while (!this.waiting.length) await null;
    this.waiting.shift()();
    for (let n = 0; n < 20; n++) await null;
  }
}

function opened(server, storage = new Kept()) {
  const states = [];
  const draft = new Draft(server.send, storage, "draft", (state) => states.push(state));
  draft.begin(server.text, server.text);
  return { draft, states, storage };
}

test("what is typed is in the file after an answer, and until then in the storage", async () => {
  const server = new Server("a");
  const { draft, states, storage } = opened(server);
  assert.deepEqual(states, ["saved"]);
  draft.change("ab");
  assert.equal(JSON.parse(storage.get("draft")).text, "ab");
  const saved = draft.save();
  await server.answer();
  assert.equal(await saved, true);
  assert.deepEqual([server.text, storage.size, states.at(-1)], ["ab", 0, "saved"]);
});

test("what is typed while an answer is awaited is saved after it", async () => {
  const server = new Server("a");
  const { draft, storage } = opened(server);
  draft.change("ab");
  const first = draft.save();
  draft.change("abc");
  const second = draft.save();
  await server.answer();
  assert.equal(server.text, "abc");
  await server.answer();
  assert.deepEqual([await first, await second, server.text, storage.size], [true, true, "abc", 0]);
});

test("a page that is loaded again has what was typed, also where it came into the file meanwhile", async () => {
  for (const answered of [false, true])
    for (const more of [false, true]) {
      const server = new Server("a");
      const { draft, storage } = opened(server);
      draft.change("ab");
      void draft.save();
      if (answered) await server.answer();
      if (more) draft.change("abc");
      // The page is gone; the server has the first text in any case.
      server.waiting = [];
      const again = opened(server, storage);
      assert.equal(again.draft.text, more ? "abc" : "ab");
      assert.equal(again.draft.other, null);
      if (more) {
        const saved = again.draft.save();
        await server.answer();
        await saved;
      }
      assert.deepEqual([server.text, storage.size], [more ? "abc" : "ab", 0]);
    }
});

test("another page or program is not written over unless somebody says so", async () => {
  for (const keep of [false, true]) {
    const server = new Server("a");
    const { draft, states, storage } = opened(server);
    server.text = "elsewhere";
    draft.change("ab");
    let saved = draft.save();
    await server.answer();
    assert.deepEqual([await saved, server.text, states.at(-1)], [false, "elsewhere", "changed"]);
    // Nothing more is sent, whatever is typed.
    draft.change("abc");
    assert.equal(await draft.save(), false);
    assert.equal(states.at(-1), "changed");
    if (keep) {
      saved = draft.keepMine();
      await server.answer();
      await saved;
    } else assert.equal(draft.takeOther(), "abc");
    assert.deepEqual([server.text, draft.text], keep ? ["abc", "abc"] : ["elsewhere", "elsewhere"]);
    assert.deepEqual([storage.size, states.at(-1)], [0, "saved"]);
  }
});

test("what was never saved does not undo what others wrote since", () => {
  const server = new Server("a");
  const { draft, storage } = opened(server);
  draft.change("ab");
  server.text = "elsewhere";
  const again = opened(server, storage);
  assert.deepEqual([again.states.at(-1), again.draft.text, again.draft.other.text], ["changed", "ab", "elsewhere"]);
});

test("a server that does not answer loses nothing", async () => {
  const server = new Server("a");
  const { draft, states, storage } = opened(server);
  server.down = true;
  draft.change("ab");
  const saved = draft.save();
  await server.answer();
  assert.deepEqual([await saved, states.at(-1), JSON.parse(storage.get("draft")).text], [false, "failed", "ab"]);
  server.down = false;
  const later = draft.save();
  await server.answer();
  assert.deepEqual([await later, server.text], [true, "ab"]);
});

test("an answer that gets lost is no change by others", async () => {
  for (const reloaded of [false, true]) {
    const server = new Server("a");
    let { draft, states, storage } = opened(server);
    server.lost = true;
    draft.change("ab");
    let saved = draft.save();
    await server.answer();
    assert.equal(await saved, false);
    server.lost = false;
    draft.change("abc");
    if (reloaded) ({ draft, states } = opened(server, storage));
    saved = draft.save();
    await server.answer();
    if (!reloaded) await server.answer();
    assert.deepEqual([await saved, server.text, states.includes("changed"), storage.size], [true, "abc", false, 0]);
  }
});

test("what is sent while the page is left is known to the next page", () => {
  const server = new Server("a");
  const { draft, storage } = opened(server);
  draft.change("ab");
  draft.announce();
  server.text = "ab";
  draft.change("abc");
  const again = opened(server, storage);
  assert.deepEqual([again.draft.text, again.draft.other, again.states.at(-1)], ["abc", null, "unsaved"]);
});

test("a server that throws does not end the saving", async () => {
  const server = new Server("a");
  const { draft } = opened(server);
  const { send } = draft;
  draft.send = async () => {
    throw new Error("no");
  };
  draft.change("ab");
  assert.equal(await draft.save(), false);
  draft.send = send;
  const saved = draft.save();
  await server.answer();
  assert.deepEqual([await saved, server.text], [true, "ab"]);
});

test("a backup that is nonsense is none, and without storage there is memory", () => {
  for (const text of ["{", "[]", "3", '{"text": 1}']) {
    const { draft } = opened(new Server("a"), new Kept([["draft", text]]));
    assert.deepEqual([draft.text, draft.dirty], ["a", false]);
  }
  // Node has no session storage of its own here.
  assert.equal(kept.get("key"), null);
  kept.set("key", "value");
  assert.equal(kept.get("key"), "value");
  kept.remove("key");
  assert.equal(kept.get("key"), null);
});

test("a key is read from a link, the line that was printed, or alone", () => {
  const key = "dHVybi1pbnRvLTIyLWxldA";
  for (const text of [key, ` ${key}\n`, `#key=${key}`, `http://127.0.0.1:8080/#key=${key}`,
    `conviction lab is at http://h:1/?token=t#key=${key} (Ctrl-C ends it)`])
    assert.equal(keyIn(text), key);
  for (const text of ["", "http://127.0.0.1:8080/", "#key=", "\u2026", "two words that are long enough"]) assert.equal(keyIn(text), "");
});
