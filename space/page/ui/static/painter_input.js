// Pointer, touch and keyboard on the label canvas.
let cursor = { x: width / 2, y: height / 2 }; // of the keyboard
// What is being painted: the ids ``before`` it, the points it went through, and the tool; none between strokes.
let stroke = null;
const fingers = new Map();

const painted = () => (tool === "eraser" ? blank : chosen);

// Where strokes go: as they are painted, and mirrored.
const sides = (points) => (axis === null ? [points] : [points, points.map(mirrored)]);

function begin(point) {
  stroke = { before: map.ids.slice(), points: [point], tool };
  if (tool === "fill") for (const [start] of sides([point])) map.fill(start, chosen);
  else if (SHAPES.has(tool)) outline();
  else for (const [start] of sides([point])) map.stamp(start, size, painted());
  draw();
}

function go(point) {
  const last = stroke.points.at(-1);
  if (SHAPES.has(stroke.tool)) {
    stroke.points = stroke.tool === "lasso" ? [...stroke.points, point] : [stroke.points[0], point];
    outline();
  } else if (stroke.tool !== "fill") {
    for (const [from, to] of sides([last, point])) map.line(from, to, size, painted());
    stroke.points = [point];
  }
}

// A rectangle or a lasso as far as it goes, on the map as it was.
function outline() {
  map.ids = stroke.before.slice();
  for (const points of sides(stroke.points))
    if (stroke.tool === "lasso") map.outline(points, chosen);
    else map.rectangle(points[0], points.at(-1), chosen);
}

function end(keep) {
  if (!stroke) return;
  const { before } = stroke;
  stroke = null;
  if (keep && !sameIds(before, map.ids)) commit(before);
  else {
    map.ids = before;
    draw();
  }
}

const abandon = () => end(false);

// Something else is to be done: what the pointer has painted stays, what the keyboard has begun does not.
const finish = () => end(fingers.size > 0);

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

function tell(point) {
  pointed = map.at(point) ? point : null;
  under.textContent = describe(point);
  if (pointed) encircle(point, tool === "brush" || tool === "eraser" ? size : 1);
  else hideRing();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  abandon(); // a second finger, or what the keyboard had begun
  if (fingers.size > 1) return;
  if (tool === "dropper" || event.altKey) pickUp(position(event));
  else begin(position(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (fingers.size === 2 && fingers.has(event.pointerId)) return pinch(event);
  tell(position(event));
  if (!stroke || !fingers.has(event.pointerId)) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  for (const one of passed.length ? passed : [event]) go(position(one));
  draw();
});
for (const kind of ["pointerup", "pointercancel"])
  canvas.addEventListener(kind, (event) => {
    if (fingers.delete(event.pointerId)) end(kind === "pointerup");
  });
canvas.addEventListener("pointerleave", () => {
  under.textContent = "\u00a0";
  pointed = null;
  hideRing();
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
  e: () => choose("eraser"),
  f: () => choose("fill"),
  r: () => choose("rectangle"),
  l: () => choose("lasso"),
  i: () => choose("dropper"),
  m: toggleMirror,
  h: flipMap,
  "[": () => resizeBy(-1),
  "]": () => resizeBy(1),
  "+": () => magnify(zoom * 2),
  "=": () => magnify(zoom * 2),
  "-": () => magnify(zoom / 2),
};

// Space and Enter: a dab, a fill, a class; the corners of a rectangle; those of a lasso, which Enter closes.
function paintAtCursor(key) {
  if (tool === "dropper") return pickUp(cursor);
  if (stroke && stroke.tool === "lasso" && key === " ") stroke.points.push(cursor);
  else if (stroke) end(true);
  else {
    begin(cursor);
    if (!SHAPES.has(tool)) end(true);
    else stroke.points.push(cursor);
  }
  tell(cursor);
}

function moveCursor([x, y], far) {
  cursor = {
    x: Math.max(0.5, Math.min(width - 0.5, Math.floor(cursor.x + x * far) + 0.5)),
    y: Math.max(0.5, Math.min(height - 0.5, Math.floor(cursor.y + y * far) + 0.5)),
  };
  if (stroke && !fingers.size) {
    stroke.points[stroke.points.length - 1] = cursor;
    outline();
    draw();
  }
  tell(cursor);
}

canvas.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (ARROWS[key]) moveCursor(ARROWS[key], event.shiftKey ? Math.max(1, Math.round(width / 16)) : 1);
  else if (key === " " || key === "Enter") paintAtCursor(key);
  else if (key === "Escape" && stroke) abandon();
  else if (/^[1-9]$/.test(key) && key <= classes.length) take(key - 1);
  else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
});

// Keys that are held do not outrun the server.
const HELD = 150; // ms
let stepped = 0;

// Undo and redo by key: on the stage from anywhere on the page, except where text is edited.
function stepByKey(event) {
  if (event.defaultPrevented || event.altKey || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  if (event.target.closest?.("textarea, [contenteditable], input:not([type=range], [type=radio], [type=checkbox])")) return;
  event.preventDefault();
  if (event.repeat && event.timeStamp - stepped < HELD) return;
  stepped = event.timeStamp;
  if (key === "z" && !event.shiftKey) stepBack();
  else stepForth();
}

if (actions) onPage("keydown", stepByKey);
else element.addEventListener("keydown", stepByKey);
