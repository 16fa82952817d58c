// A row of pictures to press. props: empty; value: a list of {src, alt, caption, selected}.
const row = element.querySelector(".strip");

function fill() {
  const pictures = props.value ?? [];
  const held = [...row.children].indexOf(document.activeElement); // whoever presses by key goes on from there
  row.classList.toggle("nothing", !pictures.length);
  if (!pictures.length) {
    row.replaceChildren(make("p", {}, props.empty));
    return;
  }
  row.replaceChildren(
    ...pictures.map(({ src, alt, caption, selected }, index) =>
      make(
        "button",
        { type: "button", class: "pick", title: alt, "aria-pressed": selected ? "true" : "false", onclick: () => trigger("pick", { index }) },
        make("img", { src, alt }),
        ...(caption ? [make("small", {}, caption)] : []),
      ),
    ),
  );
  row.children[Math.min(held, pictures.length - 1)]?.focus({ preventScroll: true });
  const chosen = row.querySelector('[aria-pressed="true"]');
  if (chosen && row.scrollWidth > row.clientWidth) row.scrollLeft = chosen.offsetLeft - row.clientWidth / 2;
}

watch("value", fill);
fill();
