// Draws ChartData with the library above this text (LightweightCharts). All text goes in as textContent.
const LC = globalThis.LightweightCharts;
const FALLBACK = { "--dt-bg": "#ffffff", "--dt-panel": "#ffffff", "--dt-text": "#131722", "--dt-muted": "#787b86", "--dt-accent": "#2962ff",
  "--dt-up": "#0a7f74", "--dt-down": "#d1453b", "--dt-border": "#d6dae3" };
const STYLE = { solid: 0, dotted: 1, dashed: 2 };

const floats = (view) => new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

const painter = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(colour, alpha = 1) {
  painter.clearRect(0, 0, 1, 1);
  painter.fillStyle = "#888";
  painter.fillStyle = colour;
  painter.fillRect(0, 0, 1, 1);
  const [r, g, b] = painter.getImageData(0, 0, 1, 1).data;
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

function colours(el) {
  const style = getComputedStyle(el);
  const get = (name) => (name.startsWith("--") ? style.getPropertyValue(name).trim() || FALLBACK[name] || "#888888" : name);
  const known = new Map(); // reading a colour back from a canvas takes long
  return (name, alpha) => {
    const key = `${name} ${alpha}`;
    if (!known.has(key)) known.set(key, rgba(get(name), alpha));
    return known.get(key);
  };
}

function formats(model) {
  const zone = model.get("zone") || undefined;
  const daily = !model.get("intraday");
  const make = (options, timeZone) => new Intl.DateTimeFormat(undefined, { ...options, timeZone });
  const shown = daily ? "UTC" : zone;
  const date = make({ day: "numeric", month: "short", year: "numeric", weekday: "short" }, shown);
  const stamp = make({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" }, shown);
  const exchange = make({ hour: "2-digit", minute: "2-digit", timeZoneName: "short" }, model.get("exchange_zone") || "America/New_York");
  const ticks = [make({ year: "numeric" }, shown), make({ month: "short" }, shown), make({ day: "numeric" }, shown), make({ hour: "2-digit", minute: "2-digit" }, shown)];
  return {
    tick: (t, type) => ticks[Math.min(type, 3)].format(new Date(t * 1000)),
    full: (t) => (daily ? date : stamp).format(new Date(t * 1000)),
    exchange: (t) => (daily ? "" : exchange.format(new Date(t * 1000))),
  };
}

const digits = (value) => (Math.abs(value) >= 1 ? 2 : Math.abs(value) >= 0.01 ? 4 : 6);
const written = new Map(); // making a format takes a hundred times as long as using it
const number = (value, places) => {
  if (!written.has(places)) written.set(places, new Intl.NumberFormat(undefined, { minimumFractionDigits: places, maximumFractionDigits: places }));
  return written.get(places).format(value);
};
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });
const short = (value) => compact.format(value);

function span(parent, text, className, colour) {
  const node = document.createElement("span");
  node.textContent = text;
  if (className) node.className = className;
  if (colour) node.style.color = colour;
  parent.appendChild(node);
  return node;
}

// Shaded rectangles between two bars and two prices, below the candles.
class Zones {
  constructor() { this.items = []; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.refresh = requestUpdate; }
  set(items) { this.items = items; this.refresh?.(); }
  corners(zone) {
    const scale = this.chart.timeScale(), left = scale.timeToCoordinate(zone.start), right = scale.timeToCoordinate(zone.end);
    const top = this.series.priceToCoordinate(zone.high), bottom = this.series.priceToCoordinate(zone.low);
    return [left, right, top, bottom].some((x) => x === null) ? null : { left, right, top, bottom };
  }
  paneViews() { return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) }]; }
  draw(target) {
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: h, verticalPixelRatio: v }) => {
      for (const zone of this.items) {
        const at = this.corners(zone);
        if (!at) continue;
        context.fillStyle = zone.fill; context.strokeStyle = zone.stroke; context.lineWidth = h;
        const box = [at.left * h, at.top * v, Math.max((at.right - at.left) * h, 2), Math.max((at.bottom - at.top) * v, 2)];
        context.fillRect(...box); context.strokeRect(...box);
      }
    });
  }
}

