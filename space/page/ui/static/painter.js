// The label canvas: puts together what shows a map (painter_view.js), the classes (painter_palette.js), the tools
// (painter_tools.js) and what they do (painter_input.js).
// props: width, height, classes ({name, colour}), actions, picture (id of the picture of the map, if there is one),
// backdrop, fixed_classes (names of those that redrawing does not change); value: the map as a PNG data URL.
// Where strokes are steps of a session (actions): can_undo, can_redo, strokes (the number of the last one that was
// drawn), refused (another value after each that was not), locks ({classes: names} of work that was brought back).
const local = actions ? null : new LocalSteps();
const outbox = actions ? new Outbox(({ before, after, number }) => trigger("paint", { before: map.picture(before), after: map.picture(after), number })) : null;
let shown = 0;
let backdropBefore = props.backdrop;

element
  .querySelector(".painter")
  .append(make("div", { class: "painting" }, toolbar, viewport, moreTools, make("div", { class: "foot" }, under, lens)), palette);

// A map from Python: with the strokes on it that it has not heard of, and the one that is being painted.
async function show() {
  const turn = ++shown;
  const known = props.strokes;
  if (!props.value) return;
  const arrived = await map.read(props.value);
  if (turn !== shown) return;
  const [held, begun] = [stroke?.before ?? map.ids, stroke && { before: stroke.before, after: map.ids }];
  const ids = (outbox?.since(known) ?? []).reduce(withStroke, arrived);
  if (sameIds(held, ids)) return;
  if (local) remember(held);
  map.ids = ids;
  // What Python sends next may be what it has sent last, and is to be shown all the same.
  props.value = map.picture(ids);
  if (begun) {
    stroke.before = ids;
    map.ids = withStroke(ids, begun);
  }
  draw();
}

// A map that takes the place of another can be undone; that of another photo begins anew.
function remember(held) {
  if (props.backdrop === backdropBefore) local.add({ before: held });
  else Object.assign(local, { past: [], future: [] });
  backdropBefore = props.backdrop;
}

function draw() {
  map.drawOn(ink);
  showClasses();
  showSteps();
}

function showSteps() {
  undo.disabled = local ? !local.past.length : !props.can_undo && !outbox.busy;
  redo.disabled = local ? !local.future.length : !props.can_redo || outbox.busy;
}

// The map has changed, in one step from the ids before.
function commit(before) {
  props.value = map.picture(map.ids);
  if (local) {
    local.add({ before });
    trigger("paint");
  } else outbox.add({ before, after: map.ids.slice() });
  draw();
}

// An action on the session: what was painted before comes first.
function act(action) {
  outbox?.flush();
  action();
}

function stepBack() {
  if (stroke && !fingers.size) abandon(); // what the keyboard has begun
  else if (stroke || undo.disabled) return;
  else if (local) stepTo(local.undo(map.ids));
  else act(() => trigger("undo"));
}

function stepForth() {
  if (stroke || redo.disabled) return;
  if (local) stepTo(local.redo(map.ids));
  else act(() => trigger("redo"));
}

function stepTo(ids) {
  map.ids = ids;
  props.value = map.picture(ids);
  trigger("paint");
  draw();
}

if (outbox) {
  watch("strokes", () => outbox.answer(props.strokes));
  watch("refused", () => outbox.refuse());
  watch(["strokes", "refused", "can_undo", "can_redo"], showSteps);
}
watch("value", show);
watch("backdrop", showBackdrop);
watch("fixed_classes", markFixed);
if (props.actions) watch("locks", setLocks);
choose("brush");
resize(Math.max(1, Math.round((10 / 128) * width)));
hideRing();
take(chosen);
magnify(1);
draw();
showBackdrop();
markFixed();
show();
