// The page's frame: its address, its style, whether anyone looks at it, and short notices that go away by themselves.
const STAY = 6000;

function toast({ text, kind }) {
  let all = document.querySelector(".dt-toasts");
  if (!all) {
    all = document.createElement("div");
    all.className = "dt-toasts"; all.setAttribute("role", "status"); all.setAttribute("aria-live", "polite");
    document.body.appendChild(all);
  }
  const one = document.createElement("div"), words = document.createElement("span"), close = document.createElement("button");
  one.className = "dt-toast dt-toast-" + kind;
  words.textContent = text;
  close.type = "button"; close.textContent = "✕"; close.setAttribute("aria-label", "Close this notice");
  one.append(words, close);
  let timer = 0;
  const wait = () => { timer = setTimeout(() => one.remove(), STAY); };
  one.addEventListener("pointerenter", () => clearTimeout(timer));
  one.addEventListener("pointerleave", wait);
  close.addEventListener("click", () => one.remove());
  all.appendChild(one);
  while (all.childElementCount > 4) all.firstElementChild.remove();
  wait();
}

function render({ model, el }) {
  el.style.display = "none";
  const address = () => {
    const query = model.get("query"), url = location.pathname + (query ? "?" + query : "") + location.hash;
    if (url !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", url);
  };
  const title = () => { if (model.get("title")) document.title = model.get("title") + " · DashTrade"; };
  const seen = () => { model.set("visible", !document.hidden); model.save_changes(); };
  model.on("change:query", address);
  model.on("change:title", title);
  document.addEventListener("visibilitychange", seen);
  if (model.get("query")) address();
  title(); seen();
  model.send({ type: "drawn" });
  const palette = () => {
    const root = document.documentElement, style = root.style, colours = model.get("palette"), dark = root.dataset.theme === "dark";
    root.dataset.dtPalette = model.get("palette_key");
    for (const [name, pair] of Object.entries(colours)) style.setProperty("--dt-" + name, pair[dark ? 1 : 0]);
  };
  const themes = new MutationObserver(palette);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  model.on("change:palette", palette);
  palette();
  model.on("msg:custom", (content) => { if (content && content.type === "toast") toast(content); });
  document.documentElement.dataset.dtPage = model.get("slug");
  return () => { themes.disconnect(); document.removeEventListener("visibilitychange", seen); };
}

export default { render };
