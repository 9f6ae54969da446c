// What stands beside the map: legend, filter, the chosen point, the selection; and the start.

const card = byId("card"), legend = byId("legend"), word = byId("word"), hits = byId("hits");
const hiddenNames = new Map();
let selected = [];

// Filter

const lowered = { ids: null };
const hiddenOf = (column) => hiddenNames.get(column) ?? hiddenNames.set(column, new Set()).get(column);

/** Mark which points are shown: those whose class is not hidden and that the text finds. */
function filter() {
  const query = word.value.trim().toLowerCase();
  lowered.ids ??= ids.map((id) => id.toLowerCase());
  const named = told.columns.filter((column) => column.names);
  const found = named.map((column) => column.names.map((n) => n.toLowerCase().includes(query)));
  for (let point = 0; point < count; point++) {
    let keeps = !query || lowered.ids[point].includes(query)
      || named.some((column, at) => found[at][column.values[point]]);
    for (const [column, names] of hiddenNames)
      if (names.size && names.has(column.values[point])) keeps = false;
    shown[point] = keeps ? 1 : 0;
  }
  list(query);
  clearSelection();
  return draw();
}

/** List the first points that the text finds, so that a point is reached without a mouse. */
function list(query) {
  hits.replaceChildren();
  if (!query) return;
  for (let point = 0; point < count && hits.children.length < 6; point++) {
    if (!shown[point]) continue;
    const hit = element("button", "", printable(ids[point]));
    hit.type = "button";
    hit.addEventListener("click", () => { choose(point); centre(point); });
    hits.append(hit);
  }
}

// Legend

function entryOf(column, code, name, colour, many) {
  const hidden = hiddenOf(column);
  const entry = element("div", "entry"), toggle = element("button", "toggle");
  const swatch = element("span", "swatch");
  swatch.style.background = colour;
  toggle.type = "button";
  toggle.title = printable(name);
  toggle.setAttribute("aria-pressed", String(!hidden.has(code)));
  toggle.append(swatch, element("span", "name", printable(name)),
    element("span", "many", number(many)));
  toggle.addEventListener("click", () => {
    if (!hidden.delete(code)) hidden.add(code);
    toggle.setAttribute("aria-pressed", String(!hidden.has(code)));
    filter();
  });
  const only = element("button", "only", "only");
  only.type = "button";
  only.addEventListener("click", () => {
    const all = column.names.map((_, at) => at).concat([-1]);
    const alone = all.every((one) => hidden.has(one) !== (one === code));
    hidden.clear();
    if (!alone) all.filter((one) => one !== code).forEach((one) => hidden.add(one));
    showLegend();
    filter();
  });
  entry.append(toggle, only);
  return entry;
}

function showLegend() {
  legend.replaceChildren();
  const column = colouring;
  if (!column) return;
  if (column.names) {
    const codes = column.listed.map((code) =>
      entryOf(column, code, column.names[code], column.colours[code] ?? MISSING, column.counts[code]));
    if (column.missing) codes.push(entryOf(column, -1, "missing", MISSING, column.missing));
    legend.append(...codes);
    return;
  }
  const ramp = element("div", "ramp"), ends = element("div", "ends");
  ramp.style.background = `linear-gradient(to right, ${column.ramp.join(",")})`;
  const [below, above] = column.beyond.map((some, at) => (some ? ["≤ ", "≥ "][at] : ""));
  ends.append(element("span", "", below + number(column.low)),
    element("span", "", above + number(column.high)));
  legend.append(ramp, ends);
  if (column.missing)
    legend.append(element("p", "soft small", `${counted(column.missing)} without one: grey`));
}

// The pointer and the chosen point

