// A table that sorts, filters, pages and downloads itself. All text goes in as textContent.
const make = (tag, className, text) => { const node = document.createElement(tag); if (className) node.className = className; if (text !== undefined) node.textContent = text; return node; };
const isNumber = (kind) => ["number", "money", "percent", "signed"].includes(kind);

// as dashtrade.domain.formats writes in the rest of the page: the person's own separators, zone and order of a date
function writer(style) {
  const zone = style.zone || "UTC", signs = { ",": style.group ?? ",", ".": style.point ?? ".", "-": "−" };
  const parts = (timeZone) => new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const here = parts(zone), utc = parts("UTC"), abroad = parts("America/New_York"), plain = new Map();
  const write = (form, seconds, withSeconds) => {
    const p = Object.fromEntries(form.formatToParts(new Date(seconds * 1000)).map((x) => [x.type, x.value]));
    return { day: `${p.year}-${p.month}-${p.day}`, clock: `${p.hour}:${p.minute}` + (withSeconds ? ":" + p.second : "") };
  };
  const both = ({ day, clock }) => `${day} ${clock}`;
  return {
    number(value, low, high) {
      const key = `${low}/${high}`;
      if (!plain.has(key)) plain.set(key, new Intl.NumberFormat("en-US", { minimumFractionDigits: low, maximumFractionDigits: high }));
      const text = plain.get(key).format(value);
      return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace(/[,.-]/g, (c) => signs[c]);
    },
    time: (value, seconds) => both(write(here, value, seconds)),
    day: (value) => write(utc, value).day,
    hint: (value) => `${both(write(here, value, true))} ${zone} · ${both(write(utc, value, true))} UTC · ${both(write(abroad, value, true))} New York`,
  };
}

function formatter(column, words) {
  const places = column.decimals ?? 2, least = column.min_decimals ?? places;
  return (value) => {
    if (value === null || value === undefined || value === "") return "–";
    if (column.kind === "link") return String(value.text ?? "–");
    if (isNumber(column.kind) && typeof value === "number") return words.number(value, least, places) + (column.kind === "percent" ? "\u202f%" : "");
    if (column.kind === "time") return words.time(value, column.seconds);
    if (column.kind === "date") return words.day(value);
    return String(value);
  };
}

