// Files that are dropped on the page or pasted: on the tab "Photo" a photo, on the stage a label map. They take the way
// of the upload buttons, so that the server's limits hold. props: photo_files, map_files, the endings of names.
const PLACES = [
  { target: "photo", zone: () => document.querySelector("#photo-panel"), button: "#photo-upload", files: props.photo_files },
  { target: "map", zone: () => document.querySelector("#stage"), button: "#upload", files: props.map_files },
];
const MARK = "receives";
const told = element.querySelector(".dropped");
// What else may take a file, before it is uploaded as a picture: functions of the file and the target ("photo", "map", or
// null where it was dropped elsewhere) that return, or promise, whether they have taken it.
const takers = (window.groupdnetTakers ??= []);
let hiding = null;
let pointed = null;

function tell(text) {
  told.textContent = text;
  told.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (told.hidden = true), 8000);
}

const ending = (file) => /\.[^.]+$/.exec(file.name.toLowerCase())?.[0] ?? "";

// The one way of a file that was dropped or pasted.
async function take(file, target) {
  for (const taker of takers) if (await taker(file, target)) return;
  const place = PLACES.find((one) => one.target === target);
  if (!place) return tell("Drop a label map on the map above, or a photo on the tab Photo.");
  if (!place.files.includes(ending(file))) {
    const what = target === "photo" ? "a photo" : "a label map";
    return tell(`${file.name || "This"} cannot be opened as ${what}: it must be ${place.files.join(", ")}.`);
  }
  const field = fieldOf(document.querySelector(place.button));
  if (field) chooseFile(field, file);
  else tell("This page is not ready yet: try again in a moment.");
}

// gradio puts the field beside its button.
function fieldOf(button) {
  for (let near = button?.previousElementSibling; near; near = near.previousElementSibling)
    if (near.matches("input[type=file]")) return near;
  return button?.parentElement?.querySelector("input[type=file]");
}

function takeOne(files, target) {
  if (files.length === 1) take(files[0], target);
  else if (files.length) tell(`These are ${files.length} files: one at a time, please.`);
  else tell("There is no file in what was dropped: save the picture first, then drop its file.");
}

function placeOf(node) {
  return PLACES.find(({ zone }) => zone()?.contains(node));
}

function mark(place) {
  for (const one of PLACES) one.zone()?.classList.toggle(MARK, one === place);
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function onDragOver(event) {
  if (!carriesFiles(event)) return;
  event.preventDefault(); // the browser would leave the page for the file
  mark(placeOf(event.target));
}

function onDragLeave(event) {
  if (!event.relatedTarget) mark(null);
}

function onDrop(event) {
  mark(null);
  if (!carriesFiles(event)) return;
  event.preventDefault();
  takeOne([...event.dataTransfer.files], placeOf(event.target)?.target ?? null);
}

// What is pasted has no place: where the focus is, else where the pointer was last, else the photo if its tab is open.
function onPaste(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  const place = placeOf(document.activeElement) ?? placeOf(pointed) ?? PLACES.find(({ zone }) => zone()?.offsetParent);
  takeOne(files, place?.target ?? null);
}

// gradio shows the names of files that it refuses as HTML. Before it hears of those that were chosen, they are such as
// make no element; the server takes these characters from names too.
function onChoice({ target }) {
  if (target.type !== "file" || ![...target.files].some(({ name }) => /[<>]/.test(name))) return;
  const plain = new DataTransfer();
  for (const file of target.files) plain.items.add(new File([file], file.name.replace(/[<>]/g, ""), { type: file.type }));
  target.files = plain.files;
}

// gradio's page outlives this element only while it is shown once: a page that is left takes its listeners along.
const listeners = { dragover: onDragOver, dragleave: onDragLeave, drop: onDrop, paste: onPaste };
for (const [name, listener] of Object.entries(listeners))
  document.addEventListener(name, (event) => element.isConnected && listener(event));
document.addEventListener("change", (event) => element.isConnected && onChoice(event), true);
document.addEventListener("pointermove", ({ target }) => (pointed = target), { passive: true });
