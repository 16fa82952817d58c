// One line of plain text. Not by the template: that would run what a name might hold.
const line = element.querySelector("p");
const tell = () => {
  line.textContent = props.value ?? "";
};

watch("value", tell);
tell();
