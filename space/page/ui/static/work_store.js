// Works in the browser's database: each is a list of looks by their keys, and every look is stored once.
// A work is put with all its looks or not at all, so that what is offered can be brought back.
const MOST_WORKS = 8; // of a model; the oldest go first

const answer = (asked) =>
  new Promise((done, failed) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });

const finished = (transaction) =>
  new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = () => failed(transaction.error ?? new DOMException("aborted", "AbortError"));
  });

const keysOf = (work) => [...new Set([...(work.steps ?? []), ...(work.shelf ?? []).map(({ look }) => look)])];

function openStore() {
  const asked = indexedDB.open("groupdnet", 1);
  asked.onupgradeneeded = () => {
    asked.result.createObjectStore("works", { keyPath: "id" });
    asked.result.createObjectStore("looks");
  };
  return answer(asked);
}

// The works of a model, the newest first.
async function worksOf(store, model) {
  const all = await answer(store.transaction("works").objectStore("works").getAll());
  return all.filter((one) => one.model.digest === model).sort((one, other) => other.changed - one.changed);
}

// The looks of a work by their keys, as they were sent.
async function looksOf(store, work) {
  const looks = store.transaction("looks").objectStore("looks");
  const keys = keysOf(work);
  const found = await Promise.all(keys.map((key) => answer(looks.get(key))));
  return Object.fromEntries(keys.map((key, place) => [key, found[place]]).filter(([, look]) => look));
}

// Put a work; returns the keys of looks that are missing, in which case nothing is changed.
async function putWork(store, work, arrived, replaced) {
  const transaction = store.transaction(["works", "looks"], "readwrite");
  const ends = finished(transaction);
  const [works, looks] = ["works", "looks"].map((name) => transaction.objectStore(name));
  const stored = new Set(await answer(looks.getAllKeys()));
  const missing = keysOf(work).filter((key) => !stored.has(key) && !arrived.has(key));
  if (!missing.length) {
    for (const key of keysOf(work)) if (!stored.has(key)) looks.put(arrived.get(key), key);
    works.put({ ...work, changed: Date.now() });
    if (replaced && replaced !== work.id) works.delete(replaced);
    const all = await answer(works.getAll());
    const same = all.filter((one) => one.model.digest === work.model.digest);
    const old = same.sort((one, other) => other.changed - one.changed).slice(MOST_WORKS);
    for (const one of old) works.delete(one.id);
    const used = new Set(all.filter((one) => !old.includes(one)).flatMap(keysOf));
    for (const key of await answer(looks.getAllKeys())) if (!used.has(key)) looks.delete(key);
  }
  await ends;
  return missing;
}

async function deleteWork(store, id) {
  const transaction = store.transaction("works", "readwrite");
  transaction.objectStore("works").delete(id);
  await finished(transaction);
}
