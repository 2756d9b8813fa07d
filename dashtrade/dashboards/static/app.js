// The shell around a page: shows it when its widgets are there, and says so when its kernel is gone.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
  const cells = document.getElementById("rendered_cells");
  const loading = document.getElementById("loading");
  const gone = document.getElementById("dt-gone");
  const goneText = document.getElementById("dt-gone-text");

  const say = (text) => { goneText.textContent = text; gone.hidden = false; document.body.classList.add("dt-disconnected"); };
  const unsay = () => { gone.hidden = true; document.body.classList.remove("dt-disconnected"); };

  // --- from skeleton to page -----------------------------------------------------------------
  const outputs = [...cells.querySelectorAll('script[type="application/vnd.voila.cell-output+json"]')];
  const widgets = outputs.some((output) => output.textContent.includes("application/vnd.jupyter.widget-view+json"));
  const ready = () => cells.querySelector(widgets ? ".jupyter-widgets, .dt-failed" : ".dt-failed, .jp-RenderedMarkdown, .jp-OutputArea-output:not(:empty)")
    || (!outputs.length && !document.getElementById("jupyter-config-data"));
  let slow = 0, late = false;
  const show = () => {
    if (!loading.isConnected) return;
    clearTimeout(slow);
    if (late) unsay();
    loading.remove();
    if (/^\s*Error displaying widget/.test(cells.textContent)) say("This page could not be drawn."); // what the front end writes then
    cells.classList.add("dt-ready");
    performance.mark("dt-ready");
    document.dispatchEvent(new Event("dt-ready"));
  };
  if (ready()) show();
  else {
    const observer = new MutationObserver(() => { if (ready()) { observer.disconnect(); show(); } });
    observer.observe(cells, { childList: true, subtree: true });
    slow = setTimeout(() => { late = true; say("This page takes longer than usual. It opens as soon as it can."); }, 30000);
  }

  // --- watchdog ------------------------------------------------------------------------------
  // The front end shows nothing when the kernel was ended, has died, or the server is away.
  document.getElementById("dt-reload").addEventListener("click", () => location.reload());
  const BLINK = 1500, FOR_GOOD = 60000; // ms without a socket: nothing to speak of; it will not come back by itself
  let misses = 0, over = false, timer = 0, told = false, cutAt = 0, leaving = false;
  const lost = () => cutAt && Date.now() - cutAt >= BLINK;
  const look = async () => {
    clearTimeout(timer);
    if (over) return;
    try {
      const answer = await fetch(`${config.baseUrl}api/kernels/${config.kernelId}`, { headers: { Accept: "application/json" }, redirect: "manual", cache: "no-store" });
      if (answer.ok) misses = 0;
      else if (answer.status === 404 || answer.status === 403 || answer.type === "opaqueredirect") {
        if (over) return;
        over = true;
        clearTimeout(timer);
        say(answer.status === 404 ? "This page has been closed: after a long pause, or because your role changed or an administrator ended it. Reload it to go on." : "You are signed out. Reload the page to sign in again.");
        cells.inert = true;
        if (document.body.dataset.reload !== "never" && document.hidden) document.addEventListener("visibilitychange", () => location.reload(), { once: true });
        return;
      } else misses++;
    } catch (e) { misses++; }
    if (over) return;
    const away = misses >= 2;
    if (away) say("The server cannot be reached. Trying again…");
    else if (lost()) say(Date.now() - cutAt < FOR_GOOD ? "The connection was lost. Connecting again…" : "The connection was lost and does not come back. Reload the page to go on.");
    else if (told) unsay();
    told = Boolean(away || lost());
    cells.inert = told; // clicks would be kept and all sent later
    clearTimeout(timer);
    timer = setTimeout(look, document.hidden ? 60000 : misses || cutAt ? 2000 : 10000);
  };
  if (cells.querySelector(".dt-failed")) over = true; // says so itself
  else if (config.kernelId) {
    timer = setTimeout(look, 10000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
    addEventListener("online", look);
    addEventListener("offline", () => { misses = 2; look(); });
    // the page that is left closes its kernel by itself, and stays in sight until the next one comes
    addEventListener("beforeunload", () => { leaving = true; setTimeout(() => { leaving = false; }, 10000); });
    document.addEventListener("dt-socket", (event) => {
      const open = event.detail === "open";
      cutAt = open ? 0 : cutAt || Date.now();
      if (!leaving && (open ? told : !misses)) look();
    });
  } else say("This page could not be started.");

  // --- user menu -----------------------------------------------------------------------------
  const menu = document.querySelector(".dt-user");
  document.addEventListener("click", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); } });
  document.querySelector('.dt-nav [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
})();
