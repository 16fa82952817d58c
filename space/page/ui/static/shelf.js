// The shelf: kept looks to press, each with a name that opens what can be done with it.
// value: {looks: [{name, look, src, map}], deleted: the name of the one that can be brought back, or null};
// props: empty; download: {name, src} of a file that is to be saved.
const shelf = element.querySelector(".shelf");
const row = make("div", { class: "strip", role: "group", "aria-label": shelf.getAttribute("aria-label") });
const editor = make("form", { class: "shelf-editor", hidden: true, "aria-label": "Edit the look" });
const gone = make("p", { class: "shelf-gone", hidden: true });
shelf.append(row, editor, gone);

let edited = null; // index of the look whose editor is open

const looks = () => props.value?.looks ?? [];
const nameButton = (index) => row.querySelectorAll(".name")[index];

function fill() {
  const focused = document.activeElement;
  const part = ["pick", "name"].find((one) => row.contains(focused) && focused.classList.contains(one));
  const place = part ? [...row.querySelectorAll(`.${part}`)].indexOf(focused) : -1;
  row.classList.toggle("nothing", !looks().length);
  if (!looks().length) row.replaceChildren(make("p", {}, props.empty));
  else row.replaceChildren(...looks().map(item));
  if (place >= 0) row.querySelectorAll(`.${part}`)[place]?.focus({ preventScroll: true });
  if (edited !== null && edited >= looks().length) close();
  showEditor();
  const { deleted } = props.value ?? {};
  gone.hidden = !deleted;
  if (deleted) gone.replaceChildren(`${deleted} is deleted. `, make("button", { type: "button", onclick: () => trigger("restore") }, "Bring it back"));
}

function item(look, index) {
  const title = `Bring ${look.name} back`;
  return make(
    "div",
    { class: "item" },
    make("button", { type: "button", class: "pick", title, onclick: () => trigger("pick", { index }) }, lookImage(look, { alt: title })),
    make(
      "button",
      {
        type: "button",
        class: "name",
        title: `Rename, move, save or delete ${look.name}`,
        "aria-expanded": edited === index ? "true" : "false",
        onclick: () => (edited === index ? close() : open(index)),
      },
      make("span", {}, look.name),
      " \u22ef",
    ),
  );
}

const named = make("input", { type: "text", maxlength: 40, "aria-label": "Name of the look", autocomplete: "off" });
const tool = (text, title, action) => make("button", { type: "button", title, "aria-label": title, onclick: action }, text);
const before = tool("\u25c0", "Move it to the left", () => move(-1));
const after = tool("\u25b6", "Move it to the right", () => move(1));
editor.append(
  named,
  make("button", { type: "submit" }, "Rename"),
  before,
  after,
  tool("Save as a file", "Save this look as a file that the page and Look.load open", () => trigger("download", { index: edited })),
  tool("Delete", "Delete it from the shelf", () => trigger("delete", { index: edited })),
  tool("\u2715", "Close", () => close()),
);
editor.addEventListener("submit", (event) => {
  event.preventDefault();
  trigger("rename", { index: edited, name: named.value });
});
editor.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});

function open(index) {
  edited = index;
  named.value = looks()[index].name;
  fill();
  named.focus({ preventScroll: true });
}

function close() {
  const index = edited;
  edited = null;
  fill();
  nameButton(index)?.focus({ preventScroll: true });
}

function move(by) {
  const to = edited + by;
  trigger("move", { index: edited, to });
  edited = to;
}

function showEditor() {
  editor.hidden = edited === null;
  if (edited === null) return;
  before.disabled = edited === 0;
  after.disabled = edited === looks().length - 1;
}

watch("value", fill);
watch("download", () => {
  const { name, src } = props.download ?? {};
  if (src) make("a", { href: src, download: name }).click();
});
fill();
