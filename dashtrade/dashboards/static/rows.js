// What the tables of the server's own pages and those of the other pages share.

// Order of two cells; ``way`` is 1 or -1. Numbers by size, texts as people count; nothing comes last either way.
const ROW_WORDS = new Intl.Collator(undefined, { numeric: true });
function compareCells(x, y, way) {
  const none = (value) => value === null || value === undefined;
  if (none(x) || none(y)) return none(x) - none(y);
  return (typeof x === "number" && typeof y === "number" ? x - y : ROW_WORDS.compare(String(x), String(y))) * way;
}

// Lines of cells as CSV: numbers as they are, nothing as nothing, texts so that no spreadsheet runs one as a formula.
function csvText(lines) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    // also in full width
    if (typeof value !== "number" && /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text)) text = "'" + text;
    return /[",;\t\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

// A file for the person, with the mark by which spreadsheets know UTF-8.
function downloadCsv(name, lines) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff" + csvText(lines)], { type: "text/csv" }));
  link.download = name + ".csv"; link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
