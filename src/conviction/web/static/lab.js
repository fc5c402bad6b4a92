// What the server cannot do: keep the focus when it redraws a list, undo by a key, and find the lesson.
(() => {
  // An element that is replaced or moved loses the focus to the body; the one of the same key gets it back, or where
  // there is none, the one that is now where it was among those of its kind ("remove-3" is of the kind "remove-").
  let last = null;
  let lost = false;
  const kindOf = (key) => key.slice(0, key.lastIndexOf("-") + 1);
  const alike = (key) => [...document.querySelectorAll(`[data-key^="${CSS.escape(kindOf(key))}"]:not(:disabled)`)];
  document.addEventListener("focusin", (e) => {
    const element = e.target.closest("[data-key]");
    const key = element?.dataset.key;
    last = element && { element, key, place: kindOf(key) ? alike(key).indexOf(element) : -1 };
    lost = false;
  });
  document.addEventListener("pointerdown", () => (lost = false));
  new MutationObserver((records) => {
    if (!last || document.activeElement !== document.body) return;
    lost ||= records.some((r) => [...r.removedNodes].some((n) => n.contains(last.element)));
    if (!lost) return;
    const same = document.querySelector(`[data-key="${CSS.escape(last.key)}"]:not(:disabled)`);
    const others = same || last.place < 0 ? [] : alike(last.key);
    (same ?? others[Math.min(last.place, others.length - 1)])?.focus();
  }).observe(document.documentElement, { childList: true, subtree: true });

  document.addEventListener("keydown", (e) => {
    if (!(e.ctrlKey || e.metaKey) || e.key.toLowerCase() !== "z") return;
    if (e.target.matches("textarea, input[type=text], input[type=number]")) return;
    const button = document.querySelector(`[data-key="${e.shiftKey ? "redo" : "undo"}"]`);
    if (!button) return;
    e.preventDefault();
    // Also where it is disabled: what it takes back may only just have been done, and not be drawn yet.
    button.dispatchEvent(new CustomEvent("press", { bubbles: true }));
  });
})();

// Back and Forward within a page: the server shows what the address names.
addEventListener("popstate", () => {
  if (typeof emitEvent === "function") emitEvent("returned", Object.fromEntries(new URLSearchParams(location.search)));
});

// Where the window is narrow the lesson is below the workbench.
const lesson = {
  // Scrolls to it where it is out of sight; whether it did.
  show() {
    const chapter = document.querySelector(".chapter");
    const box = chapter?.getBoundingClientRect();
    if (!box || (box.top < innerHeight - 80 && box.bottom > 80)) return false;
    chapter.scrollIntoView();
    chapter.focus({ preventScroll: true });
    return true;
  },
  // The page is loaded with it, and leads to it.
  reload() {
    sessionStorage.setItem("lesson", "asked for");
    location.reload();
  },
  arrive() {
    if (sessionStorage.getItem("lesson") === null) return;
    sessionStorage.removeItem("lesson");
    // The workbench above it may still fill; whoever does something meanwhile is where they want to be.
    const filling = new ResizeObserver(() => this.show());
    filling.observe(document.getElementById("work"));
    for (const done of ["pointerdown", "keydown", "wheel"])
      document.addEventListener(done, () => filling.disconnect(), { once: true });
  },
};
