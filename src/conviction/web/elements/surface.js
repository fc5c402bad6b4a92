// A tree of plain elements. When it is redrawn, only what differs is changed, so that no key press is lost:
// elements stay, with their focus and what is being typed, and what is pressed is sent to the surface, which always stays.
import { h } from "vue";

export default {
  props: { tree: Array, drawing: Number },
  render() {
    const events = { onFocusout: this.left, onClick: this.clicked, onPress: this.clicked, onInput: this.typed, onChange: this.changed };
    return h("div", events, this.tree.map(this.build));
  },
  mounted() {
    this.settle();
  },
  updated() {
    this.settle();
  },
  methods: {
    build([name, props, text, children]) {
      const { key = props["data-key"], ...rest } = props;
      return h(name, { key, ...rest }, children.length ? [text, ...children.map(this.build)] : text);
    },
    // Every field shows what the server has, but the one in which somebody is typing.
    settle() {
      for (const field of this.$el.querySelectorAll("input, select, textarea")) {
        if (field.dataset.key === this.typing) continue;
        if (field.type === "checkbox") field.checked = field.defaultChecked;
        else if (field.options) for (const one of field.options) one.selected = one.defaultSelected;
        else if (field.value !== field.defaultValue) field.value = field.defaultValue;
      }
    },
    typed(event) {
      this.typing = event.target.dataset.key;
    },
    // It has changed by now, or is again what it was.
    left() {
      this.typing = undefined;
    },
    changed(event) {
      const field = event.target;
      this.typing = undefined;
      this.tell(field, field.type === "checkbox" ? field.checked : field.value);
    },
    clicked(event) {
      const button = event.target.closest("button[data-key]");
      if (button) this.tell(button, null);
    },
    tell(element, value) {
      this.$emit("act", { key: element.dataset.key, value, drawing: this.drawing });
    },
  },
};
