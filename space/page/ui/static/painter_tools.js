// The tools: two rows of them, one over the canvas and one under it.

// Brushes are from one pixel to about a quarter of the width across.
const LARGEST = Math.max(2, Math.round(width / 4));
const SHAPES = new Set(["rectangle", "lasso"]);

let tool = "brush";
let toolBefore = "brush";
let size = 1;

const tools = {
  brush: button("brush", "Brush (B)", () => choose("brush")),
  eraser: button("eraser", `Eraser: paints ${classes[blank].name} (E)`, () => choose("eraser")),
  fill: button("fill", "Fill an area (F)", () => choose("fill")),
  rectangle: button("rectangle", "Rectangle: drag from corner to corner (R)", () => choose("rectangle")),
  lasso: button("lasso", "Lasso: drag around an area (L)", () => choose("lasso")),
  dropper: button("dropper", "Eyedropper: take the class that you click, then paint with it (I, or Alt with any tool)", () => choose("dropper")),
};
const undo = button("undo", "Undo (Ctrl+Z)", stepBack);
const redo = button("redo", "Redo (Ctrl+Y)", stepForth);
const full = button("full", "Full screen (Esc leaves it)", () => fillScreen(!isFull()));
const mirror = button("mirror", "Mirror: paint on both sides of a line (M)", toggleMirror, { "aria-pressed": "false" });
const flip = button("flip", "Flip the whole map, left to right (H)", flipMap);
const save = make(
  "a",
  { "data-tool": "save", title: "Download the label map", "aria-label": "Download the label map", download: "label-map.png", href: "#" },
  icon(ICONS.save),
);
save.addEventListener("click", () => (save.href = canvas.toDataURL("image/png")));
const slider = make("input", {
  type: "range",
  min: 1,
  max: LARGEST,
  title: "Size of the brush ([ and ])",
  "aria-label": "Size of the brush",
  oninput: () => resize(slider.valueAsNumber),
  onchange: hideRing,
});
const across = make("output", { class: "across" });

// Buttons that are narrow before they wrap.
function group(...buttons) {
  const count = buttons.length;
  return make("span", { style: `--count: ${count}; flex: ${count} 1 ${24 * count + 2}px` }, ...buttons);
}

const toolbar = make(
  "div",
  { class: "tools", role: "toolbar", "aria-label": "Tools of the label map" },
  group(...Object.values(tools)),
  group(undo, redo),
  group(full),
);
const moreTools = make(
  "div",
  { class: "tools more", role: "toolbar", "aria-label": "Size of the brush, mirror and download" },
  make("label", {}, slider, across),
  group(mirror, flip, save),
);
const lens = make(
  "span",
  { class: "lens" },
  button("out", "Zoom out (-)", () => magnify(zoom / 2)),
  percent,
  button("in", "Zoom in (+)", () => magnify(zoom * 2)),
);

function choose(name) {
  finish();
  if (name !== tool) toolBefore = tool;
  tool = name;
  for (const [key, one] of Object.entries(tools)) one.setAttribute("aria-pressed", key === name);
  pictureHolder()?.classList.toggle("picking", name === "dropper");
}

// The circle shows it where the pointer or the keyboard is, or else in the middle of what is seen of the map.
function resize(pixels) {
  size = Math.max(1, Math.min(LARGEST, pixels));
  slider.value = size;
  across.textContent = `${size} px`;
  const box = viewport.getBoundingClientRect();
  encircle(pointed ?? position({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }), size);
}

// The next size up or down that is plainly another.
function resizeBy(direction) {
  resize(size + direction * Math.max(1, Math.round(size / (direction > 0 ? 4 : 5))));
}

// Take the class at a point, and go back to the tool before.
function pickUp(point) {
  const here = map.at(point);
  if (!here) return;
  if (tool === "dropper") choose(toolBefore);
  take(here.id);
  under.textContent = `Painting with ${classes[here.id].name}`;
}

function toggleMirror() {
  moveAxis(axis === null ? width / 2 : null);
  mirror.setAttribute("aria-pressed", axis !== null);
  hideRing();
}

function flipMap() {
  finish();
  const before = map.ids.slice();
  map.flip();
  commit(before);
}
