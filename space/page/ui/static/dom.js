// Small helpers that the page's own components share; their scripts run after these lines.
const SVG = "http://www.w3.org/2000/svg";

// An element with attributes, listeners (onclick, ...) and children.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// An icon of one path, drawn with the text's colour on a grid of 24.
function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "path"));
  drawing.firstChild.setAttribute("d", path);
  return drawing;
}

// Uploads a file as if the visitor had chosen it with an upload button's field.
function chooseFile(field, file) {
  const chosen = new DataTransfer();
  chosen.items.add(file);
  field.files = chosen.files;
  field.dispatchEvent(new Event("change", { bubbles: true }));
}

function rgb(colour) {
  return `rgb(${colour.join(" ")})`;
}