// Small dots above or below their bars: marks too many for arrows and texts.
class Dots {
  constructor() { this.items = []; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.refresh = requestUpdate; }
  set(items) { this.items = items; this.refresh?.(); }
  paneViews() { return [{ zOrder: () => "top", renderer: () => ({ draw: (target) => this.draw(target) }) }]; }
  draw(target) {
    const scale = this.chart.timeScale();
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: h, verticalPixelRatio: v, bitmapSize }) => {
      for (const dot of this.items) {
        const x = scale.timeToCoordinate(dot.time), y = this.series.priceToCoordinate(dot.price);
        if (x === null || y === null || x < 0 || x * h > bitmapSize.width) continue;
        const way = dot.up ? 1 : -1, middle = (y + way * 8) * v, half = 3.2 * h, tall = 5 * v;
        context.fillStyle = dot.fill;
        context.beginPath(); // a small triangle that points where the pattern does
        context.moveTo(x * h, middle - (way * tall) / 2); context.lineTo(x * h - half, middle + (way * tall) / 2); context.lineTo(x * h + half, middle + (way * tall) / 2);
        context.fill();
      }
    });
  }
}

// Names of marks, each on a ground of its own in the free space nearest to its bar, with a line to it. A name never lies
// on a price bar, the legend or another name; one that finds no room shows on hover only.
class Names {
  constructor(room) { this.items = []; this.room = room; this.shown = 0; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.refresh = requestUpdate; }
  set(items) { this.items = items; this.refresh?.(); }
  paneViews() { return [{ zOrder: () => "top", renderer: () => ({ draw: (target) => this.draw(target) }) }]; }
  draw(target) {
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scale = this.chart.timeScale(), { range, top, bottom, edges } = this.room(), taken = [], drawn = [], right = mediaSize.width - 2;
      context.font = "11px system-ui, sans-serif"; context.textBaseline = "middle"; context.textAlign = "left";
      for (const item of this.items) { // the newest first
        const x = scale.timeToCoordinate(item.time);
        if (x === null || x < 0 || x > right) continue;
        const width = context.measureText(item.text).width + 10, left = Math.max(2, Math.min(x - width / 2, right - width));
        const from = scale.coordinateToLogical(left), to = scale.coordinateToLogical(left + width), own = edges(item.index, item.index);
        const near = from === null || to === null ? null : edges(Math.floor(from) - 1, Math.ceil(to) + 1);
        const low = this.series.priceToCoordinate((near || own).low), high = this.series.priceToCoordinate((near || own).high);
        if (low === null || high === null) continue;
        const arrow = this.series.priceToCoordinate(item.up ? own.low : own.high), way = item.up ? 1 : -1;
        const places = [item.up ? Math.max(low, arrow + 18) + 5 : Math.min(high, arrow - 18) - 5 - TALL, item.up ? high - 5 - TALL : low + 5];
        const y = places.flatMap((y, i) => [0, 1, 2].map((n) => y + (i ? -way : way) * n * (TALL + 3))).find((y) => y >= top && y + TALL <= bottom
          && !taken.some((t) => left < t.right && left + width > t.left && y < t.bottom && y + TALL > t.top));
        if (y === undefined || !range) continue;
        taken.push({ left: left - 3, right: left + width + 3, top: y - 2, bottom: y + TALL + 2 });
        const beyond = this.series.priceToCoordinate(item.up ? own.high : own.low), below = y > arrow;
        const start = below === item.up ? arrow + way * 16 : beyond - way * 3, end = below ? y : y + TALL;
        drawn.push({ ...item, x, y, left, width, start, end });
      }
      context.lineWidth = 1;
      for (const { x, start, end, colour } of drawn.filter((d) => Math.abs(d.end - d.start) > 6)) { // below every name
        context.strokeStyle = colour; context.beginPath(); context.moveTo(Math.round(x) + 0.5, start); context.lineTo(Math.round(x) + 0.5, end); context.stroke();
      }
      for (const { text, left, y, width, colour, ground } of drawn) {
        context.fillStyle = ground; context.fillRect(left, y, width, TALL);
        context.strokeStyle = colour; context.strokeRect(Math.round(left) + 0.5, Math.round(y) + 0.5, width - 1, TALL - 1);
        context.fillStyle = colour; context.fillText(text, left + 5, y + TALL / 2 + 0.5);
      }
      this.shown = drawn.length;
    });
  }
}

