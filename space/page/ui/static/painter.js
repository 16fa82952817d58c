// The label canvas: what shows a label map (label_map.js), and the tools that change it.
// props: width, height, classes ({name, colour}), actions, backdrop, fixed_classes (names of those that redrawing does
// not change); value: the map as a PNG data URL.
const { width, height, classes, actions } = props;
const ICONS = {
  brush: "M4 20c2 0 4-1 4-3a2.5 2.5 0 0 1 5 0c0 3-4 4-9 3M12 14 20 5",
  fill: "M4 12 11 5l8 8-7 7zM9 3l3 3M4 12h14M20 16c2 3 1 4 0 4s-2-1 0-4",
  eraser: "M8 20h12M4 15 14 5l6 6-9 9H8zM9 10l6 6",
  undo: "M9 5 4 10l5 5M4 10h10a5 5 0 0 1 0 10h-3",
  redo: "M15 5l5 5-5 5M20 10H10a5 5 0 0 0 0 10h3",
  out: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6",
  in: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6M11 8v6",
  save: "M12 3v12M7 11l5 5 5-5M4 20h16",
  redraw: "M20 5v5h-5M20 10a8 8 0 1 0 0 5",
  same: "M20 5v5h-5M20 10a8 8 0 1 0 0 5M3 3l18 18",
  locked: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3",
  open: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 7.5-2",
};
// The first is one pixel, the others fractions of the width.
const SIZES = [0, 4 / 128, 10 / 128, 20 / 128].map((part) => Math.max(1, Math.round(part * width)));
const map = new LabelMap(width, height, classes.map(({ colour }) => colour));

// With more classes than this, one looks for them by name, and those that are not on the map are folded away.
const MANY = 24;
const blank = Math.max(0, classes.findIndex(({ name }) => name === "background"));

let tool = "brush";
let size = SIZES[2];
let chosen = Math.min(1, classes.length - 1);
let zoom = 1;
let shown = 0;
const locked = new Set();

// A map from Python. What was painted before can still be brought back.
async function show() {
  const turn = ++shown;
  if (!props.value) return;
  const arrived = await map.read(props.value);
  if (turn !== shown || !map.differs(arrived)) return;
  map.remember();
  map.ids = arrived;
  draw();
}

const canvas = make("canvas", {
  width,
  height,
  tabindex: 0,
  role: "application",
  "aria-label":
    "Label map, to paint on. Arrow keys move, Space paints, 1 to 9 choose a class, B, F and E the tool, [ and ] the brush.",
});
const ink = canvas.getContext("2d");
const backdrop = make("img", { class: "backdrop", alt: "", hidden: true });
const ring = make("div", { class: "ring", hidden: true });
const sheet = make("div", { class: "sheet" }, backdrop, canvas, ring);
const viewport = make("div", { class: "viewport", style: `aspect-ratio: ${width} / ${height}` }, sheet);
const under = make("p", { class: "under", "aria-live": "polite" }, "\u00a0");

function button(name, title, action, extra = {}) {
  const { label = icon(ICONS[name]), ...attributes } = extra;
  return make("button", { type: "button", "data-tool": name, title, "aria-label": title, onclick: action, ...attributes }, label);
}

const tools = {
  brush: button("brush", "Brush (B)", () => choose("brush")),
  fill: button("fill", "Fill an area (F)", () => choose("fill")),
  eraser: button("eraser", `Eraser: paints ${classes[blank].name} (E)`, () => choose("eraser")),
};
const sizes = SIZES.map((pixels, i) =>
  button(`size-${i}`, `Brush of ${pixels} pixel${pixels > 1 ? "s" : ""}`, () => resize(i), {
    label: make("i", { class: "dot", style: `--dot: ${4 + 4 * i}px` }),
  }),
);
const undo = button("undo", "Undo on the map (Ctrl+Z)", stepBack);
const redo = button("redo", "Redo on the map (Ctrl+Y)", stepForth);
const percent = make("output", { class: "zoom" });
const save = make(
  "a",
  { "data-tool": "save", title: "Download the label map", "aria-label": "Download the label map", download: "label-map.png", href: "#" },
  icon(ICONS.save),
);
save.addEventListener("click", () => (save.href = canvas.toDataURL("image/png")));
const toolbar = make(
  "div",
  { class: "tools", role: "toolbar", "aria-label": "Tools of the label map" },
  make("span", {}, ...Object.values(tools)),
  make("span", {}, ...sizes),
  make("span", {}, undo, redo, save),
);
const lens = make("span", { class: "lens" }, button("out", "Zoom out (-)", () => magnify(zoom / 2)), percent, button("in", "Zoom in (+)", () => magnify(zoom * 2)));

