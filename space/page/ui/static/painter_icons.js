// Buttons of the painter, and the icons on them.
const ICONS = {
  brush: "M4 20c2 0 4-1 4-3a2.5 2.5 0 0 1 5 0c0 3-4 4-9 3M12 14 20 5",
  eraser: "M8 20h12M4 15 14 5l6 6-9 9H8zM9 10l6 6",
  fill: "M4 12 11 5l8 8-7 7zM9 3l3 3M4 12h14M20 16c2 3 1 4 0 4s-2-1 0-4",
  rectangle: "M4 6h16v12H4zM4 14l8-8M8 18 20 6M16 18l4-4",
  lasso: "M8 17c-3 0-5-2-5-5 0-4 4-7 9-7s9 3 9 6-3 6-8 6c-2 0-3 1-3 2s1 2 0 3M8 17a2 2 0 1 1 2-2",
  dropper: "m13 6 5 5M15 8l3-4a2 2 0 0 1 3 3l-4 3M14 9l-9 9-1 3 3-1 9-9",
  undo: "M9 5 4 10l5 5M4 10h10a5 5 0 0 1 0 10h-3",
  redo: "M15 5l5 5-5 5M20 10H10a5 5 0 0 0 0 10h3",
  mirror: "M12 3v18M9 7v10H3zM15 7v10h6z",
  flip: "M4 8h15M16 4l4 4-4 4M20 16H5M8 12l-4 4 4 4",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  leave: "M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5",
  out: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6",
  in: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6M11 8v6",
  save: "M12 3v12M7 11l5 5 5-5M4 20h16",
  redraw: "M20 5v5h-5M20 10a8 8 0 1 0 0 5",
  same: "M20 5v5h-5M20 10a8 8 0 1 0 0 5M3 3l18 18",
  locked: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3",
  open: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 7.5-2",
};

function button(name, title, action, { label = icon(ICONS[name]), ...attributes } = {}) {
  return make("button", { type: "button", "data-tool": name, title, "aria-label": title, onclick: action, ...attributes }, label);
}
