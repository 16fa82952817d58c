// Pictures to pick one from. props: empty, places (how many there will be); value: a list of {src, alt, selected}.
// The one under the pointer, with the focus, or under a finger that rests on it is enlarged, over the picture of the
// page: the others stay in sight.
const row = element.querySelector(".choices");
const HOLD = 400; // of a finger, in milliseconds
let buttons = [];
let held = false;
let holding = 0;

const number = make("span");
const enlarged = make("div", { class: "enlarged", "aria-hidden": "true", hidden: true }, number);
element.append(enlarged);

function enlarge(index) {
  enlarged.style.backgroundImage = `url("${props.value[index].src}")`;
  number.textContent = `${index + 1} of ${buttons.length}`;
  enlarged.hidden = false;
  place();
}

function reduce() {
  enlarged.hidden = true;
}

// What the pointer leaves gives way to what a key has chosen.
function enlargeFocused() {
  const focused = buttons.findIndex((button) => button.matches(":focus-visible"));
  if (focused < 0) reduce();
  else enlarge(focused);
}

// Over the picture; where that is out of sight, above or below the row, wherever there is more room.
function place() {
  if (enlarged.hidden) return;
  const here = row.getBoundingClientRect();
  const picture = element.closest("#picture-panel")?.querySelector("#picture .picture")?.getBoundingClientRect();
  let box = picture ?? here;
  const seen = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
  if (seen < 0.75 * box.height) {
    const below = innerHeight - here.bottom > here.top;
    const room = (below ? innerHeight - here.bottom : here.top) - 16;
    const scale = Math.min(1, room / box.height);
    const [width, height] = [scale * box.width, scale * box.height];
    box = { left: here.left + (here.width - width) / 2, top: below ? here.bottom + 8 : here.top - 8 - height, width, height };
  }
  for (const side of ["left", "top", "width", "height"]) enlarged.style[side] = `${box[side]}px`;
}

function choice(index) {
  const { src, alt } = props.value[index];
  return make(
    "button",
    {
      type: "button",
      class: "pick",
      onclick: () => take(index),
      onpointerenter: (event) => event.pointerType === "touch" || enlarge(index),
      onpointerleave: (event) => event.pointerType === "touch" || enlargeFocused(),
      onfocus: (event) => event.target.matches(":focus-visible") && enlarge(index),
      onblur: reduce,
      onpointerdown: (event) => {
        if (event.pointerType !== "touch") return;
        held = false;
        holding = setTimeout(() => {
          held = true;
          enlarge(index);
        }, HOLD);
      },
      onpointerup: release,
      onpointercancel: release,
      oncontextmenu: (event) => (held || holding) && event.preventDefault(),
    },
    make("img", { src, alt, draggable: "false" }),
  );
}

function release() {
  clearTimeout(holding);
  holding = 0;
  if (held) reduce();
}

function take(index) {
  if (held) held = false; // that was a look at it
  else {
    reduce();
    trigger("pick", { index });
  }
}

function fill() {
  const pictures = props.value ?? [];
  const same = pictures.length === buttons.length && pictures.every(({ src }, i) => buttons[i].firstChild.src === src);
  if (!same) {
    const focused = buttons.indexOf(document.activeElement);
    reduce();
    buttons = pictures.map((_, index) => choice(index));
    row.replaceChildren(...buttons);
    buttons[focused]?.focus({ preventScroll: true });
  }
  pictures.forEach(({ selected }, i) => buttons[i].setAttribute("aria-pressed", selected ? "true" : "false"));
  row.classList.toggle("nothing", !pictures.length);
  if (!pictures.length && (props.places || props.empty)) {
    const places = Array.from({ length: props.places }, () => make("i", { class: "place" }));
    row.replaceChildren(...places, make("p", {}, props.empty));
  }
  return !same;
}

row.addEventListener("keydown", (event) => {
  const at = buttons.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const wanted = step ? (at + step + buttons.length) % buttons.length : /^[1-9]$/.test(event.key) ? event.key - 1 : -1;
  if (event.key === "Escape") reduce();
  else if (buttons[wanted]) {
    buttons[wanted].focus();
    enlarge(wanted);
  } else return;
  event.preventDefault();
});
window.addEventListener("scroll", place, { capture: true, passive: true });
window.addEventListener("resize", place);

watch("value", () => {
  // With the picture, which they are compared with.
  const together = element.closest("#picture-panel") ?? row;
  if (fill() && buttons.length) together.scrollIntoView({ block: "nearest", behavior: "smooth" });
});
fill();
