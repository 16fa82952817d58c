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

// gradio's button clicks a link to the film, whose file may be gone: old ones make room. A browser would say it nowhere.
const GONE = "The film is no longer on the server: make it again.";
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[download]");
  if (!link?.href.includes("/gradio_api/file=") || link.dataset.found) return;
  event.preventDefault();
  const answer = await fetch(link.href, { method: "HEAD" }).catch(() => null);
  if (!answer?.ok) {
    line.textContent = GONE;
    return;
  }
  const again = link.cloneNode();
  again.dataset.found = "yes";
  document.body.append(again);
  again.click();
  again.remove();
}, true);

watch("value", tell);
tell();
