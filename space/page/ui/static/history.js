// The history: a picture for each step, with its label map in the corner.
// value: a list of {look, src, map, selected}; props: empty.
const row = element.querySelector(".strip");

function fill() {
  const steps = props.value ?? [];
  const focused = [...row.children].indexOf(document.activeElement);
  row.classList.toggle("nothing", !steps.length);
  if (!steps.length) {
    row.replaceChildren(make("p", {}, props.empty));
    return;
  }
  row.replaceChildren(
    ...steps.map((step, index) => {
      const name = `Picture ${index + 1} of the history`;
      const attributes = { type: "button", class: "pick", title: name, "aria-pressed": step.selected ? "true" : "false" };
      return make(
        "button",
        { ...attributes, onclick: () => trigger("pick", { index }) },
        lookImage(step, { alt: name }),
        lookImage(step, { class: "corner", alt: "" }, "map"),
      );
    }),
  );
  row.children[focused]?.focus({ preventScroll: true });
  const chosen = row.querySelector('[aria-pressed="true"]');
  if (chosen) row.scrollLeft = chosen.offsetLeft - row.clientWidth / 2;
  askForMissing();
}

// An answer that was lost on its way took small pictures with it.
function askForMissing() {
  if (row.querySelector("img:not([src])")) setTimeout(() => row.querySelector("img:not([src])") && trigger("missing"), 2000);
}

watch("value", fill);
fill();
