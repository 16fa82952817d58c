// What the painter shows: the map on its canvas, the brush over it, and what the tools know of a place. props are in
// painter.js.
const { width, height, classes, actions } = props;
const map = new LabelMap(width, height, classes.map(({ colour }) => colour));
let zoom = 1;
// The place on the map that the pointer or the keyboard is at, if any.
let pointed = null;
// Column of the line about which strokes are mirrored; none if they are not.
let axis = null;

const canvas = make("canvas", {
  width,
  height,
  tabindex: 0,
  role: "application",
  "aria-label":
    "Label map, to paint on. Arrow keys move, Space paints, 1 to 9 choose a class, B, E, F, R, L and I the tool, [ and ] the brush.",
});
const ink = canvas.getContext("2d");
const backdrop = make("img", { class: "backdrop", alt: "", hidden: true });
const ring = make("div", { class: "ring", hidden: true });
const twin = make("div", { class: "ring twin", hidden: true });
const axisLine = make("div", {
  class: "axis",
  hidden: true,
  tabindex: 0,
  role: "slider",
  title: "Line of the mirror: drag it, or move it with the arrow keys",
  "aria-label": "Line of the mirror",
  "aria-valuemin": 0,
  "aria-valuemax": width,
});
const sheet = make("div", { class: "sheet" }, backdrop, canvas, ring, twin, axisLine);
const viewport = make("div", { class: "viewport", style: `aspect-ratio: ${width} / ${height}` }, sheet);
const under = make("p", { class: "under", "aria-live": "polite" }, "\u00a0");
const percent = make("output", { class: "zoom" });

const mirrored = ({ x, y }) => ({ x: 2 * axis - x, y });

// Where a pointer is on the map, in pixels of it.
function position(event, box = canvas.getBoundingClientRect()) {
  return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
}

// Zoom so that the point stays where it is in the window.
function magnify(factor, point) {
  const before = sheet.getBoundingClientRect();
  const box = viewport.getBoundingClientRect();
  const at = point ?? { x: box.left + box.width / 2, y: box.top + box.height / 2 };
  const fraction = { x: (at.x - before.left) / before.width, y: (at.y - before.top) / before.height };
  zoom = Math.max(1, Math.min(16, factor));
  sheet.style.width = `${100 * zoom}%`;
  percent.textContent = `${Math.round(100 * zoom)} %`;
  const after = sheet.getBoundingClientRect();
  viewport.scrollLeft += after.left + fraction.x * after.width - at.x;
  viewport.scrollTop += after.top + fraction.y * after.height - at.y;
}

// The circle of the brush, and its mirror image.
function encircle(point, across) {
  const place = (one, { x, y }) =>
    Object.assign(one.style, { left: `${(100 * x) / width}%`, top: `${(100 * y) / height}%`, width: `${(100 * across) / width}%` });
  ring.hidden = false;
  place(ring, point);
  twin.hidden = axis === null;
  if (axis !== null) place(twin, mirrored(point));
}

function hideRing() {
  ring.hidden = twin.hidden = true;
}

function describe(point) {
  const here = map.at(point);
  return here ? `${classes[here.id].name} \u00b7 column ${here.column}, row ${here.row}` : "\u00a0";
}

function moveAxis(column) {
  axis = column === null ? null : Math.max(0, Math.min(width, Math.round(2 * column) / 2));
  axisLine.hidden = axis === null;
  if (axis === null) return;
  axisLine.style.left = `${(100 * axis) / width}%`;
  axisLine.setAttribute("aria-valuenow", axis);
  axisLine.setAttribute("aria-valuetext", `column ${axis}`);
}

axisLine.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  axisLine.focus({ preventScroll: true });
  axisLine.setPointerCapture(event.pointerId);
});
axisLine.addEventListener("pointermove", (event) => {
  if (axisLine.hasPointerCapture(event.pointerId)) moveAxis(position(event).x);
});
axisLine.addEventListener("keydown", (event) => {
  const columns = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key];
  if (!columns) return;
  event.preventDefault();
  moveAxis(axis + columns * (event.shiftKey ? 10 : 1));
});

function showBackdrop() {
  backdrop.hidden = !props.backdrop;
  if (props.backdrop) backdrop.src = props.backdrop;
  sheet.classList.toggle("traced", Boolean(props.backdrop));
}
