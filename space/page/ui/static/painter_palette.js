// The classes to paint with, and on the stage what is done to each: redraw and lock.
// With more classes than this, one looks for them by name, and those that are not on the map are folded away.
const MANY = 24;
const blank = Math.max(0, classes.findIndex(({ name }) => name === "background"));
const locked = new Set();
let chosen = Math.min(1, classes.length - 1);

const rows = classes.map(({ name, colour }, id) => {
  const brush = make(
    "button",
    { type: "button", class: "class-name", role: "radio", title: `Paint with ${name}`, onclick: () => take(id) },
    make("i", { class: "swatch", style: `background: ${rgb(colour)}` }),
    make("span", {}, name),
  );
  const redraw = button("redraw", `Redraw ${name}`, () => act(() => trigger("reroll", { class: name })));
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
  { class: many ? "palette many" : "palette", role: "radiogroup", "aria-label": "Classes" },
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

// What can be done to each class of the map, and which are on it.
function showClasses() {
  const counts = map.counts();
  rows.forEach(({ redraw }, id) => (redraw.disabled = !counts[id] || locked.has(id)));
  // A locked class that the map has lost stays where its lock can be opened.
  sort(rows.map((_, id) => Boolean(counts[id]) || locked.has(id)));
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
  giveTabStop();
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

function take(id) {
  chosen = id;
  if (tool === "eraser") choose("brush");
  rows.forEach(({ brush }, i) => brush.setAttribute("aria-checked", i === id));
  giveTabStop();
}

function toggle(id) {
  if (!locked.delete(id)) locked.add(id);
  showLock(id);
  showClasses();
  act(() => trigger("lock", { locked: [...locked].map((one) => classes[one].name) }));
}

// Those of work that was brought back.
function setLocks() {
  locked.clear();
  classes.forEach(({ name }, id) => props.locks?.classes.includes(name) && locked.add(id));
  classes.forEach((_, id) => showLock(id));
  showClasses();
}

function showLock(id) {
  const { lock } = rows[id];
  lock.setAttribute("aria-pressed", locked.has(id));
  lock.replaceChildren(icon(locked.has(id) ? ICONS.locked : ICONS.open));
}
