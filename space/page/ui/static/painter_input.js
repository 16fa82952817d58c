// Pointer, touch and keyboard on the label canvas (painter.js).
let cursor = { x: width / 2, y: height / 2 }; // of the keyboard
let stroke = null;
const fingers = new Map();

function position(event) {
  const box = canvas.getBoundingClientRect();
  return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
}

const painted = () => (tool === "eraser" ? blank : chosen);

function begin(point) {
  map.remember();
  stroke = { at: point };
  if (tool === "fill") map.fill(point, chosen);
  else map.stamp(point, size, painted());
  draw();
}

function end(keep) {
  if (!stroke) return;
  stroke = null;
  const ids = map.ids;
  const changed = map.takeBack();
  if (keep && changed) {
    map.remember();
    map.ids = ids;
    commit();
  } else draw();
}

// Two fingers move and zoom; what the first one had begun is taken back.
function pinch(event) {
  const before = [...fingers.values()];
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const after = [...fingers.values()];
  const spread = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y);
  const middle = ([a, b]) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  const [old, now] = [middle(before), middle(after)];
  viewport.scrollLeft -= now.x - old.x;
  viewport.scrollTop -= now.y - old.y;
  magnify((zoom * spread(after)) / Math.max(1, spread(before)), now);
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (fingers.size === 1) begin(position(event));
  else end(false);
});
canvas.addEventListener("pointermove", (event) => {
  if (fingers.size === 2 && fingers.has(event.pointerId)) return pinch(event);
  tell(position(event));
  if (!stroke || tool === "fill") return;
  const passed = event.getCoalescedEvents?.() ?? [];
  for (const one of passed.length ? passed : [event]) {
    const point = position(one);
    map.line(stroke.at, point, size, painted());
    stroke.at = point;
  }
  draw();
});
for (const kind of ["pointerup", "pointercancel"])
  canvas.addEventListener(kind, (event) => {
    fingers.delete(event.pointerId);
    end(kind === "pointerup");
  });
canvas.addEventListener("pointerleave", () => {
  under.textContent = "\u00a0";
  ring.hidden = true;
});
viewport.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    magnify(zoom * 2 ** (-event.deltaY / 300), { x: event.clientX, y: event.clientY });
  },
  { passive: false },
);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  b: () => choose("brush"),
  f: () => choose("fill"),
  e: () => choose("eraser"),
  "[": () => resize(SIZES.indexOf(size) - 1),
  "]": () => resize(SIZES.indexOf(size) + 1),
  "+": () => magnify(zoom * 2),
  "=": () => magnify(zoom * 2),
  "-": () => magnify(zoom / 2),
};

function paintAtCursor() {
  begin(cursor);
  end(true);
  tell(cursor);
}

canvas.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" && !event.shiftKey) stepBack();
    else if (key === "y" || key === "z") stepForth();
    else return;
  } else if (ARROWS[key]) {
    const far = event.shiftKey ? Math.max(1, Math.round(width / 16)) : 1;
    const [x, y] = ARROWS[key];
    cursor = {
      x: Math.max(0.5, Math.min(width - 0.5, Math.floor(cursor.x + x * far) + 0.5)),
      y: Math.max(0.5, Math.min(height - 0.5, Math.floor(cursor.y + y * far) + 0.5)),
    };
    tell(cursor);
  } else if (key === " " || key === "Enter") paintAtCursor();
  else if (/^[1-9]$/.test(key) && key <= classes.length) take(key - 1);
  else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
});
