// A text field that offers matches while one types (the ARIA combobox with a list). Texts go in as textContent.
let number = 0;
function render({ model, el }) {
  const id = `dt-combo-${++number}`;
  const root = document.createElement("div"), label = document.createElement("label"), input = document.createElement("input"), list = document.createElement("ul");
  root.className = "dt-combo"; list.className = "dt-combo-list"; list.hidden = true;
  label.htmlFor = input.id = id; list.id = id + "-list";
  input.type = "text"; input.autocomplete = "off"; input.spellcheck = false;
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) input.setAttribute(name, value);
  list.setAttribute("role", "listbox"); list.setAttribute("aria-label", "Matches");
  root.append(label, input, list);
  el.appendChild(root);
  el.style.display = "contents";
  let active = -1, typing = false, timer = 0;

  const shown = () => { label.textContent = model.get("label"); input.placeholder = model.get("placeholder"); input.title = model.get("tip"); };
  const close = () => { list.hidden = true; active = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const mark = () => {
    [...list.querySelectorAll("li[role=option]")].forEach((node, i) => node.setAttribute("aria-selected", String(i === active)));
    if (active >= 0) { input.setAttribute("aria-activedescendant", `${id}-${active}`); document.getElementById(`${id}-${active}`)?.scrollIntoView({ block: "nearest" }); } else input.removeAttribute("aria-activedescendant");
  };
  const take = (value) => {
    clearTimeout(timer); typing = false; close();
    const text = value.trim();
    input.value = text;
    if (text === model.get("value")) model.send({ type: "submit" });
    else { model.set("value", text); model.save_changes(); }
  };
  const draw = () => {
    if (!typing) return;
    const matches = model.get("matches"), note = model.get("note");
    list.replaceChildren();
    active = -1;
    matches.forEach((match, i) => {
      const item = document.createElement("li"), code = document.createElement("b"), name = document.createElement("span"), more = document.createElement("small");
      item.id = `${id}-${i}`; item.setAttribute("role", "option"); item.setAttribute("aria-selected", "false");
      code.textContent = match.value; name.textContent = match.name; more.textContent = match.detail;
      item.append(code, name, more);
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(match.value); });
      list.appendChild(item);
    });
    if (!matches.length && note) {
      const item = document.createElement("li");
      item.className = "dt-combo-note"; item.setAttribute("role", "option"); item.setAttribute("aria-disabled", "true"); item.textContent = note;
      list.appendChild(item);
    }
    list.hidden = !list.childElementCount;
    input.setAttribute("aria-expanded", String(!list.hidden));
  };

  input.addEventListener("input", () => {
    typing = true;
    clearTimeout(timer);
    timer = setTimeout(() => { if (typing) model.send({ type: "search", text: input.value }); }, 180);
  });
  input.addEventListener("keydown", (event) => {
    const options = model.get("matches").length;
    if (event.key === "Enter") { event.preventDefault(); take(active >= 0 && !list.hidden ? model.get("matches")[active].value : input.value); }
    else if (event.key === "Escape") { typing = false; close(); }
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !list.hidden && options) { event.preventDefault(); active = (active + (event.key === "ArrowDown" ? 1 : -1) + options) % options; mark(); }
  });
  input.addEventListener("blur", () => { typing = false; if (input.value.trim() !== model.get("value")) take(input.value); close(); });
  model.on("change:value", () => { if (!typing) input.value = model.get("value"); });
  model.on("change:matches change:note change:asked", draw);
  model.on("change:label change:placeholder change:tip", shown);
  input.value = model.get("value");
  shown();
  return () => clearTimeout(timer);
}

export default { render };
