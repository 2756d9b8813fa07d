// Saves what the kernel sends as a file.
function render({ model, el }) {
  el.style.display = "none";
  const save = (content) => {
    if (!content || typeof content.text !== "string") return;
    const link = document.createElement("a"), address = URL.createObjectURL(new Blob([content.text], { type: content.mime }));
    link.href = address;
    link.download = content.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
  model.on("msg:custom", save);
  return () => model.off("msg:custom", save);
}

export default { render };
