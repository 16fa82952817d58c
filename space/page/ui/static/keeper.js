// Keeps the visitor's work in the browser, and offers it back when the server no longer has it.
// props: work (what there is to keep; see kept_work in keeping.py), sent: {asked, looks} after "lacks", download:
// {name, src} of a file to save, refused (another number after each "restore" that was refused).
const TAB = "groupdnet-work"; // of this tab's storage: the id of its work, by which a reload knows it
const CHECKED = 5000; // ms between two looks at whether the server is still the same one
const bar = element.querySelector(".keeper");
const arrived = new Map(); // looks that are not in the store yet
const gone = new Set(); // looks that the server no longer has
let store = null;
let opening = null; // the promise of it
let current = null; // id of the session's work
let replaced = null; // id of the work that was brought back
let asking = 0;
let saving = Promise.resolve();
let unkept = false; // whether the browser keeps nothing
const told = new Set(); // sentences that are said once

const tabsWork = (id) => {
  const name = `${TAB}-${props.work.model.digest}`;
  try {
    if (id) sessionStorage.setItem(name, id);
    return sessionStorage.getItem(name);
  } catch {
    return null; // storage is switched off
  }
};

async function begin() {
  try {
    store = await openStore();
    store.onversionchange = () => store.close();
  } catch {
    unkept = true;
    warn("This browser keeps no work, as in a private window: save yours as a file before you leave.");
  }
}

function warn(text) {
  if (!told.has(text)) note(text);
  told.add(text);
}

async function onWork() {
  const work = props.work;
  if (!work?.id) return;
  const before = current;
  current = work.id;
  bar.dataset.keeping = ""; // until it is kept
  await opening;
  if (!store) return delete bar.dataset.keeping;
  if (before === null) await offer("", [tabsWork()]);
  else if (before !== current && !work.opened) await offer(LOST, [before, tabsWork()]);
  else if (before !== current) close();
  if (!work.bare) save();
  else delete bar.dataset.keeping;
}

// One at a time, and always what the work is by then.
function save() {
  saving = saving.then(async () => {
    const work = { ...props.work };
    if (work.bare || asking) return;
    if (work.left_out) warn("Your work has outgrown what is kept: its oldest pictures are not. Save it as a file in time.");
    try {
      const missing = await putWork(store, without(work, gone), arrived, work.opened === "browser" ? replaced : null);
      if (missing.length) return ask(missing);
      delete bar.dataset.keeping;
      for (const key of keysOf(work)) arrived.delete(key);
      tabsWork(work.id);
      bar.dataset.kept = [work.id, work.at, ...(work.steps ?? []), ...work.shelf.map(({ name }) => name), ...work.locked].join(" ");
    } catch (error) {
      delete bar.dataset.keeping;
      const full = error?.name === "QuotaExceededError";
      unkept = true;
      warn(full ? "This browser has no room left for your work: save it as a file." : "This browser cannot keep your work: save it as a file before you leave.");
    }
  });
}

function ask(keys) {
  asking = setTimeout(() => {
    asking = 0; // the answer was lost
    save();
  }, 30000);
  trigger("lacks", { keys });
}

function onSent() {
  clearTimeout(asking);
  asking = 0;
  const { asked = [], looks = {} } = props.sent ?? {};
  for (const key of asked) if (looks[key]) arrived.set(key, looks[key]);
  // Of a step before the last one, or of a session that a server has lost.
  const still = new Set(keysOf(props.work ?? {}));
  for (const key of asked) if (!looks[key] && still.has(key)) gone.add(key);
  save();
}

// A work without looks that cannot be had any more.
function without(work, lost) {
  const steps = work.steps.filter((key) => !lost.has(key));
  if (steps.length === work.steps.length) return { ...work, shelf: work.shelf.filter(({ look }) => !lost.has(look)) };
  const at = Math.max(0, work.steps.slice(0, work.at + 1).filter((key) => !lost.has(key)).length - 1);
  return { ...work, steps, at, shelf: work.shelf.filter(({ look }) => !lost.has(look)) };
}

// ---- what is offered

const LOST = "The server was started again, and has begun anew. ";
const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);

const shut = () => button("\u2715", close, { "aria-label": "Close", class: "shut" });

function described(work) {
  return `${counted(work.steps.length, "picture")}, ${counted(work.shelf.length, "look")} on the shelf, ${ago(work.changed)}`;
}

