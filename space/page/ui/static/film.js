// How far a film is, and what became of it. props.value: {told, state, drawn, of, stale}; state: "", "drawing" or "ready".
const [line, bar, count] = ["p", "progress", "small"].map((name) => element.querySelector(name));
const tell = () => {
  const { told = "", state = "", drawn = 0, of = 1, stale = false } = props.value ?? {};
  // Only when it changes: screen readers announce it.
  if (line.textContent !== told) line.textContent = told;
  bar.hidden = count.hidden = state !== "drawing";
  bar.max = of;
  bar.value = drawn;
  count.textContent = `${drawn} of ${of} pictures`;
  if (stale && state === "drawing") trigger("stale");
};

watch("value", tell);
tell();
