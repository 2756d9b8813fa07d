// The page's frame: its address, its style, whether anyone looks at it. Draws nothing.
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
  model.set("zone", Intl.DateTimeFormat().resolvedOptions().timeZone || "");
  if (model.get("query")) address();
  title(); seen();
  document.documentElement.dataset.dtPage = model.get("slug");
  return () => document.removeEventListener("visibilitychange", seen);
}

export default { render };
