// The mixing board: a column for each look, a row for each class, and in each row whose appearance it takes.
// props: classes ({name, colour}); value: {looks: [{name, look, src, classes}], base, sources: {class: look}}.
const table = element.querySelector(".board");
const state = { base: props.value?.base ?? "current", sources: { ...props.value?.sources } };

const looks = () => props.value?.looks ?? [];
const named = (name) => looks().find((look) => look.name === name);
const shows = (look, name) => Boolean(look?.classes.includes(name));
const source = (name) => state.sources[name] ?? state.base;

// Choices that the looks of now do not allow fall back to the base.
function settle() {
  if (!named(state.base)) state.base = looks()[0]?.name ?? "current";
  for (const [name, look] of Object.entries(state.sources))
    if (look === state.base || !shows(named(look), name) || !shows(named(state.base), name)) delete state.sources[name];
  props.value = { looks: looks(), base: state.base, sources: { ...state.sources } };
}

function change(action) {
  action();
  settle();
  fill();
}

// All classes that can be taken from a look.
function takeAll(look) {
  for (const { name } of props.classes) if (shows(look, name)) state.sources[name] = look.name;
}

function choice(group, label, checked, disabled, onchange) {
  return make("input", { type: "radio", name: `${table.id}-${group}`, "aria-label": label, title: label, checked, disabled, onchange });
}

function fill() {
  const focused = document.activeElement?.closest?.(".board") === table ? document.activeElement.title : null;
  const base = named(state.base);
  const head = looks().map((look) =>
    make(
      "th",
      { scope: "col", class: look.name === state.base ? "base" : "" },
      make(
        "button",
        { type: "button", title: `Take everything from ${look.name}`, onclick: () => change(() => takeAll(look)) },
        lookImage(look, { alt: `Picture of ${look.name}` }),
        make("span", {}, look.name),
      ),
    ),
  );
  const maps = looks().map((look) =>
    make("td", {}, choice("base", `Label map of ${look.name}`, look.name === state.base, false, () => change(() => (state.base = look.name)))),
  );
  const rows = props.classes
    .filter(({ name }) => shows(base, name))
    .map(({ name, colour }) =>
      make(
        "tr",
        { "data-class": name },
        make("th", { scope: "row" }, make("i", { class: "swatch", style: `background: ${rgb(colour)}` }), name),
        ...looks().map((look) =>
          make(
            "td",
            {},
            shows(look, name)
              ? choice(name, `${name} of ${look.name}`, source(name) === look.name, false, () => change(() => (state.sources[name] = look.name)))
              : make("span", { class: "none", title: `${look.name} shows no ${name}` }, "\u2013"),
          ),
        ),
      ),
    );
  table.replaceChildren(
    make("thead", {}, make("tr", {}, make("td"), ...head), make("tr", { class: "maps" }, make("th", { scope: "row" }, "Label map"), ...maps)),
    make("tbody", {}, ...rows),
  );
  if (focused) [...table.querySelectorAll("input, button")].find((one) => one.title === focused)?.focus();
}

watch("value", () => change(() => {}));
change(() => {});
