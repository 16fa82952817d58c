// The help: "?" opens it, as a button and as a key; Esc, its cross and a press beside it close it.
const dialog = element.querySelector("dialog");
const open = () => dialog.open || dialog.showModal();

element.querySelector(".help-open").addEventListener("click", open);
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!element.isConnected || !element.checkVisibility() || event.target.closest("input:not([type=radio], [type=checkbox], [type=range]), textarea, dialog")) return;
  event.preventDefault();
  open();
});
