// The bell: how many messages are unread, the newest ones, and marking them as read. It asks the server, not a kernel.
(() => {
  const bell = document.querySelector(".dt-bell");
  if (!bell) return;
  const summary = bell.querySelector("summary"), badge = bell.querySelector(".dt-bell-count"), list = bell.querySelector(".dt-bell-list"), all = bell.querySelector(".dt-bell-all");
  const base = bell.dataset.base, address = base + "api/notifications", PAUSE = 15000;
  let timer = 0, before = null;

  const make = (tag, name, text) => { const node = document.createElement(tag); node.className = name; if (text) node.textContent = text; return node; };

  function entry(item) {
    const li = make("li", item.read ? "" : "dt-unread");
    const box = item.link ? make("a", "dt-bell-item") : make("div", "dt-bell-item");
    if (item.link) {
      box.href = base + item.link;
      box.addEventListener("click", () => { if (!item.read) post({ ids: [item.id] }, true); });
    }
    const time = make("time", "", item.when);
    time.dateTime = item.at; time.title = item.hint;
    box.append(make("strong", "", item.title), make("span", "dt-bell-body", item.body), time);
    li.append(box);
    if (!item.read) {
      const read = make("button", "dt-bell-read", "✓");
      read.type = "button"; read.title = "Mark as read"; read.setAttribute("aria-label", "Mark as read: " + item.title);
      read.addEventListener("click", () => { summary.focus(); post({ ids: [item.id] }); });
      li.append(read);
    }
    return li;
  }

  function show(found) {
    const n = found.unread;
    badge.textContent = n > 99 ? "99+" : String(n); badge.hidden = n === 0; all.hidden = n === 0;
    summary.setAttribute("aria-label", n ? `Notifications, ${n} unread` : "Notifications");
    if (before !== null && n > before) { bell.classList.remove("dt-rings"); void bell.offsetWidth; bell.classList.add("dt-rings"); }
    before = n;
    list.replaceChildren(...found.items.map(entry));
    if (!found.items.length) list.append(make("li", "dt-bell-empty", "Nothing yet. Alerts and reports will tell you here."));
    bell.dataset.ready = "1";
  }

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" }, redirect: "manual", cache: "no-store" });
      if (answer.ok) show(await answer.json());
      else if (answer.status === 403 || answer.type === "opaqueredirect") return; // signed out: the page says so
    } catch (e) { /* the server is away: the page says so; the next look may find it */ }
    timer = setTimeout(look, document.hidden ? 4 * PAUSE : PAUSE);
  }

  async function post(order, leaving) {
    try {
      const answer = await fetch(address, { method: "POST", keepalive: Boolean(leaving), headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRFToken": bell.dataset.token }, body: JSON.stringify(order) });
      if (answer.ok && !leaving) show(await answer.json());
    } catch (e) { /* stays unread */ }
  }

  all.addEventListener("click", () => { summary.focus(); post({ all: true }); });
  bell.addEventListener("toggle", () => { if (bell.open) look(); });
  document.addEventListener("click", (event) => { if (bell.open && !event.composedPath().includes(bell)) bell.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && bell.open) { bell.open = false; summary.focus(); } });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  look();
})();