// numbers as a small line; what it says in words is its label
function spark(values) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "polyline");
  const low = Math.min(...values), span = Math.max(...values) - low || 1, last = values.length - 1;
  svg.setAttribute("viewBox", "0 0 96 24"); svg.setAttribute("width", "96"); svg.setAttribute("height", "24"); svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${values.length} closes, from ${values[0]} to ${values[last]}`);
  line.setAttribute("points", values.map((v, i) => `${(i / Math.max(last, 1) * 94 + 1).toFixed(1)},${(22 - (v - low) / span * 20).toFixed(1)}`).join(" "));
  line.setAttribute("fill", "none"); line.setAttribute("stroke", "currentColor"); line.setAttribute("stroke-width", "1.5");
  svg.setAttribute("class", values[last] >= values[0] ? "dt-up" : "dt-down"); svg.append(line);
  return svg;
}

// what stands in the file for a cell: plain numbers, times in UTC
function plain(column, value) {
  if (value === null || value === undefined) return null;
  if (column.kind === "link") return String(value.text);
  if (column.kind === "time" || column.kind === "date") return new Date(value * 1000).toISOString();
  return isNumber(column.kind) && Number.isFinite(Number(value)) ? Number(value) : String(value);
}

function render({ model, el }) {
  const root = make("div", "dt-table");
  const bar = make("div", "dt-table-bar"), caption = make("span", "dt-table-caption"), filter = make("input", "dt-table-filter"), download = make("button", "dt-button-quiet", "CSV");
  filter.type = "search"; filter.placeholder = "Filter"; download.type = "button"; download.title = "Download these rows as CSV";
  bar.append(caption, filter, download);
  const scroll = make("div", "dt-table-scroll"), table = make("table"), head = make("thead"), body = make("tbody");
  scroll.tabIndex = 0; scroll.setAttribute("role", "region");
  table.append(head, body); scroll.append(table);
  const foot = make("div", "dt-table-foot");
  root.append(bar, scroll, foot); el.appendChild(root);
  let sort = model.get("sort"), page = 0, confirming = null;
  const words = writer(model.get("formats"));

  function chosen() {
    const columns = model.get("columns"), wanted = filter.value.trim().toLowerCase();
    let rows = model.get("rows");
    if (wanted) rows = rows.filter((r) => columns.some((c) => !["actions", "spark"].includes(c.kind) && formatter(c, words)(r[c.key]).toLowerCase().includes(wanted)));
    const [key, direction] = [sort.replace(/^-/, ""), sort.startsWith("-") ? -1 : 1];
    if (columns.some((c) => c.key === key)) rows = [...rows].sort((a, b) => compareCells(a[key], b[key], direction));
    return { columns, rows };
  }

  function button(cell, row, action) {
    const key = `${row.id}/${action.name}`, asking = confirming === key;
    const node = make("button", action.kind === "danger" ? "dt-button-danger" : "dt-button-quiet", asking ? "Sure?" : action.label);
    node.type = "button"; node.disabled = model.get("disabled");
    node.setAttribute("aria-label", `${asking ? "Confirm: " : ""}${action.label} ${row.name ?? row.id}`);
    node.addEventListener("click", () => {
      if (action.kind === "danger" && !asking) { confirming = key; draw(); setTimeout(() => { if (confirming === key) { confirming = null; draw(); } }, 4000); return; }
      confirming = null; model.send({ type: "action", name: action.name, id: row.id }); draw();
    });
    cell.append(node);
  }

  function draw() {
    const { columns, rows } = chosen(), size = model.get("page_size"), pages = Math.max(1, Math.ceil(rows.length / size));
    page = Math.min(page, pages - 1);
    caption.textContent = model.get("caption"); scroll.setAttribute("aria-label", model.get("caption") || "Table");
    const top = make("tr");
    columns.forEach((c) => {
      const th = make("th", isNumber(c.kind) ? "dt-num" : ""); th.scope = "col";
      if (c.kind === "actions") { th.className = "dt-act"; th.append(make("span", "dt-sr", c.label || "Actions")); top.append(th); return; }
      const mine = sort.replace(/^-/, "") === c.key, down = sort.startsWith("-");
      th.setAttribute("aria-sort", mine ? (down ? "descending" : "ascending") : "none");
      const b = make("button", "", c.label + (mine ? (down ? " ↓" : " ↑") : "")); b.type = "button"; if (c.help) b.title = c.help;
      b.addEventListener("click", () => { sort = mine && !down ? "-" + c.key : c.key; draw(); });
      th.append(b); top.append(th);
    });
    head.replaceChildren(top);
    const shown = rows.slice(page * size, page * size + size).map((r) => {
      const tr = make("tr"); tr.dataset.id = r.id ?? "";
      columns.forEach((c) => {
        const value = r[c.key], td = make("td", isNumber(c.kind) ? "dt-num" : "");
        td.dataset.label = c.label;
        if (c.kind === "actions") { const all = make("div", "dt-actions"); td.className = "dt-act"; (value || []).forEach((a) => button(all, r, a)); td.append(all); tr.append(td); return; }
        const text = formatter(c, words)(value);
        if (text.length > 40) td.title = text; // what is cut is read on hover
        if (c.kind === "signed" && typeof value === "number") td.append(make("span", value > 0 ? "dt-up" : value < 0 ? "dt-down" : "", (value > 0 ? "▲ " : value < 0 ? "▼ " : "") + text));
        else if (c.kind === "badge") td.append(make("span", "dt-badge dt-badge-" + String((r.tones || {})[c.key] || "plain").replace(/[^a-z]/g, ""), text));
        else if (c.kind === "spark") { if (value?.length > 1) td.append(spark(value)); else td.textContent = "–"; }
        else if (c.kind === "link" && value) {
          // an address on this server, never a scheme
          const inner = /^[a-z][a-z0-9_-]*(\/[a-z0-9_.-]+)?(\?[^#]*)?$/.test(value.href || ""), a = make(inner ? "a" : "span", "dt-link", text);
          if (inner) { a.href = value.href; a.target = "_blank"; a.rel = "noopener"; a.setAttribute("aria-label", `${text}, ${r.name ?? r.id}`); }
          td.append(a);
        }
        else if (c.kind === "code") td.append(make("code", "", text));
        else td.textContent = text;
        if (c.kind === "time" && typeof value === "number") td.title = words.hint(value);
        tr.append(td);
      });
      return tr;
    });
    if (!shown.length) { const tr = make("tr"), td = make("td", "dt-empty", filter.value ? "No row matches the filter." : model.get("empty")); td.colSpan = Math.max(1, columns.length); tr.append(td); shown.push(tr); }
    root.classList.toggle("dt-none", !rows.length);
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    body.replaceChildren(...shown);
    if (focused) [...body.querySelectorAll("button")].find((b) => b.getAttribute("aria-label")?.replace("Confirm: ", "") === focused.replace("Confirm: ", ""))?.focus();
    foot.replaceChildren();
    if (pages > 1) {
      const go = (text, to, off) => { const b = make("button", "dt-button-quiet", text); b.type = "button"; b.disabled = off; b.addEventListener("click", () => { page = to; draw(); }); return b; };
      foot.append(go("‹ Previous", page - 1, page === 0), make("span", "", `Page ${page + 1} of ${pages} · ${rows.length} rows`), go("Next ›", page + 1, page >= pages - 1));
    }
    bar.hidden = !model.get("caption") && model.get("rows").length === 0;
    filter.hidden = download.hidden = model.get("rows").length === 0;
    filter.setAttribute("aria-label", "Filter " + (model.get("caption") || "the table"));
    root.dataset.rows = String(rows.length); root.dataset.ready = "1";
  }

  filter.addEventListener("input", () => { page = 0; draw(); });
  download.addEventListener("click", () => {
    const { columns, rows } = chosen(), written = columns.filter((c) => !["actions", "spark"].includes(c.kind));
    downloadCsv(model.get("filename") || "table", [written.map((c) => c.label), ...rows.map((r) => written.map((c) => plain(c, r[c.key])))]);
  });
  model.on("change:rows change:columns change:caption change:empty change:disabled change:page_size", draw);
  draw();
}

export default { render };
