// Small pictures of looks. The server sends each of them once; from then on all our components know it by its key.
// Entries: {look: key, src: the picture (once), map: its label map (once)}.
const thumbnails = (window.groupdnetThumbnails ??= new Map());

function remember({ look, src, map }) {
  if (!src) return;
  thumbnails.set(look, { src, map });
  // Another component may have named it before it arrived.
  for (const image of document.querySelectorAll(`img[data-look="${look}"]`)) image.src = image.dataset.of === "map" ? map : src;
}

// The picture of an entry, or its label map; it is filled in later where it has not arrived yet.
function lookImage(entry, attributes, of = "src") {
  remember(entry);
  const known = thumbnails.get(entry.look)?.[of];
  return make("img", { "data-look": entry.look, "data-of": of, ...(known ? { src: known } : {}), ...attributes });
}