const rows = classes.map(({ name, colour }, id) => {
  const brush = make(
    "button",
    { type: "button", class: "class-name", role: "radio", title: `Paint with ${name}`, onclick: () => take(id) },
    make("i", { class: "swatch", style: `background: ${rgb(colour)}` }),
    make("span", {}, name),
  );
  const redraw = button("redraw", `Redraw ${name}`, () => trigger("reroll", { class: name }));
  const lock = button("lock", `Keep ${name} as it is`, () => toggle(id), { label: icon(ICONS.open), "aria-pressed": "false" });
  return { brush, redraw, lock, row: make("div", { class: "class-row", "data-class": id }, brush, ...(actions ? [redraw, lock] : [])) };
});
const heads = actions ? [make("small", {}, "redraw"), make("small", {}, "lock")] : [];
const wanted = make("input", {
  type: "search",
  placeholder: `Find one of ${classes.length}`,
  "aria-label": "Find a class by its name",
  oninput: () => filter(),
  onkeydown: (event) => event.key === "Enter" && takeFirst(),
});
const noneFound = make("p", { class: "none-found", hidden: true }, "No class has that name.");
const many = classes.length > MANY;
// The classes of the map with all their buttons, then the others: a press on one of these takes it, to paint with.
const onMap = make("div", { class: "rows" });
const offMap = make("div", { class: "chips" });
const others = make("details", { class: "others", open: !many }, make("summary", {}, "Not on this map"), offMap);
const palette = make(
  "div",
  { class: many ? "palette many" : "palette", role: "group", "aria-label": "Classes" },
  make(
    "div",
    { class: "palette-top" },
    make("div", { class: "palette-head" }, make("span", {}, "Paint with"), ...heads),
    ...(many ? [make("div", { class: "finder" }, wanted)] : []),
  ),
  onMap,
  others,
  noneFound,
);
element
  .querySelector(".painter")
  .append(make("div", { class: "painting" }, toolbar, viewport, make("div", { class: "foot" }, under, lens)), palette);

function draw() {
  map.drawOn(ink);
  const counts = map.counts();
  rows.forEach(({ redraw }, id) => (redraw.disabled = !counts[id] || locked.has(id)));
  // A locked class that the map has lost stays where its lock can be opened.
  sort(rows.map((_, id) => Boolean(counts[id]) || locked.has(id)));
  undo.disabled = !map.past.length;
  redo.disabled = !map.future.length;
}

// Rows that move lose the focus and are laid out anew: only where a class has come or gone.
let sorted = "";
function sort(listed) {
  if (listed.join() === sorted) return;
  sorted = listed.join();
  rows.forEach(({ row }, id) => row.classList.toggle("absent", !listed[id]));
  onMap.replaceChildren(...rows.filter((_, id) => listed[id]).map(({ row }) => row));
  offMap.replaceChildren(...rows.filter((_, id) => !listed[id]).map(({ row }) => row));
  filter();
}

// Which classes the palette shows: those whose names hold what is looked for.
function filter() {
  const words = wanted.value.trim().toLowerCase();
  rows.forEach(({ row }, id) => (row.hidden = !classes[id].name.toLowerCase().includes(words)));
  others.hidden = !offMap.querySelector(":scope > :not([hidden])");
  if (words) others.open = true;
  noneFound.hidden = rows.some(({ row }) => !row.hidden);
}

function markFixed() {
  const same = new Set(props.fixed_classes ?? []);
  rows.forEach(({ redraw }, id) => {
    const { name } = classes[id];
    const title = same.has(name) ? `${name} has only one appearance in this model` : `Redraw ${name}`;
    redraw.classList.toggle("fixed-class", same.has(name));
    redraw.title = title;
    redraw.setAttribute("aria-label", title);
    redraw.replaceChildren(icon(same.has(name) ? ICONS.same : ICONS.redraw));
  });
}

function takeFirst() {
  const first = rows.findIndex(({ row }) => !row.hidden);
  if (first >= 0) take(first);
}

function commit() {
  draw();
  props.value = canvas.toDataURL("image/png");
  trigger("paint");
}

function stepBack() {
  if (map.undo()) commit();
}

function stepForth() {
  if (map.redo()) commit();
}

function choose(name) {
  tool = name;
  for (const [key, one] of Object.entries(tools)) one.setAttribute("aria-pressed", key === name);
}

function resize(index) {
  size = SIZES[Math.max(0, Math.min(SIZES.length - 1, index))];
  sizes.forEach((one, i) => one.setAttribute("aria-pressed", SIZES[i] === size && SIZES.indexOf(size) === i));
}

function take(id) {
  chosen = id;
  if (tool === "eraser") choose("brush");
  rows.forEach(({ brush }, i) => brush.setAttribute("aria-checked", i === id));
}

function toggle(id) {
  if (!locked.delete(id)) locked.add(id);
  showLock(id);
  draw();
  trigger("lock", { locked: [...locked].map((one) => classes[one].name) });
}

// Of work that was brought back.
function setLocks() {
  locked.clear();
  classes.forEach(({ name }, id) => props.locks?.classes.includes(name) && locked.add(id));
  classes.forEach((_, id) => showLock(id));
  draw();
}

function showLock(id) {
  const { lock } = rows[id];
  lock.setAttribute("aria-pressed", locked.has(id));
  lock.replaceChildren(icon(locked.has(id) ? ICONS.locked : ICONS.open));
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

function tell(point) {
  const here = map.at(point);
  under.textContent = here ? `${classes[here.id].name} \u00b7 column ${here.column}, row ${here.row}` : "\u00a0";
  ring.hidden = !here;
  const across = tool === "fill" ? 1 : size;
  Object.assign(ring.style, {
    left: `${(100 * point.x) / width}%`,
    top: `${(100 * point.y) / height}%`,
    width: `${(100 * across) / width}%`,
  });
}

function showBackdrop() {
  backdrop.hidden = !props.backdrop;
  if (props.backdrop) backdrop.src = props.backdrop;
  sheet.classList.toggle("traced", Boolean(props.backdrop));
}

watch("value", show);
watch("backdrop", showBackdrop);
watch("fixed_classes", markFixed);
if (props.actions) watch("locks", setLocks);
choose("brush");
resize(2);
take(chosen);
magnify(1);
draw();
showBackdrop();
markFixed();
show();
