// Moving the map: what is drawn is pushed and stretched at once, which costs no drawing; points are
// drawn anew where the map comes to rest, and on the way where that takes next to nothing.

const REST_MS = 120;
const LIGHT_MS = 25;
const STILL_PX = 3;

const drawn = () => chart.querySelector(".plot-container");
const fingers = new Map();
let push = { scale: 1, x: 0, y: 0 }; // from what is drawn to what is looked at, in pixels
let frame = 0, resting = 0, cost = Infinity, travelled = 0;

/** Show another part of the map. (Plotly keeps `layout` up to date itself, and must find the old
 * values in it to see what changed.) */
function look(view) {
  cancelAnimationFrame(frame);
  clearTimeout(resting);
  frame = resting = 0;
  push = { scale: 1, x: 0, y: 0 };
  drawn().style.transform = "";
  chart.classList.remove("moving");
  return Plotly.relayout(chart, view);
}

/** Draw what is looked at. */
function settle() {
  const { xaxis, yaxis } = chart._fullLayout, { scale, x, y } = push;
  const [left, right] = xaxis.range, [low, high] = yaxis.range;
  const across = (pixel) => left + ((pixel - x) / scale) * ((right - left) / xaxis._length);
  const up = (pixel) => high - ((pixel - y) / scale) * ((high - low) / yaxis._length);
  cost = Infinity;
  weigh(performance.now());
  look({ "xaxis.range": [across(0), across(xaxis._length)],
    "yaxis.range": [up(yaxis._length), up(0)] });
}

/** Take down the longest wait for a frame after a drawing: what a GPU is told to do it does later. */
function weigh(before, longest = 0, frames = 4) {
  requestAnimationFrame((now) => {
    longest = Math.max(longest, now - before);
    if (frames > 1) weigh(now, longest, frames - 1);
    else cost = longest;
  });
}

function step() {
  frame = 0;
  if (cost < LIGHT_MS) return settle();
  drawn().style.transform = `translate(${push.x}px, ${push.y}px) scale(${push.scale})`;
}

/** Stretch what is looked at by a factor around a place, then move it, in pixels. */
function shift(factor, [aroundX, aroundY], [x, y]) {
  push.scale *= factor;
  push.x = aroundX + (push.x - aroundX) * factor + x;
  push.y = aroundY + (push.y - aroundY) * factor + y;
  chart.classList.add("moving");
  leave();
  frame ||= requestAnimationFrame(step);
  clearTimeout(resting);
  resting = setTimeout(settle, REST_MS);
}

/** Return the middle of what touches the map, and how far apart two fingers are. */
function grip() {
  const places = [...fingers.values()], [first, second] = places;
  const middle = [0, 1].map((axis) => places.reduce((sum, one) => sum + one[axis], 0) / places.length);
  return { middle, apart: second ? Math.hypot(first[0] - second[0], first[1] - second[1]) : 1 };
}

function placeOf(event) {
  const box = chart.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function press(event) {
  if (!fingers.size) travelled = 0;
  if (event.button || chart._fullLayout.dragmode !== "pan") return;
  fingers.set(event.pointerId, placeOf(event));
}

function drift(event) {
  if (!fingers.has(event.pointerId)) return;
  const before = grip(), place = placeOf(event), from = fingers.get(event.pointerId);
  if (travelled <= STILL_PX) {
    travelled = Math.max(travelled, Math.hypot(place[0] - from[0], place[1] - from[1]));
    if (travelled <= STILL_PX) return;
  }
  fingers.set(event.pointerId, place);
  const { middle, apart } = grip();
  shift(apart / before.apart, before.middle,
    [middle[0] - before.middle[0], middle[1] - before.middle[1]]);
}

function release(event) {
  if (fingers.delete(event.pointerId) && !fingers.size && resting) settle();
}

/** Zoom as a wheel says, by pixels, lines or pages; two fingers on a touchpad say little. */
function wheel(event) {
  event.preventDefault();
  const turned = event.deltaY * [0.002, 0.05, 1][event.deltaMode] * (event.ctrlKey ? 10 : 1);
  shift(2 ** -turned, placeOf(event), [0, 0]);
}

const KEYS = { ArrowLeft: [1, 60, 0], ArrowRight: [1, -60, 0], ArrowUp: [1, 0, 60],
  ArrowDown: [1, 0, -60], "+": [1.3, 0, 0], "-": [1 / 1.3, 0, 0] };

function type(event) {
  const known = KEYS[event.key];
  if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  shift(known[0], [chart.clientWidth / 2, chart.clientHeight / 2], known.slice(1));
}

chart.addEventListener("pointerdown", press, { capture: true });
// What this machine counts as a double click. Plotly's own ends after 0.3 seconds, and is a finger's.
chart.addEventListener("mousedown", (event) => { if (event.detail === 2) look(wholeMap()); },
  { capture: true });
addEventListener("pointermove", drift);
addEventListener("pointerup", release);
addEventListener("pointercancel", release);
chart.addEventListener("keydown", type);
chart.addEventListener("wheel", wheel, { passive: false });
