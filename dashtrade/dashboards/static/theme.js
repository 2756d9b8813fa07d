// Runs before the first paint: the theme chosen last, else the one the system prefers.
(() => {
  // where the user has chosen no zone, times are written in this one
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  if (zone) document.cookie = "dashtrade_zone=" + encodeURIComponent(zone) + "; path=/; max-age=31536000; SameSite=Lax" + (location.protocol === "https:" ? "; Secure" : "");
  const KEY = "dashtrade-theme", root = document.documentElement;
  let chosen = null;
  try { chosen = localStorage.getItem(KEY); } catch (e) { /* storage is switched off */ }
  if (chosen !== "light" && chosen !== "dark")
    chosen = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  const apply = (theme) => {
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    if (document.body) {
      document.body.dataset.jpThemeLight = String(theme === "light");
      document.body.dataset.jpThemeName = theme === "light" ? "JupyterLab Light" : "JupyterLab Dark";
    }
  };
  apply(chosen);
  document.addEventListener("DOMContentLoaded", () => {
    apply(root.dataset.theme);
    const button = document.getElementById("dt-theme");
    if (!button) return;
    button.addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      apply(theme);
      try { localStorage.setItem(KEY, theme); } catch (e) { /* it lasts for this page only */ }
      // charts draw on canvases: they read the --dt-* colours again on this event
      document.dispatchEvent(new CustomEvent("dt-theme", { detail: theme }));
    });
  });
})();
