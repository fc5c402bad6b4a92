// A small canvas to draw on, white on black as scans of digits are. Gives the picture as a PNG in base64.
export default {
  template: `<canvas class="board" width="196" height="196" aria-label="Draw here with the mouse or a finger" role="img"
    @pointerdown="begin" @pointermove="go"></canvas>`,
  mounted() {
    this.clear();
  },
  methods: {
    clear() {
      const context = this.$el.getContext("2d");
      context.fillStyle = "#000";
      context.fillRect(0, 0, this.$el.width, this.$el.height);
      this.empty = true;
    },
    place(event) {
      const box = this.$el.getBoundingClientRect();
      const scale = this.$el.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    },
    begin(event) {
      this.$el.setPointerCapture(event.pointerId);
      this.from = this.place(event);
      this.go(event);
    },
    go(event) {
      if (!event.buttons || !this.from) return;
      const context = this.$el.getContext("2d");
      Object.assign(context, { strokeStyle: "#fff", lineWidth: 18, lineCap: "round", lineJoin: "round" });
      const to = this.place(event);
      context.beginPath();
      context.moveTo(...this.from);
      context.lineTo(to[0], to[1] + 0.01); // so that a dot is drawn, too
      context.stroke();
      this.from = to;
      this.empty = false;
    },
    done() {
      this.$emit("drawn", this.empty ? "" : this.$el.toDataURL("image/png").split(",")[1]);
    },
  },
};
