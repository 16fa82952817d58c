// Full screen, and on the stage the picture beside the map, on which classes can be pointed at too.
const frame = element.closest(actions ? "#stage" : ".painter-holder");
// It may be put on the page later than the painter.
const pictureHolder = () => (props.picture ? document.getElementById(props.picture) : null);
let tipLeaves = 0;
let scrolled = 0;
const tip = make("p", { class: "class-tip", role: "status", hidden: true });

const isFull = () => frame.classList.contains("full-screen");

// What full screen leaves as it is: messages, and the copy of the picture that is pinned on phones.
const STAYS = ".toast-wrap, .sr-only, #pinned";

// The page as a whole goes into full screen, and the column of the frame covers it, with all else in it away: messages
// of refusals stand over it. Where browsers have no full screen, such as on iPhones, it covers the window.
function fillScreen(on) {
  if (on) scrolled = window.scrollY;
  const column = frame.closest("main > .column");
  frame.classList.toggle("full-screen", on);
  document.documentElement.classList.toggle("covered", on);
  for (let one = frame; one !== document.body; one = one.parentElement)
    for (const other of one.parentElement.children) {
      if (other === one || other.matches(STAYS)) continue;
      if (column.contains(other)) other.classList.toggle("behind", on);
      else other.inert = on;
    }
  const title = on ? "Leave full screen (Esc)" : "Full screen (Esc leaves it)";
  full.title = title;
  full.setAttribute("aria-label", title);
  full.replaceChildren(icon(on ? ICONS.leave : ICONS.full));
  magnify(1);
  if (on) {
    toolbar.parentElement.scrollIntoView({ block: "nearest" });
    document.documentElement.requestFullscreen?.().catch(() => {});
  } else {
    window.scrollTo(0, scrolled);
    if (document.fullscreenElement) document.exitFullscreen();
  }
}

onPage("fullscreenchange", () => {
  if (!document.fullscreenElement && isFull()) fillScreen(false);
});
onPage("keydown", (event) => {
  if (event.key === "Escape" && isFull() && !event.defaultPrevented) fillScreen(false);
});

// A listener of the whole page, for as long as the painter is on it.
function onPage(kind, listener) {
  const once = (event) => (element.isConnected ? listener(event) : document.removeEventListener(kind, once));
  document.addEventListener(kind, once);
}

// A click on the picture tells which class is there; with the eyedropper, or with Alt, it takes it.
function pointAtPicture(event) {
  const image = event.target;
  const holder = pictureHolder();
  if (!holder?.contains(image) || !image.matches("img")) return;
  const point = position(event, image.getBoundingClientRect());
  const here = map.at(point);
  if (!here) return;
  if (tool === "dropper" || event.altKey) pickUp(point);
  else {
    under.textContent = describe(point);
    encircle(point, 1);
  }
  const box = holder.getBoundingClientRect();
  tip.textContent = classes[here.id].name;
  Object.assign(tip.style, { left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px` });
  tip.hidden = false;
  if (tip.parentElement !== holder) holder.append(tip);
  clearTimeout(tipLeaves);
  tipLeaves = setTimeout(() => (tip.hidden = true), 2500);
}

if (props.picture) onPage("click", pointAtPicture);
