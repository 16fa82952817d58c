// The classes (painter_palette.js) as one radio group: Tab reaches the chosen one, arrow keys take the others.
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// Ids of the classes that are seen, in the order in which they stand.
function offered() {
  return [...palette.querySelectorAll(".class-row:not([hidden])")]
    .filter((row) => others.open || !others.contains(row))
    .map((row) => Number(row.dataset.class));
}

// The chosen class has the group's place among what Tab reaches, or the first one if it is not seen.
function giveTabStop() {
  const ids = offered();
  const stop = ids.includes(chosen) ? chosen : ids[0];
  rows.forEach(({ brush }, id) => (brush.tabIndex = id === stop ? 0 : -1));
}

palette.addEventListener("keydown", (event) => {
  const ids = offered();
  const at = ids.findIndex((id) => rows[id].brush === event.target);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = { Home: 0, End: ids.length - 1 }[event.key] ?? (event.key in STEPS ? (at + STEPS[event.key] + ids.length) % ids.length : null);
  if (to === null) return;
  event.preventDefault();
  take(ids[to]);
  rows[ids[to]].brush.focus();
});
others.addEventListener("toggle", giveTabStop);
giveTabStop();