function hover(event) {
  const [first] = event.points;
  if (first.curveNumber !== 1) return;
  const point = active[first.pointNumber];
  card.replaceChildren();
  if (hasPicture(point)) card.append(pictureOf(point, 144));
  card.append(element("div", "id", printable(ids[point])), facts(point));
  card.style.display = "block";
  const { clientX: x, clientY: y } = event.event, box = card.getBoundingClientRect();
  const left = x + 18 + box.width > innerWidth ? x - 18 - box.width : x + 18;
  const top = Math.min(Math.max(8, y - box.height / 2), innerHeight - box.height - 8);
  card.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`;
}

const leave = () => { card.style.display = "none"; };

function neighbourCard(point, other, at) {
  const label = told.columns.find((column) => column.name === "label" && column.names);
  const button = element("button", "");
  button.type = "button";
  button.title = printable(ids[other]);
  button.dataset.point = other;
  if (hasPicture(other)) button.append(pictureOf(other, 84));
  if (label && valueOf(label, other) !== null) {
    button.append(element("span", "", valueOf(label, other)));
    if (label.values[other] !== label.values[point]) button.classList.add("other");
  } else button.append(element("span", "", printable(ids[other])));
  if (distances)
    button.append(element("span", "soft", number(distances[point * width + at])));
  button.addEventListener("click", () => choose(other));
  return button;
}

/** Show a point with its neighbours in the original space; null shows none. */
function choose(point) {
  const place = byId("chosen"), near = point === null ? [] : neighboursOf(point);
  place.replaceChildren();
  byId("hint").hidden = point !== null;
  byId("let-go").hidden = point === null;
  if (point !== null) {
    const head = element("div", hasPicture(point) ? "chosen" : ""), words = element("div", "");
    if (hasPicture(point)) head.append(pictureOf(point, 96));
    words.append(element("div", "id", printable(ids[point])), facts(point));
    head.append(words);
    place.append(head);
    if (near.length) {
      const kept = keptOf(point, near);
      const others = near.map((other, at) => neighbourCard(point, other, at));
      const grid = element("div", "near");
      grid.append(...others);
      const framed = others.some((other) => other.classList.contains("other"));
      place.append(element("p", "soft small",
        `Nearest in the features, nearest first${distances ? ", with how far each is" : ""}. `
        + `${kept} of ${near.length} are also among its ${near.length} nearest on this map.`
        + (framed ? " Another label than its own has a red frame." : "")), grid);
    }
    const beside = place.closest("aside");
    beside.scrollTop = place.parentElement.offsetTop - beside.offsetTop;
  }
  return mark(point);
}

// The selection

const cellOf = (text) => {
  // A spreadsheet would run what begins like a formula; a quote before it keeps it text.
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** Return the shortest text that is the same float32. */
const exact = (value) => {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
};

/** Return rows of the points as CSV: number, name, place, and what every column says. */
function csvOf(points) {
  const raw = (column, point) => {
    const value = column.values[point];
    return column.names ? (value < 0 ? "" : column.names[value])
      : Number.isNaN(value) ? "" : exact(value);
  };
  const head = ["row", "id", "x", "y"];
  for (const { name } of told.columns) head.push(head.includes(name) ? `${name}_` : name);
  const rows = points.map((p) => [String(p), ids[p], exact(coords[2 * p]),
    exact(coords[2 * p + 1]), ...told.columns.map((column) => raw(column, p))]);
  return [head, ...rows].map((row) => row.map(cellOf).join(",")).join("\r\n") + "\r\n";
}

function select(event) {
  if (!event || !(event.lassoPoints || event.range)) return;
  selected = held(event);
  byId("selection").hidden = false;
  byId("many").textContent = counted(selected.length);
}

function clearSelection() {
  if (byId("selection").hidden) return;
  selected = [];
  byId("selection").hidden = true;
  Plotly.relayout(chart, { selections: [] });
  Plotly.restyle(chart, { selectedpoints: [null] });
}

function save() {
  const link = element("a", "");
  link.href = URL.createObjectURL(new Blob(["\uFEFF" + csvOf(selected)], { type: "text/csv" }));
  link.download = "selection.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function drag(mode) {
  for (const tool of document.querySelectorAll(".tool"))
    tool.setAttribute("aria-pressed", String(tool.dataset.mode === mode));
  return Plotly.relayout(chart, { dragmode: mode });
}

// Start

/** Draw the pictures of the tables as they come into view. */
function illustrate() {
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      target.append(pictureOf(Number(target.dataset.picture), 36));
    }
  }, { rootMargin: "200px" });
  for (const place of document.querySelectorAll("[data-picture]"))
    if (hasPicture(Number(place.dataset.picture))) watch.observe(place);
    else place.remove();
}

function recolour() {
  colouring = told.columns[Number(byId("colour").value)] ?? null;
  showLegend();
  return draw();
}

/** Keep what is seen in the middle, and distances true, when the window changes. */
function resize() {
  const { width, height, xaxis, yaxis } = chart._fullLayout;
  if (width === chart.clientWidth && height === chart.clientHeight) return;
  look({ width: chart.clientWidth, height: chart.clientHeight,
    ...ranges(xaxis.range, yaxis.range) });
}

let waiting = 0;
byId("colour").addEventListener("change", recolour);
word.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, count > 20000 ? 250 : 60);
});
for (const tool of document.querySelectorAll(".tool"))
  tool.addEventListener("click", () => drag(tool.dataset.mode));
byId("whole").addEventListener("click", () => look(wholeMap()));
byId("save").addEventListener("click", save);
byId("clear").addEventListener("click", clearSelection);
byId("let-go").addEventListener("click", () => choose(null));
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-go]");
  if (!link) return;
  const point = Number(link.dataset.go);
  choose(point);
  centre(point);
  chart.scrollIntoView({ block: "center" });
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });

colouring = told.columns[Number(byId("colour").value)] ?? null;
showLegend();
illustrate();
layout.xaxis.range = wholeMap()["xaxis.range"];
layout.yaxis.range = wholeMap()["yaxis.range"];
draw().then(() => {
  chart.on("plotly_hover", hover);
  chart.on("plotly_unhover", leave);
  chart.on("plotly_click", (event) => {
    const [first] = event.points;
    if (first.curveNumber === 1 && travelled <= STILL_PX) choose(active[first.pointNumber]);
  });
  chart.on("plotly_selected", select);
  chart.on("plotly_deselect", clearSelection);
  chart.on("plotly_doubleclick", () => look(wholeMap()));
  new ResizeObserver(resize).observe(chart);
  chart.dataset.ready = "yes";
});
