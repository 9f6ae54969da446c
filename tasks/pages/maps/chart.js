// The map itself: one WebGL trace whose points are drawn in a shuffled order, so that no class
// lies on top of another, above a faint trace of what the filter hides.

const chart = byId("map");
const MISSING = "#9a9a9a";
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const GHOST = dark ? "rgba(255,255,255,.09)" : "rgba(0,0,0,.07)";

/** Return the points that have a place, shuffled the same way each time. */
function shuffled() {
  let state = 2463534242;
  const places = [];
  for (let point = 0; point < count; point++)
    if (!Number.isNaN(coords[2 * point])) places.push(point);
  for (let at = places.length - 1; at > 0; at--) {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    const other = (state >>> 0) % (at + 1);
    [places[at], places[other]] = [places[other], places[at]];
  }
  return Int32Array.from(places);
}

const order = shuffled();
const shown = new Uint8Array(count).fill(1);
let active = order, colouring = null;

const between = (value, low, high) => (high > low ? (value - low) / (high - low) : 0.5);

/** Return the colour of every point of a column, missing ones grey. */
function coloursOf(column) {
  if (!column) return () => told.single;
  if (column.names) {
    return (point) => column.colours[column.values[point]] ?? MISSING;
  }
  const ramp = column.ramp, last = ramp.length - 1;
  return (point) => {
    const value = column.values[point];
    if (Number.isNaN(value)) return MISSING;
    const at = Math.round(last * between(value, column.low, column.high));
    return ramp[Math.min(last, Math.max(0, at))];
  };
}

function traceOf(points, color, alive) {
  const x = new Float32Array(points.length), y = new Float32Array(points.length);
  for (let at = 0; at < points.length; at++) {
    x[at] = coords[2 * points[at]]; y[at] = coords[2 * points[at] + 1];
  }
  const marker = { color, size: told.marker.size, opacity: alive ? told.marker.opacity : 1,
    line: { width: 0 } };
  return { type: "scattergl", mode: "markers", x, y, marker, hoverinfo: alive ? "none" : "skip",
    selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: .18 } } };
}

// Plotly leaves the axes where they are: moving.js moves the map.
const bare = { visible: false, showgrid: false, zeroline: false, fixedrange: true };
const layout = {
  autosize: true, dragmode: "pan", hovermode: "closest", hoverdistance: 14, showlegend: false,
  margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)", uirevision: "kept", selectionrevision: "kept",
  xaxis: { ...bare }, yaxis: { ...bare },
  newselection: { line: { color: dark ? "#fff" : "#000", dash: "dot", width: 1.5 } },
};
const settings = { displayModeBar: false, doubleClick: false,
  plotGlPixelRatio: Math.min(2, devicePixelRatio) }; // Plotly's own 2 draws four pixels for each

/** Return ranges as wide as asked for at least, a unit as long across as up: distances are true.
 * Plotly's own `scaleanchor` would draw everything anew after every step of the wheel. */
function ranges([left, right], [low, high]) {
  const { clientWidth: across, clientHeight: up } = chart;
  const unit = Math.max((right - left) / across, (high - low) / up);
  const spread = (from, to, pixels) =>
    [(from + to - unit * pixels) / 2, (from + to + unit * pixels) / 2];
  return { "xaxis.range": spread(left, right, across), "yaxis.range": spread(low, high, up) };
}

const wholeMap = () => ranges(told.range.x, told.range.y);

/** Return whether the present column says nothing of a point. */
const silent = (point) => colouring !== null
  && (colouring.names ? colouring.values[point] < 0 : Number.isNaN(colouring.values[point]));

/** Draw what is shown in the present colours; points without one lie below those that have one. */
function draw() {
  const grey = [], coloured = [], hidden = [];
  for (const point of order)
    (!shown[point] ? hidden : silent(point) ? grey : coloured).push(point);
  const seen = grey.concat(coloured);
  active = Int32Array.from(seen);
  const colour = coloursOf(colouring);
  const traces = [
    traceOf(hidden, GHOST, false),
    traceOf(active, seen.map(colour), true),
  ];
  byId("shown").textContent =
    seen.length === order.length ? counted(order.length)
      : `${number(seen.length)} of ${counted(order.length)}`;
  return Plotly.react(chart, traces, layout, settings);
}

/** Ring the chosen point and draw a line to each of its neighbours: a long line is a torn tie. */
function mark(point) {
  const ink = dark ? "#ffffff" : "#111111";
  const place = (one) => [coords[2 * one], coords[2 * one + 1]];
  const placed = (one) => one !== null && !Number.isNaN(coords[2 * one]);
  const ring = (one, radius, width) => {
    const [x, y] = place(one);
    return { type: "circle", xref: "x", yref: "y", xsizemode: "pixel", ysizemode: "pixel",
      xanchor: x, yanchor: y, x0: -radius, x1: radius, y0: -radius, y1: radius,
      line: { color: ink, width } };
  };
  const line = (other) => {
    const [x0, y0] = place(point), [x1, y1] = place(other);
    return { type: "line", xref: "x", yref: "y", x0, y0, x1, y1, opacity: .55,
      line: { color: ink, width: 1 } };
  };
  if (!placed(point)) return Plotly.relayout(chart, { shapes: [] });
  const near = neighboursOf(point).filter(placed);
  const rings = [...near.map((other) => ring(other, 5, 1.2)), ring(point, 9, 2.5)];
  // Plotly reads a lasso in the units of the shape that it drew last: lines come after the rings,
  // which are sized in pixels, and there is one at least, from the point to itself.
  return Plotly.relayout(chart, { shapes: [...rings, ...[...near, point].map(line)] });
}

/** Return the neighbours of a point in the original space, nearest first. */
function neighboursOf(point) {
  if (!neighbours) return [];
  return Array.from(neighbours.subarray(point * width, (point + 1) * width)).filter((n) => n >= 0);
}

/** Return how many of `near` are as near on the map: no more points lie nearer than they number. */
function keptOf(point, near) {
  const far = (other) =>
    (coords[2 * other] - coords[2 * point]) ** 2 + (coords[2 * other + 1] - coords[2 * point + 1]) ** 2;
  const reach = Float64Array.from(order.filter((one) => one !== point), far).sort()[near.length - 1];
  return near.filter((other) => far(other) <= reach).length;
}

/** Move the view so that a point is in its middle, and as much is seen as a tenth of the map. */
function centre(point) {
  const x = coords[2 * point], y = coords[2 * point + 1];
  if (Number.isNaN(x)) return;
  const half = (told.extent || 1) / 10;
  look(ranges([x - half, x + half], [y - half, y + half]));
}

/** Return whether a place lies in a closed polygon, by counting crossings. */
function inside(x, y, xs, ys) {
  let within = false;
  for (let at = 0, before = xs.length - 1; at < xs.length; before = at++)
    if (ys[at] > y !== ys[before] > y
      && x < ((xs[before] - xs[at]) * (y - ys[at])) / (ys[before] - ys[at]) + xs[at])
      within = !within;
  return within;
}

/** Return the shown points that a lasso or a box holds, in the order of the rows. */
function held(event) {
  const xs = event.lassoPoints ? event.lassoPoints.x : null;
  const keeps = event.lassoPoints
    ? (x, y) => inside(x, y, xs, event.lassoPoints.y)
    : (x, y) => x >= Math.min(...event.range.x) && x <= Math.max(...event.range.x)
      && y >= Math.min(...event.range.y) && y <= Math.max(...event.range.y);
  return Array.from(active).filter((p) => keeps(coords[2 * p], coords[2 * p + 1]))
    .sort((one, other) => one - other);
}
