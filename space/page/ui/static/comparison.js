// A photo and the picture drawn of it, one over the other; the photo is to the left of a seam that can be moved.
// props: width, height; value: {photo, picture}, data URLs, of which the picture may be null.
const figure = element.querySelector(".comparison");
const picture = make("img", { alt: "The picture drawn of the photo", draggable: "false" });
const photo = make("img", { class: "over", alt: "The part of the photo in the frame", draggable: "false" });
const seam = make("input", {
  type: "range",
  min: 0,
  max: 100,
  value: 50,
  "aria-label": "Seam between photo, on the left, and picture",
  oninput: part,
});
const told = make("figcaption", {});
const names = [make("span", { class: "left" }, "Photo"), make("span", { class: "right" }, "Picture")];
figure.style.aspectRatio = `${props.width} / ${props.height}`;
figure.append(picture, photo, make("i", { class: "seam" }), ...names, told);
element.querySelector(".seam-tools").append(seam);

function part() {
  figure.style.setProperty("--seam", `${seam.value}%`);
}

function show() {
  const { photo: before, picture: after } = props.value ?? {};
  figure.classList.toggle("one", !after);
  for (const [shown, address] of [[photo, before], [picture, after]]) {
    shown.hidden = !address;
    if (address) shown.src = address;
  }
  seam.disabled = !after;
  for (const name of names) name.hidden = !after;
  told.textContent = after ? "" : before ? "The picture appears once the map shows something." : "The photo and the picture drawn of it appear here.";
}

watch("value", show);
part();
show();