const TALL = 17; // px of a name's ground
const NAMES = 52; // px at the right edge that hold the levels' names, so that they lie on no bar
const SHAPE = { buy: ["belowBar", "arrowUp", "--dt-up"], sell: ["aboveBar", "arrowDown", "--dt-down"], note: ["aboveBar", "circle", "--dt-accent"] };

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "dt-chart";
  box.tabIndex = 0;
  box.setAttribute("role", "application"); // it takes the arrow keys, and holds buttons
  el.appendChild(box);

  const chart = LC.createChart(box, { autoSize: true, layout: { attributionLogo: true, fontFamily: "inherit", fontSize: 11 }, crosshair: { mode: LC.CrosshairMode.Normal }, handleScroll: { vertTouchDrag: false }, // a finger up or down scrolls the page
   
    timeScale: { rightOffset: 4, minBarSpacing: 0.2, borderVisible: false, tickMarkMaxCharacterLength: 6 }, rightPriceScale: { borderVisible: false } });
  // The last bar has series of its own: the library makes every item of a series anew when one of them changes, which
  // for 20,000 bars and ten lines takes longer than a price takes to move.
  const candles = chart.addSeries(LC.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false }, 0), lastCandle = chart.addSeries(LC.CandlestickSeries, {}, 0);
  const zones = new Zones(), dots = new Dots();
  let markers = null; // only where there are marks: it looks at every bar whenever something is drawn
  const lastMarkers = LC.createSeriesMarkers(lastCandle, []);
  let marksOf = new Map(), tidying = 0, headroom = 0, under = 0, bare = false;
  const names = new Names(() => ({ range: count(), top: under, bottom: (chart.panes()[0]?.getHeight() ?? 0) * (volume ? 0.8 : 1) - 2, edges }));
  [zones, dots, names].forEach((part) => candles.attachPrimitive(part));
  let volume = null, lastVolume = null, lines = [], guides = [], levels = [], legends = [], rows = new Float64Array(0), at = new Map(), paint = colours(box), show = formats(model), shownKey = null, queued = false, focus = -1, pointing = false, moving = false;
  const dirty = { bars: true, lines: true };

  const tools = document.createElement("div");
  tools.className = "dt-chart-tools";
  const tool = (text, title, action) => {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = text; button.title = title; button.setAttribute("aria-label", title);
    button.addEventListener("click", () => action(button)); tools.appendChild(button); return button;
  };
  const tip = document.createElement("div");
  tip.className = "dt-chart-tip"; tip.hidden = true; tip.setAttribute("role", "tooltip");
  box.appendChild(tip);
  tool("Fit", "Show all bars", () => chart.timeScale().fitContent());
  const log = tool("Log", "Logarithmic price scale", (button) => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    candles.priceScale().applyOptions({ mode: on ? LC.PriceScaleMode.Logarithmic : LC.PriceScaleMode.Normal });
  });
  log.setAttribute("aria-pressed", "false");
  box.appendChild(tools);

  const count = () => rows.length / 6;
  const bar = (i) => ({ time: rows[6 * i], open: rows[6 * i + 1], high: rows[6 * i + 2], low: rows[6 * i + 3], close: rows[6 * i + 4], volume: rows[6 * i + 5] });
  // The lowest and the highest price of the bars from one to another.
  function edges(from, to) {
    let low = Infinity, high = -Infinity;
    for (let i = Math.max(0, from); i <= Math.min(to, count() - 1); i++) { low = Math.min(low, rows[6 * i + 3]); high = Math.max(high, rows[6 * i + 2]); }
    return low <= high ? { low, high } : null;
  }
  const volumeColour = (b) => paint(b.close >= b.open ? "--dt-up" : "--dt-down", 0.45);

  function theme() {
    paint = colours(box);
    const grid = paint("--dt-border", 0.55);
    chart.applyOptions({ layout: { background: { color: paint("--dt-panel") }, textColor: paint("--dt-muted"), panes: { separatorColor: paint("--dt-border"), separatorHoverColor: paint("--dt-accent", 0.3) } },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } } });
    // rising candles are hollow, falling ones filled: direction reads without colour
    for (const series of [candles, lastCandle]) series.applyOptions({ upColor: paint("--dt-panel"), borderUpColor: paint("--dt-up"), wickUpColor: paint("--dt-up"), downColor: paint("--dt-down"), borderDownColor: paint("--dt-down"), wickDownColor: paint("--dt-down"), priceLineColor: paint("--dt-accent") });
    lines.forEach(({ series, last, spec }) => [series, last].forEach((one) => one.applyOptions({ color: paint(spec.colour) })));
  }

  function drawBars() {
    rows = floats(model.get("bars"));
    show = formats(model);
    const n = count(), prices = new Array(n), volumes = new Array(n);
    at = new Map();
    for (let i = 0; i < n; i++) {
      const b = bar(i);
      at.set(b.time, i);
      prices[i] = { time: b.time, open: b.open, high: b.high, low: b.low, close: b.close };
      volumes[i] = { time: b.time, value: b.volume, color: volumeColour(b) };
    }
    const places = n ? digits(rows[6 * (n - 1) + 4]) : 2;
    // the room for the volume may reach below 0, where most things have no price
    const lowest = prices.some((p) => p.low < 0) ? -Infinity : 0;
    const priceFormat = { type: "custom", minMove: 10 ** -places, formatter: (price) => (price < lowest ? "" : number(price, places)) };
    for (const series of [candles, lastCandle]) series.applyOptions({ priceFormat });
    candles.setData(prices.slice(0, -1));
    lastCandle.setData(prices.slice(-1));
    if (model.get("volume")) {
      if (!volume) {
        const make = () => chart.addSeries(LC.HistogramSeries, { priceFormat: { type: "volume" }, priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false }, 0);
        volume = make(); lastVolume = make();
        volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
      }
      volume.setData(volumes.slice(0, -1));
      lastVolume.setData(volumes.slice(-1));
    }
    chart.applyOptions({ localization: { timeFormatter: show.full }, timeScale: { timeVisible: model.get("intraday"), tickMarkFormatter: (t, type) => show.tick(t, type) } });
  }

  const same = (line, spec) => ["label", "colour", "pane", "width", "style"].every((name) => line.spec[name] === spec[name]);
  const equal = (one, two) => one.length === two.length && one.every((value, i) => Object.is(value, two[i]));
  function dropLines(from) {
    lines.splice(from).forEach(({ series, last }) => { chart.removeSeries(series); chart.removeSeries(last); });
  }

  // Lines in front that are as they were stay: adding an indicator draws that indicator.
  function drawLines() {
    const panels = new Map(model.get("panels").map((p) => [p.pane, p])), wanted = model.get("lines").map((spec) => ({ spec, values: floats(spec.values) }));
    const n = count();
    let kept = 0;
    while (kept < lines.length && kept < wanted.length && same(lines[kept], wanted[kept].spec) && equal(lines[kept].given, wanted[kept].values)) kept += 1;
    dropLines(kept);
    guides = guides.filter((pane) => lines.some(({ spec }) => spec.pane === pane));
    for (const { spec, values } of wanted.slice(kept)) {
      const panel = panels.get(spec.pane), places = panel ? panel.decimals : n ? digits(rows[6 * (n - 1) + 4]) : 2;
      const kind = spec.style === "histogram" ? LC.HistogramSeries : LC.LineSeries;
      const make = (labelled) => chart.addSeries(kind, { color: paint(spec.colour), lineWidth: spec.width, lineStyle: STYLE[spec.style] || 0, priceLineVisible: false, lastValueVisible: labelled, crosshairMarkerVisible: false,
        priceFormat: { type: "price", precision: places, minMove: 10 ** -places } }, spec.pane);
      const series = make(false), last = make(spec.pane > 0), data = new Array(n);
      for (let i = 0; i < n; i++) data[i] = Number.isNaN(values[i]) ? { time: rows[6 * i] } : { time: rows[6 * i], value: values[i] };
      series.setData(data.slice(0, -1));
      last.setData(data.slice(spec.style === "histogram" ? -1 : -2)); // a line needs where it comes from
      if (panel && !guides.includes(spec.pane)) {
        guides.push(spec.pane);
        panel.guides.forEach((price) => series.createPriceLine({ price, color: paint("--dt-muted", 0.8), lineWidth: 1, lineStyle: 2, axisLabelVisible: false, title: "" }));
      }
      lines.push({ series, last, spec, values, given: values.slice() });
    }
    chart.panes().forEach((pane, i) => pane.setStretchFactor(i ? 1 : 3.2));
  }

  function drawMarks() {
    levels.forEach((line) => candles.removePriceLine(line));
    levels = model.get("levels").map((l) => candles.createPriceLine({ price: l.price, title: bare ? "" : l.label, color: paint(l.colour), lineWidth: 1, lineStyle: 2, axisLabelVisible: true }));
    zones.set(model.get("zones").filter((z) => at.has(z.start) && at.has(z.end)).map((z) => ({ ...z, fill: paint(z.colour, 0.06), stroke: paint(z.colour, 0.3) })));
    const all = model.get("markers").filter((m) => at.has(m.time)).sort((a, b) => a.time - b.time);
    const arrows = all.filter((m) => SHAPE[m.side]), newest = rows[6 * (count() - 1)];
    const shaped = (some) => some.map((m) => ({ time: m.time, position: SHAPE[m.side][0], shape: SHAPE[m.side][1], color: paint(SHAPE[m.side][2]) }));
    const older = shaped(arrows.filter((m) => m.time !== newest));
    if (older.length) { markers ??= LC.createSeriesMarkers(candles, []); markers.setMarkers(older); }
    else if (markers) { markers.detach(); markers = null; }
    lastMarkers.setMarkers(shaped(arrows.filter((m) => m.time === newest)));
    names.set(arrows.filter((m) => m.text).reverse().map((m) => ({ time: m.time, index: at.get(m.time), text: m.text, up: SHAPE[m.side][0] === "belowBar", colour: paint(SHAPE[m.side][2]), ground: paint("--dt-panel", 0.92) })));
    dots.set(all.filter((m) => !SHAPE[m.side]).map((m) => {
      const up = m.side === "bullish", i = at.get(m.time);
      return { time: m.time, up, price: rows[6 * i + (up ? 3 : 2)], fill: paint(up ? "--dt-up" : "--dt-down") };
    }));
    marksOf = new Map();
    for (const mark of all) marksOf.set(mark.time, [...(marksOf.get(mark.time) || []), mark]);
  }

  // Once the chart stands still: the names of levels go where bars lie below them, and how many names are written is told.
  const tidy = () => {
    clearTimeout(tidying);
    tidying = setTimeout(() => {
      const range = chart.timeScale().getVisibleLogicalRange();
      const crowded = range !== null && range.to - count() < free(range.to - range.from) * 0.6 - 0.5;
      if (crowded !== bare) { bare = crowded; model.get("levels").forEach((l, i) => levels[i]?.applyOptions({ title: bare ? "" : l.label })); }
      box.dataset.written = String(names.shown);
    }, 120);
  };

  // The price bars keep clear of the legend above them, however many lines it has.
  function clear() {
    const node = legends[0], tall = chart.panes()[0]?.getHeight() ?? 0;
    if (!node || !tall) return;
    under = node.offsetTop + node.offsetHeight + 2;
    const top = Math.min(0.4, Math.max(0.08, (under + 8) / tall));
    if (Math.abs(top - headroom) < 0.01) return;
    headroom = top;
    candles.priceScale().applyOptions({ scaleMargins: { top, bottom: volume ? 0.2 : 0.05 } });
  }

  // What stands at the pointer: marks of the bar, zones and levels.
  function hover(point, time) {
    const texts = (time === undefined ? [] : marksOf.get(time) || []).map((m) => m.detail || m.text);
    if (point) {
      for (const zone of zones.items) {
        const c = zones.corners(zone);
        if (c && zone.text && point.x >= c.left && point.x <= c.right && point.y >= c.top && point.y <= c.bottom && !texts.some((text) => text.startsWith(zone.text))) texts.push(zone.text);
      }
      for (const level of model.get("levels")) {
        const y = candles.priceToCoordinate(level.price);
        if (level.detail && y !== null && Math.abs(y - point.y) < 5) texts.push(level.detail);
      }
    }
    tip.replaceChildren();
    tip.hidden = !texts.length;
    if (!texts.length) return;
    texts.forEach((text) => { const line = document.createElement("div"); line.textContent = text; tip.appendChild(line); });
    const x = point ? point.x : chart.timeScale().timeToCoordinate(time) ?? 0, y = point ? point.y : 60;
    tip.style.left = Math.max(4, Math.min(x + 14, box.clientWidth - tip.offsetWidth - 70)) + "px";
    tip.style.top = Math.max(4, Math.min(y + 16, box.clientHeight - tip.offsetHeight - 30)) + "px";
  }

  function legend(index) {
    const i = index ?? count() - 1;
    let below = 0; // asking the page where a pane is would make it lay out everything anew
    const tops = chart.panes().map((pane) => { const top = below; below += pane.getHeight() + 1; return top; });
    legends.forEach((node) => node.remove());
    legends = [];
    if (i < 0) return;
    const b = bar(i), before = i ? rows[6 * (i - 1) + 4] : b.open, change = b.close - before, up = change >= 0, places = digits(b.close);
    chart.panes().forEach((pane, p) => {
      const node = document.createElement("div");
      node.className = "dt-chart-legend";
      node.style.top = tops[p] + 4 + "px";
      if (p === 0) {
        const head = document.createElement("div");
        span(head, model.get("title"), "dt-chart-title");
        const when = span(head, show.full(b.time), "dt-chart-time");
        if (show.exchange(b.time)) when.title = "At the exchange: " + show.exchange(b.time);
        for (const [name, value] of [["O", b.open], ["H", b.high], ["L", b.low], ["C", b.close]]) {
          span(head, name, "dt-chart-name");
          span(head, number(value, places), "dt-chart-value");
        }
        span(head, `${up ? "▲" : "▼"} ${number(Math.abs(change), places)} (${up ? "+" : "−"}${number(Math.abs(before ? (change / before) * 100 : 0), 2)} %)`, "dt-chart-value", paint(up ? "--dt-up" : "--dt-down"));
        if (model.get("volume")) { span(head, "Vol", "dt-chart-name"); span(head, short(b.volume), "dt-chart-value"); }
        node.appendChild(head);
      }
      const mine = lines.filter((l) => l.spec.pane === p);
      if (mine.length) {
        const list = document.createElement("div");
        mine.forEach(({ spec, values }) => {
          const value = values[i];
          const item = span(list, "", "dt-chart-item");
          span(item, "━ ", "", paint(spec.colour));
          span(item, spec.label + " ", "dt-chart-name");
          span(item, value === undefined || Number.isNaN(value) ? "–" : number(value, p ? 2 : places), "dt-chart-value");
        });
        node.appendChild(list);
      }
      box.appendChild(node);
      legends.push(node);
    });
    box.dataset.shown = String(b.time);
  }

  // How many bars' width stays free at the right where so many are shown: the names of levels stand there.
  function free(bars) {
    const width = chart.timeScale().width(), room = Math.min(levels.length ? NAMES : 14, width / 3);
    return (bars * room) / Math.max(width - room, 1) - 0.5;
  }

  function view() {
    const key = model.get("title") + model.get("zoom_key"), n = count();
    const width = chart.timeScale().width();
    if (key === shownKey || !n || width < 40) return; // not laid out yet: the size change calls again
    shownKey = key;
    const visible = Math.min(n, Math.round(width / 0.7)); // the whole period, as long as bars can be told apart
    chart.timeScale().setVisibleLogicalRange({ from: n - visible - (visible === n ? (14 * visible) / width : 0), to: n + free(visible) });
  }

  function draw() {
    if (!box.isConnected) { requestAnimationFrame(draw); return; } // colours are known only inside the page
    queued = false;
    box.dataset.ready = "0";
    box.style.height = model.get("height") + "px";
    box.setAttribute("aria-label", model.get("label"));
    theme();
    if (dirty.bars) { dropLines(0); drawBars(); }
    if (dirty.bars || dirty.lines) drawLines();
    drawMarks();
    dirty.bars = dirty.lines = false;
    view();
    moveLast();
    legend();
    requestAnimationFrame(() => {
      legend();
      clear();
      tidy();
      box.dataset.bars = String(count());
      box.dataset.lines = String(lines.length);
      box.dataset.panes = String(chart.panes().length);
      box.dataset.markers = String((markers?.markers().length ?? 0) + lastMarkers.markers().length + dots.items.length);
      box.dataset.ready = "1";
    });
  }
  const queue = () => { if (!queued) { queued = true; queueMicrotask(draw); } };

  model.on("change:bars change:zone change:volume change:intraday", () => { dirty.bars = true; queue(); });
  model.on("change:lines change:panels", () => { dirty.lines = true; queue(); });
  model.on("change:markers change:levels change:zones change:title change:height change:label", queue);
  function moveLast() {
    const last = model.get("last"), values = model.get("last_values");
    if (last.length !== 6 || !count()) return;
    const [time, open, high, low, close, vol] = last, newest = rows[6 * (count() - 1)];
    if (time < newest) return;
    if (time > newest) { // the bar that was the last one is done
      const i = count() - 1, done = bar(i), grown = new Float64Array(rows.length + 6);
      candles.update({ time: newest, open: done.open, high: done.high, low: done.low, close: done.close });
      volume?.update({ time: newest, value: done.volume, color: volumeColour(done) });
      lines.forEach((line) => line.series.update(Number.isNaN(line.values[i] ?? NaN) ? { time: newest } : { time: newest, value: line.values[i] }));
      grown.set(rows); rows = grown; at.set(time, i + 1);
    }
    rows.set(last, rows.length - 6);
    const n = count(), before = rows[6 * (n - 2)];
    const put = (series, ...points) => (time > newest ? series.setData(points) : series.update(points.at(-1)));
    put(lastCandle, { time, open, high, low, close });
    if (lastVolume) put(lastVolume, { time, value: vol, color: volumeColour({ open, close }) });
    if (values.length === lines.length) lines.forEach((line, i) => {
      if (line.values.length < n) { const grown = new Float64Array(n).fill(NaN); grown.set(line.values); line.values = grown; }
      line.values[n - 1] = values[i] ?? NaN;
      const point = (t, value) => (value === null || value === undefined || Number.isNaN(value) ? { time: t } : { time: t, value });
      put(line.last, ...(line.spec.style === "histogram" || n < 2 ? [] : [point(before, line.values[n - 2])]), point(time, values[i]));
    });
    if (time > newest) drawMarks();
    if (focus < 0 && !pointing) legend();
    box.dataset.bars = String(count());
    box.dataset.last = String(close);
  }
  model.on("change:last change:last_values", () => { if (!moving) { moving = true; queueMicrotask(() => { moving = false; moveLast(); }); } });
  chart.subscribeCrosshairMove((p) => {
    const known = p.time !== undefined && at.has(p.time);
    pointing = known;
    legend(known ? at.get(p.time) : undefined);
    hover(p.paneIndex === undefined || p.paneIndex === 0 ? p.point : undefined, known ? p.time : undefined);
  });
  chart.subscribeClick((p) => {
    if (p.time === undefined) return;
    const price = p.point && !p.paneIndex ? candles.coordinateToPrice(p.point.y) : null;
    if (price !== null) model.set("clicked_price", price);
    model.set("clicked", p.time);
    model.save_changes();
  });
  chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
    tidy();
    requestAnimationFrame(clear);
    if (range) { box.dataset.from = range.from.toFixed(1); box.dataset.span = (range.to - range.from).toFixed(1); }
  });

  box.addEventListener("keydown", (event) => {
    const scale = chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (!range || !count()) return;
    const width = range.to - range.from, step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const pan = event.shiftKey && step ? step * 0.2 : { PageUp: -0.8, PageDown: 0.8 }[event.key];
    if (pan) scale.setVisibleLogicalRange({ from: range.from + pan * width, to: range.to + pan * width });
    else if (step) {
      focus = Math.min(count() - 1, Math.max(0, (focus < 0 ? count() : focus) + step));
      const b = bar(focus);
      chart.setCrosshairPosition(b.close, b.time, candles);
      legend(focus);
      hover(undefined, b.time);
      if (focus < range.from || focus > range.to) scale.setVisibleLogicalRange({ from: focus - width / 2, to: focus + width / 2 });
    } else if (event.key === "+" || event.key === "=") scale.setVisibleLogicalRange({ from: range.from + width * 0.15, to: range.to });
    else if (event.key === "-") scale.setVisibleLogicalRange({ from: range.from - width * 0.2, to: range.to });
    else if (event.key === "Home") scale.setVisibleLogicalRange({ from: -1, to: width - 1 });
    else if (event.key === "End") scale.setVisibleLogicalRange({ from: count() + free(width) - width, to: count() + free(width) });
    else if (event.key === "Escape") { chart.clearCrosshairPosition(); focus = -1; legend(); hover(); return; }
    else return;
    event.preventDefault();
  });

  const watch = new MutationObserver(() => { dirty.bars = true; queue(); }); // colours are in the data, too
  for (const node of [document.documentElement, document.body]) watch.observe(node, { attributes: true, attributeFilter: ["class", "style", "data-theme", "data-dt-palette", "data-dt-theme", "data-jp-theme-light"] });
  const media = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => { dirty.bars = true; queue(); };
  media.addEventListener("change", dark);
  chart.timeScale().subscribeSizeChange(() => view());
  const resize = new ResizeObserver(() => requestAnimationFrame(() => { legend(); clear(); }));
  resize.observe(box);

  queue();
  return () => { clearTimeout(tidying); watch.disconnect(); resize.disconnect(); media.removeEventListener("change", dark); chart.remove(); };
}

export default { render };
