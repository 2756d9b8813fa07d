// Tables that are whole on their page sort, filter, page and download themselves; those of a long list do so by their
// links. On a phone each line is a card, so every cell carries its head.
(() => {
  const LINES = 15;
  const make = (tag, className, text) => { const node = document.createElement(tag); if (className) node.className = className; if (text) node.textContent = text; return node; };
  const button = (className, text, act) => { const node = make("button", className, text); node.type = "button"; node.addEventListener("click", act); return node; };
  const plain = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.querySelector("time")?.dateTime ?? cell.textContent.trim();
    return text === "–" || text === "" ? null : text;
  };

  for (const table of document.querySelectorAll(".dt-table")) {
    const heads = [...table.tHead.rows[0].cells], titles = heads.map((head) => head.textContent.replace(/ [↑↓]$/, ""));
    const body = table.tBodies[0], lines = [...body.rows];
    for (const line of lines) [...line.cells].forEach((cell, column) => { cell.dataset.label = titles[column]; });
    if (table.dataset.name) alive(table, heads, titles, body, lines);
  }

  function alive(table, heads, titles, body, lines) {
    const shownAs = lines.map((line) => line.textContent.toLowerCase());
    const values = new Map(lines.map((line) => [line, [...line.cells].map(plain)]));
    const columns = titles.map((title, column) => (title ? column : -1)).filter((column) => column >= 0);
    const label = table.closest(".dt-scroll").getAttribute("aria-label"), none = make("p", "dt-hint", "No line matches the filter.");
    const filter = make("input", "dt-filter"), bar = make("div", "dt-lines-bar"), foot = make("div", "dt-pager");
    filter.type = "search"; filter.placeholder = "Filter"; filter.setAttribute("aria-label", "Filter " + label.toLowerCase());
    let by = -1, way = 1, page = 0;

    const found = () => {
      const wanted = filter.value.trim().toLowerCase();
      const some = lines.filter((_, number) => shownAs[number].includes(wanted));
      return by < 0 ? some : some.sort((a, b) => compareCells(values.get(a)[by], values.get(b)[by], way));
    };
    const draw = () => {
      const some = found(), pages = Math.max(1, Math.ceil(some.length / LINES));
      page = Math.min(page, pages - 1);
      body.replaceChildren(...some.slice(page * LINES, (page + 1) * LINES));
      none.hidden = some.length > 0;
      for (const column of columns) {
        heads[column].setAttribute("aria-sort", column !== by ? "none" : way > 0 ? "ascending" : "descending");
        heads[column].firstChild.textContent = titles[column] + (column !== by ? "" : way > 0 ? " ↑" : " ↓");
      }
      foot.hidden = pages === 1;
      const back = button("dt-button dt-small", "Back", () => { page -= 1; draw(); }), next = button("dt-button dt-small", "Next", () => { page += 1; draw(); });
      back.disabled = page === 0; next.disabled = page === pages - 1;
      foot.replaceChildren(back, make("span", "", `Page ${page + 1} of ${pages}`), next);
    };

    for (const column of columns)
      heads[column].replaceChildren(button("", titles[column], () => { way = by === column ? -way : 1; by = column; draw(); }));
    filter.addEventListener("input", () => { page = 0; draw(); });
    const download = button("dt-button dt-small dt-csv", "CSV", () =>
      downloadCsv("dashtrade-" + table.dataset.name, [columns.map((c) => titles[c]), ...found().map((line) => columns.map((c) => values.get(line)[c]))]));
    download.title = "Download these lines as CSV, with times in UTC";
    download.setAttribute("aria-label", `${label} as CSV`);
    bar.append(filter, download);
    table.closest(".dt-scroll").before(bar);
    table.closest(".dt-scroll").after(none, foot);
    draw();
  }
})();
