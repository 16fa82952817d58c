// A small copy of the picture that stays at the top of the window while the picture is out of sight; a press enlarges it.
// props: picture, sentence: selectors of what it copies. Where the picture stands beside its map there is no copy
// (pinned.css): the window moves to a picture that has changed.
const small = make("img", { alt: "" });
const told = make("p", { "aria-hidden": "true" }); // the sentence itself is read out already
const large = make("img", { alt: "The picture, enlarged" });
const whole = make(
  "dialog",
  { class: "whole-picture", "aria-label": "The picture, enlarged", onclick: () => whole.close() },
  make("button", { type: "button", class: "close", "aria-label": "Close" }, "\u00d7"),
  large,
);
const press = make("button", { type: "button", title: "Enlarge the picture", "aria-label": "Enlarge the picture", onclick: enlarge }, small);
const bar = make("div", { class: "pinned", hidden: true }, press, told);
element.querySelector(".pin").append(bar, whole);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let inSight = true;

function enlarge() {
  large.src = small.src;
  whole.showModal();
}

// What is scrolled to, or gets the focus, does not end up under the copy.
function settle() {
  bar.hidden = inSight || !small.getAttribute("src");
  document.documentElement.style.scrollPaddingTop = bar.offsetHeight ? `${bar.offsetHeight + 8}px` : "";
}

function follow(picture) {
  const shown = picture.querySelector("img")?.src;
  if (!shown || shown === small.src) return;
  const first = !small.src;
  small.src = shown;
  settle();
  // Whoever paints looks at the map, which must not move away under the brush.
  if (first || inSight || bar.offsetHeight || document.activeElement?.closest("canvas")) return;
  picture.scrollIntoView({ block: "center", behavior: still.matches ? "auto" : "smooth" });
}

// The page's parts come one after the other.
function whenThere(selector, action) {
  const found = document.querySelector(selector);
  if (found) action(found);
  else if (element.isConnected) requestAnimationFrame(() => whenThere(selector, action));
}

whenThere(props.picture, (picture) => {
  new MutationObserver(() => follow(picture)).observe(picture, { subtree: true, childList: true, attributeFilter: ["src"] });
  new IntersectionObserver(
    ([{ intersectionRatio }]) => {
      inSight = intersectionRatio > 0.4;
      settle();
    },
    { threshold: [0.4] },
  ).observe(picture);
  addEventListener("resize", settle);
  follow(picture);
});
whenThere(props.sentence, (sentence) => {
  const copy = () => (told.textContent = sentence.textContent.trim());
  new MutationObserver(copy).observe(sentence, { subtree: true, childList: true, characterData: true });
  copy();
});
