// A photo with a frame of fixed proportions that is dragged, resized at its corners, or moved by keys; it may reach
// beyond the photo. props: width, height (proportions), photo ([width, height]), box, found (the person's box, or null);
// value: the photo as a data URL. Boxes are [left, top, width, height] in pixels of the photo.
const aspect = props.height / props.width;
const CORNERS = { nw: [1, 1], ne: [0, 1], sw: [1, 0], se: [0, 0] };
// What is in sight beyond photo and frame, as a fraction of the photo's width.
const EDGE = 0.06;
// Keys are answered once they rest for so many milliseconds.
const REST = 500;

const image = make("img", { alt: "The whole photo", draggable: "false" });
const frame = make(
  "div",
  {
    class: "frame",
    tabindex: 0,
    role: "application",
    "aria-label": "The frame of the photo. Arrow keys move it, with Shift further; + and - resize it.",
    onkeydown: onKey,
  },
  ...Object.keys(CORNERS).map((corner) => make("i", { class: `corner ${corner}`, "data-corner": corner })),
);
const stage = make(
  "div",
  { class: "crop-stage", onpointerdown: onDown, onpointermove: onMove, onpointerup: onUp, onpointercancel: onUp },
  image,
  frame,
);
const person = make("button", { type: "button", title: "Frame the person who was found", onclick: () => choose(props.found) }, "Person");
const all = make("button", { type: "button", title: "Frame all of the photo", onclick: () => choose(around()) }, "Whole photo");
const nothing = make("p", { class: "nothing" }, "The whole photo appears here, with a frame that you can move.");
const choices = make("div", { class: "crop-choices" }, person, all);
element.querySelector(".cropper").append(choices, nothing, stage);

// The frame, what of the photo and its surroundings is in sight, the pointers that are down, and what they began with.
let box = { left: 0, top: 0, width: 1 };
let view = { left: 0, top: 0, width: 1, height: 1 };
let sent = "";
let resting = null;
let began = null;
const pointers = new Map();

const high = (one) => one.width * aspect;
const asBox = ([left, top, width]) => ({ left, top, width });
const key = () => [box.left, box.top, box.width].map(Math.round).join();

// The smallest frame that has all of the photo.
function around() {
  const [width, height] = props.photo;
  const across = Math.max(width, height / aspect);
  return [(width - across) / 2, (height - across * aspect) / 2, across];
}

function show() {
  const there = Boolean(props.value && props.photo && props.box);
  nothing.hidden = there;
  stage.hidden = !there;
  for (const button of [person, all]) button.disabled = !there;
  if (!there) return;
  image.src = props.value;
  person.disabled = !props.found;
  if (!pointers.size) box = asBox(props.box);
  sent = key();
  const [left, top, width] = around();
  const right = Math.max(left + width, box.left + box.width);
  const bottom = Math.max(top + width * aspect, box.top + high(box));
  const edge = EDGE * width;
  view = { left: Math.min(left, box.left) - edge, top: Math.min(top, box.top) - edge };
  Object.assign(view, { width: right + edge - view.left, height: bottom + edge - view.top });
  stage.style.aspectRatio = `${view.width} / ${view.height}`;
  stage.style.setProperty("--proportions", view.width / view.height);
  place(image, 0, 0, ...props.photo);
  draw();
}

function place(part, left, top, width, height) {
  Object.assign(part.style, {
    left: `${(100 * (left - view.left)) / view.width}%`,
    top: `${(100 * (top - view.top)) / view.height}%`,
    width: `${(100 * width) / view.width}%`,
    height: `${(100 * height) / view.height}%`,
  });
}

const draw = () => place(frame, box.left, box.top, box.width, high(box));
const between = (least, value, most) => Math.max(least, Math.min(most, value));
const fitting = (width) => between(view.width / 20, width, Math.min(view.width, view.height / aspect));

// In sight, and on the photo by its middle.
function move(left, top) {
  const [width, height] = props.photo;
  const [across, down] = [box.width / 2, high(box) / 2];
  const x = between(0, left + across, width) - across;
  const y = between(0, top + down, height) - down;
  box.left = between(view.left, x, view.left + view.width - box.width);
  box.top = between(view.top, y, view.top + view.height - high(box));
  draw();
}

// The point of the frame at these fractions of its sides stays where it is.
function resize(width, [across, down] = [0.5, 0.5]) {
  const [x, y] = [box.left + across * box.width, box.top + down * high(box)];
  box.width = fitting(width);
  move(x - across * box.width, y - down * high(box));
}

function choose(wanted) {
  box = asBox(wanted);
  draw();
  send();
}

function send() {
  clearTimeout(resting);
  if (key() === sent) return;
  sent = key();
  trigger("crop", { box: [box.left, box.top, box.width, high(box)] });
}

function onKey(event) {
  const step = box.width * (event.shiftKey ? 0.1 : 0.02);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const sizes = { "+": 1.05, "=": 1.05, "-": 1 / 1.05 };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (moves[event.key]) move(box.left + moves[event.key][0], box.top + moves[event.key][1]);
  else if (sizes[event.key]) resize(box.width * sizes[event.key]);
  else return;
  event.preventDefault();
  clearTimeout(resting);
  resting = setTimeout(send, REST);
}

// Where a pointer is, in pixels of the photo.
function at(event) {
  const shown = stage.getBoundingClientRect();
  return {
    x: view.left + ((event.clientX - shown.left) / shown.width) * view.width,
    y: view.top + ((event.clientY - shown.top) / shown.height) * view.height,
  };
}

const apart = () => {
  const [first, second] = [...pointers.values()];
  return Math.hypot(first.x - second.x, first.y - second.y);
};

function onDown(event) {
  if (event.button) return;
  event.preventDefault();
  frame.focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  const corner = event.target.dataset?.corner;
  if (!corner && !frame.contains(event.target) && pointers.size === 1) {
    const { x, y } = at(event);
    move(x - box.width / 2, y - high(box) / 2);
  }
  began = { ...box, at: at(event), corner, apart: pointers.size === 2 ? apart() : 0 };
}

function onMove(event) {
  if (!pointers.has(event.pointerId)) return;
  const here = at(event);
  pointers.set(event.pointerId, here);
  if (pointers.size === 2) return resize((began.width * apart()) / began.apart);
  if (pointers.size > 2) return;
  const [x, y] = [here.x - began.at.x, here.y - began.at.y];
  if (!began.corner) return move(began.left + x, began.top + y);
  // The larger of the two ways counts, and the corner across stays.
  const [across, down] = CORNERS[began.corner];
  const wider = [across ? -x : x, (down ? -y : y) / aspect].reduce((a, b) => (Math.abs(a) > Math.abs(b) ? a : b));
  Object.assign(box, { left: began.left, top: began.top, width: began.width });
  resize(began.width + wider, [across, down]);
}

function onUp(event) {
  if (!pointers.delete(event.pointerId)) return;
  if (pointers.size) began = { ...box, at: [...pointers.values()][0], apart: 0 };
  else send();
}

watch("value", show);
watch("box", show);
show();
