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
