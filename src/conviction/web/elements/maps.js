// Maps of numbers in colours: blue above zero, orange below. A click or the arrow keys choose a value.
const SIDE = 127;

export default {
  props: {
    maps: String, // int8 in base64, count * rows * columns
    count: Number,
    rows: Number,
    columns: Number,
    last: Number, // how many values of a map are real; the last row may be padded
    at: Array, // [map, row, column] that is chosen
    window: Array, // [top, left, rows, columns] that is outlined
    gray: Boolean, // a picture: 0 black, 255 white
    keys: Boolean,
    label: String,
  },
  template: `
    <div class="maps" :class="{large: keys}" :role="keys ? 'application' : null" :tabindex="keys ? 0 : null"
         :aria-label="keys ? label : null" @keydown="onKey">
      <div v-for="i in count" :key="i" class="map" :class="{chosen: at && at[0] === i - 1}" :aria-hidden="true"
           @click="onClick($event, i - 1)" :style="{aspectRatio: columns + ' / ' + rows, '--columns': columns}">
        <canvas ref="canvases" :width="columns" :height="rows"></canvas>
        <i v-if="window" class="window" :style="box(window)"></i>
        <i v-if="here && here[0] === i - 1 && keys" class="here" :style="box([here[1], here[2], 1, 1])"></i>
      </div>
    </div>`,
  data() {
    return { here: this.at };
  },
  watch: {
    at(now) {
      this.here = now;
    },
    maps() {
      this.$nextTick(this.draw);
    },
  },
  mounted() {
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.draw);
    this.draw();
  },
  unmounted() {
    this.dark.removeEventListener("change", this.draw);
  },
  methods: {
    draw() {
      const bytes = new Int8Array(Uint8Array.from(atob(this.maps), (c) => c.charCodeAt(0)).buffer);
      const style = getComputedStyle(this.$el);
      const [zero, above, below] = ["zero", "above", "below"].map((n) =>
        style.getPropertyValue(`--map-${n}`).trim().split(/[ ,]+/).map(Number),
      );
      const size = this.rows * this.columns;
      (this.$refs.canvases ?? []).forEach((canvas, i) => {
        const context = canvas.getContext("2d");
        const image = context.createImageData(this.columns, this.rows);
        for (let k = 0; k < size; k++) {
          const share = bytes[i * size + k] / SIDE;
          const strong = share > 0 ? above : below;
          for (let c = 0; c < 3; c++)
            image.data[4 * k + c] = this.gray ? 255 * share : zero[c] + Math.abs(share) * (strong[c] - zero[c]);
          image.data[4 * k + 3] = this.last && k >= this.last ? 0 : 255;
        }
        context.putImageData(image, 0, 0);
      });
    },
    box([top, left, rows, columns]) {
      const part = (n, of) => `${(100 * n) / of}%`;
      return {
        top: part(top, this.rows),
        left: part(left, this.columns),
        height: part(rows, this.rows),
        width: part(columns, this.columns),
      };
    },
    onClick(event, map) {
      const box = event.currentTarget.getBoundingClientRect();
      const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
      const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
      this.pick(map, row, column);
    },
    onKey(event) {
      if (!this.keys || !this.here || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      this.pick(this.here[0], this.here[1] + step[0], this.here[2] + step[1]);
    },
    pick(map, row, column) {
      const inside = row >= 0 && row < this.rows && column >= 0 && column < this.columns;
      if (!inside || (this.last && row * this.columns + column >= this.last)) return;
      // Shown at once; the numbers follow.
      if (this.keys) this.here = [map, row, column];
      this.$emit("pick", { map, row, column });
    },
  },
};
