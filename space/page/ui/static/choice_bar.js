// What can be wished of candidates. props: swatches ({name, colour}); value: {offered, wishes, strength}.
const bar = element.querySelector(".choice-bar");

const percent = make("output", {});
const slider = make("input", { type: "range", min: 0, max: 100, step: 5, "aria-label": "Strength in percent", oninput: () => move(true), onchange: () => move(false) });
const strength = make("label", { class: "strength", title: "0 % is the picture before, 100 % what you picked" }, make("span", {}, "Strength"), slider, percent);

const chooser = make("input", { type: "color", value: "#3366cc", title: "Any colour", "aria-label": "Any colour to wish for", onchange: () => wish(chooser.value) });
const swatches = props.swatches.map(({ name, colour }) =>
  make("button", { type: "button", class: "wished", style: `background: ${colour}`, title: name, "aria-label": `Wish for ${name}`, onclick: () => wish(colour) }),
);
const asked = make("span", { class: "asked" });
const colours = make("div", { class: "colours", role: "group" }, asked, ...swatches, chooser);
const dismiss = make("button", { type: "button", class: "dismiss", title: "Put these away", "aria-label": "Put these away", onclick: () => trigger("dismiss") }, "\u00d7");
bar.append(strength, dismiss, colours);

function move(moving) {
  percent.textContent = `${slider.value} %`;
  trigger("strength", { percent: Number(slider.value), moving });
}

function wish(colour) {
  chooser.value = colour;
  trigger("wish", { colour });
}

function show() {
  const { offered, wishes, strength: value } = props.value;
  bar.hidden = !offered;
  colours.hidden = !wishes;
  asked.textContent = `${offered} in`;
  colours.setAttribute("aria-label", `Colours to wish for ${offered}`);
  slider.value = value;
  percent.textContent = `${value} %`;
}

watch("value", show);
show();
