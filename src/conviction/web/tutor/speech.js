// Reads a text aloud with the browser's own voices, sentence by sentence, and marks the sentence that is being read.
const BLOCKS = "h2, h3, h4, h5, p, li, blockquote";
const SILENT = "pre, table, [popover], [hidden], .evidence";
const MARK = "spoken";

export default {
  props: { target: String, none: String },
  template: `
    <div class="aloud">
      <button v-if="state === 'idle'" type="button" class="button quiet" data-key="aloud" @click="read">Read aloud</button>
      <template v-else>
        <button type="button" class="button quiet" data-key="aloud" @click="pause">{{ state === "paused" ? "Continue" :
        "Pause" }}</button> <button type="button" class="button quiet" data-key="aloud-stop" @click="stop">Stop</button>
      </template>
      <span class="note" role="status">{{ said }}</span>
    </div>`,
  data: () => ({ state: "idle", said: "" }),
  unmounted() {
    if (this.state !== "idle") this.stop();
  },
  methods: {
    async read() {
      const voices = await this.voices();
      this.said = voices.length ? "" : this.none;
      const text = document.querySelector(this.target);
      if (!voices.length || !text) return;
      [this.speakers, this.pair] = [[], voices.slice(0, 2)];
      this.sentences = [...text.querySelectorAll(BLOCKS)].flatMap((block) => this.sentencesOf(block));
      this.state = "reading";
      this.turn = (this.turn ?? 0) + 1;
      speechSynthesis.cancel();
      this.speak(0, this.turn);
    },
    // Some browsers know their voices a moment after the page has asked for the first time.
    async voices() {
      if (!window.speechSynthesis) return [];
      if (!speechSynthesis.getVoices().length)
        await new Promise((done) => {
          speechSynthesis.addEventListener?.("voiceschanged", done, { once: true });
          setTimeout(done, 1000);
        });
      const all = speechSynthesis.getVoices();
      const language = (document.documentElement.lang || "en").slice(0, 2);
      const own = all.filter((v) => v.lang.toLowerCase().startsWith(language));
      // Voices on this device need no network.
      return (own.length ? own : all).toSorted((a, b) => b.localService - a.localService);
    },
    sentencesOf(block) {
      if (block.closest(SILENT) || block.querySelector(BLOCKS)) return [];
      const speaker = block.dataset.speaker;
      if (speaker && !this.speakers.includes(speaker)) this.speakers.push(speaker);
      const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
      const parts = [];
      let text = "";
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        // Two voices tell the speakers apart; one has to say their names.
        if (speaker && this.pair.length > 1 && !text && node.parentElement.tagName === "STRONG") continue;
        parts.push({ node, from: text.length });
        text += node.data;
      }
      return [...new Intl.Segmenter("en", { granularity: "sentence" }).segment(text)]
        .filter(({ segment }) => segment.trim())
        .map(({ segment, index }) => {
          const begin = index + segment.length - segment.trimStart().length;
          const end = index + segment.trimEnd().length;
          return { text: text.slice(begin, end), speaker, block, range: this.range(parts, begin, end) };
        });
    },
    range(parts, begin, end) {
      const at = (place) => parts.findLast((part) => part.from <= place);
      const [first, last] = [at(begin), at(end - 1)];
      const range = document.createRange();
      range.setStart(first.node, begin - first.from);
      range.setEnd(last.node, end - last.from);
      return range;
    },
    speak(i, turn) {
      if (turn !== this.turn) return;
      if (i >= this.sentences.length) return this.stop();
      const { text, speaker } = this.sentences[i];
      const who = Math.max(this.speakers.indexOf(speaker), 0);
      // Kept, because browsers lose utterances that nothing holds.
      const words = (this.words = new SpeechSynthesisUtterance(text));
      words.voice = this.pair[who % this.pair.length];
      words.lang = words.voice.lang;
      if (this.pair.length === 1 && who % 2) words.pitch = 1.25;
      words.onstart = () => turn === this.turn && this.mark(this.sentences[i]);
      words.onend = () => this.speak(i + 1, turn);
      words.onerror = (e) => {
        if (turn !== this.turn || e.error === "canceled" || e.error === "interrupted") return;
        this.stop();
        this.said = `The browser stopped reading (${e.error}).`;
      };
      speechSynthesis.speak(words);
    },
    mark(sentence) {
      this.unmark();
      if (window.Highlight && CSS.highlights) CSS.highlights.set(MARK, new Highlight(sentence.range));
      else sentence.block.classList.add(MARK);
      this.marked = sentence;
      sentence.block.scrollIntoView({ block: "nearest" });
    },
    unmark() {
      CSS.highlights?.delete(MARK), this.marked?.block.classList.remove(MARK);
    },
    pause() {
      const paused = this.state === "paused";
      paused ? speechSynthesis.resume() : speechSynthesis.pause();
      this.state = paused ? "reading" : "paused";
    },
    stop() {
      this.turn += 1;
      this.state = "idle";
      speechSynthesis.resume();
      speechSynthesis.cancel();
      this.unmark();
    },
  },
};
