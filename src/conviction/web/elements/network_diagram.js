// The network as one picture; what it does is in live/diagram.js, a module that is checked and tested.
export default {
  props: { content: Object, opens: Boolean },
  template: `<div class="diagram"></div>`,
  async mounted() {
    const { Diagram } = await import("/lab-static/live/diagram.js");
    if (!this.$el.isConnected) return;
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
  },
  methods: {
    // Not a property: with each one, all of them are sent again.
    mark(at) {
      this.at = at;
      this.diagram?.mark(at);
    },
    show() {
      if (!this.content) return;
      this.diagram?.show(this.content);
      this.diagram?.mark(this.at);
    },
  },
};
