// A text with a button that copies it and one that downloads it.
function render({ model, el }) {
  const box = document.createElement("div"), bar = document.createElement("div"), pre = document.createElement("pre");
  const copy = document.createElement("button"), load = document.createElement("button"), told = document.createElement("span");
  box.className = "dt-file"; bar.className = "dt-file-bar"; pre.tabIndex = 0; told.setAttribute("role", "status");
  for (const b of [copy, load]) { b.type = "button"; b.className = "dt-button-quiet"; }
  copy.textContent = "Copy"; bar.append(load, copy, told); box.append(bar, pre); el.append(box);
  const draw = () => {
    const text = model.get("text");
    box.style.display = text ? "" : "none";
    pre.textContent = text; pre.setAttribute("aria-label", model.get("filename")); told.textContent = "";
    load.textContent = "Download " + model.get("filename");
  };
  load.onclick = () => {
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob([model.get("text")], { type: "application/octet-stream" }));
    a.download = model.get("filename"); a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  };
  copy.onclick = async () => {
    try { await navigator.clipboard.writeText(model.get("text")); told.textContent = "Copied."; }
    catch {
      const range = document.createRange(); range.selectNodeContents(pre);
      const now = getSelection(); now.removeAllRanges(); now.addRange(range);
      told.textContent = "Selected: press Ctrl+C.";
    }
  };
  model.on("change:text", draw); model.on("change:filename", draw); draw();
}
export default { render };
