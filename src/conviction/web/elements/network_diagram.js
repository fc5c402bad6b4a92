// The network as one picture; what it does is in live/diagram.js, a module that is checked and tested.
export default {
  props: { content: Object, at: Array, opens: Boolean },
  template: `<div class="diagram"></div>`,
  async mounted() {
    const { Diagram } = await import("/lab-static/live/diagram.js");
    this.diagram = new Diagram(this.$el, (pick) => this.$emit("pick", pick), this.opens);
    this.show();
  },
  unmounted() {
    this.diagram?.end();
  },
  watch: {
    content() {
      this.show();
    },
    at(now) {
      this.diagram?.mark(now);
    },
  },
  methods: {
    show() {
      if (!this.content) return;
      this.diagram?.show(this.content);
      this.diagram?.mark(this.at);
    },
  },
};