function ago(time) {
  const minutes = Math.round((Date.now() - time) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${counted(minutes, "minute")} ago`;
  if (minutes < 24 * 60) return `${counted(Math.round(minutes / 60), "hour")} ago`;
  return `on ${new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric" })}`;
}

async function offered() {
  return (await worksOf(store, props.work.model.digest)).filter((one) => one.id !== current);
}

// Offer the first of the preferred works that there is, else the newest; nothing where there is none.
async function offer(why, preferred) {
  const works = await offered();
  if (!works.length) return close();
  const first = preferred.map((id) => works.find((one) => one.id === id)).find(Boolean) ?? works[0];
  const others = works.filter((one) => one !== first);
  show(
    make("img", { src: first.picture, alt: "" }),
    make("p", { role: "status" }, `${why}Your work: ${described(first)}.`),
    button("Go on where you were", () => goOn(first), { class: "main", "data-work": first.id }),
    button("Start anew", () => note("Your earlier work stays in this browser: “Earlier work”, beside the shelf, brings it back.")),
    ...(others.length ? [button(`Others (${others.length})`, list)] : []),
  );
}

async function list() {
  await opening;
  const works = store ? await offered() : [];
  if (!works.length) return note("There is no other work of this model in this browser.");
  show(
    make("p", {}, "Earlier work in this browser"),
    shut(),
    make(
      "ul",
      {},
      ...works.map((work) =>
        make(
          "li",
          {},
          make("img", { src: work.picture, alt: "" }),
          make("span", {}, described(work)),
          button("Go on with it", () => goOn(work), { "data-work": work.id }),
          button("Delete", () => confirm("Delete this work for good?") && deleteWork(store, work.id).then(list), { "aria-label": `Delete the work of ${described(work)}` }),
        ),
      ),
    ),
  );
  bar.querySelector("button").focus({ preventScroll: true });
}

async function goOn(work) {
  for (const one of bar.querySelectorAll("button")) one.disabled = true;
  const looks = await looksOf(store, work);
  replaced = work.id;
  const lost = new Set(keysOf(work).filter((key) => !looks[key]));
  trigger("restore", { work: without(work, lost), looks });
}

function show(...parts) {
  bar.replaceChildren(make("section", { "aria-label": "Earlier work" }, ...parts));
}

function close() {
  const focused = bar.contains(document.activeElement);
  bar.replaceChildren();
  if (focused) document.querySelector("#earlier-work")?.focus({ preventScroll: true });
}

function note(text) {
  show(make("p", { role: "status" }, text), shut());
}

// ---- the page's buttons, files, and the server

async function saveFile() {
  const { name, src } = props.download ?? {};
  if (!src) return;
  const address = URL.createObjectURL(await (await fetch(src)).blob());
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function onPress(event) {
  if (!element.isConnected) return;
  checkServer();
  if (event.target.closest?.("#earlier-work")) list();
  // Where nothing is kept, work that is opened takes the place of what is on the page for good.
  const opens = event.target.closest?.("#open-work") && unkept && !props.work?.bare;
  if (opens && !confirm("This browser keeps no work: what is on the page is lost unless it is saved. Open other work?")) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

// A server that was started again knows nothing of this page's work, and would go on with an empty session.
const known = window.gradio_config?.app_id;
let checked = Date.now();
async function checkServer() {
  if (Date.now() - checked < CHECKED) return;
  checked = Date.now();
  const found = await serverId();
  if (!store || !known || !found || found === known || current === "") return;
  const lost = current;
  current = "";
  offer(LOST, [lost, tabsWork()]);
}

async function serverId() {
  try {
    const { root = "", api_prefix = "/gradio_api" } = window.gradio_config ?? {};
    return (await (await fetch(`${root}${api_prefix}/app_id`)).json()).app_id ?? null;
  } catch {
    return null; // it is away just now
  }
}

// Saved work, looks, and pictures that carry a look, dropped anywhere but where photos are.
async function take(file, target) {
  if (target === "photo" || !element.isConnected) return false;
  if (!/\.zip$/i.test(file.name) && !(await carriesLook(file))) return false;
  const field = document.querySelector("#work input[type=file]");
  if (field) chooseFile(field, file);
  return Boolean(field);
}

async function carriesLook(file) {
  const bytes = new DataView(await file.slice(0, 2 ** 25).arrayBuffer());
  const name = (at) => String.fromCharCode(...[0, 1, 2, 3].map((one) => bytes.getUint8(at + one)));
  if (bytes.byteLength < 16 || name(0) !== "\u0089PNG") return false;
  for (let at = 8; at + 8 <= bytes.byteLength; at += bytes.getUint32(at) + 12) if (name(at + 4) === "gdLK") return true;
  return false;
}

bar.addEventListener("keydown", (event) => event.key === "Escape" && close());
(window.groupdnetTakers ??= []).push(take);
document.addEventListener("click", onPress, true);
document.addEventListener("visibilitychange", () => element.isConnected && document.visibilityState === "visible" && checkServer());
watch("work", onWork);
watch("sent", onSent);
watch("download", saveFile);
watch("refused", () => {
  replaced = null;
  for (const one of bar.querySelectorAll("button")) one.disabled = false;
});
opening = begin();
onWork();
