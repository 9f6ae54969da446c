"use strict";
// The heatmap: rows are heads, columns the detections they are compared with.
const data = JSON.parse(document.getElementById("loss-data").textContent);
const read = (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
};
const directed = read("directed");
const losses = data.components.map((_, place) => read(`losses-${place}`));
const count = data.names.length;
const canvas = document.getElementById("heatmap");
const told = document.getElementById("told");

// From dark to light in even steps of lightness; the brightest is the 99th percentile.
const sorted = Float32Array.from(directed).sort();
const brightest = sorted[Math.min(sorted.length - 1, Math.floor(0.99 * sorted.length))] || 1;
const ramp = [[13, 8, 60], [92, 18, 110], [170, 45, 95], [232, 97, 55], [250, 170, 40], [252, 250, 190]];
const colour = (value) => {
  const at = Math.min(Math.max(value / brightest, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(at), ramp.length - 2);
  return ramp[low].map((c, channel) => Math.round(c + (at - low) * (ramp[low + 1][channel] - c)));
};

const digits = (value) => value.toPrecision(4);

const legend = () => {
  const bar = document.createElement("i");
  bar.style.background = `linear-gradient(to right, ${ramp.map((c) => `rgb(${c})`)})`;
  document.getElementById("scale").append(`${data.measure} 0`, bar, `${digits(brightest)} or more`);
};

const draw = () => {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(count, count);
  for (let cell = 0; cell < count * count; cell += 1) {
    pixels.data.set([...colour(directed[cell]), 255], 4 * cell);
  }
  context.putImageData(pixels, 0, 0);
};

// The square of each group, white within black, so that it is seen on every colour.
const outline = () => {
  const layer = document.getElementById("outlines");
  const context = layer.getContext("2d");
  const cell = layer.width / count;
  for (let first = 0; first < count; ) {
    let last = first + 1;
    while (last < count && data.groups[last] === data.groups[first]) last += 1;
    if (data.groups[first] >= 0) {
      const at = first * cell;
      const side = (last - first) * cell;
      [["#000", 6], ["#fff", 3]].forEach(([ink, width]) => {
        context.strokeStyle = ink;
        context.lineWidth = width;
        context.strokeRect(at + 3, at + 3, Math.max(side - 6, 1), Math.max(side - 6, 1));
      });
    }
    first = last;
  }
};

// A strip under the heatmap: the class of each image, where one is known.
const classify = () => {
  if (!data.kinds.length) return;
  const context = document.getElementById("classes").getContext("2d");
  const named = (name) => (data.kinds.includes(name) ? data.kinds.indexOf(name) : data.kinds.length - 1);
  data.classes.forEach((name, place) => {
    if (name === null) return;
    context.fillStyle = data.kind_colours[named(name)];
    context.fillRect(place, 0, 1, 1);
  });
  data.kinds.forEach((name, place) => {
    const entry = document.createElement("span");
    const key = document.createElement("span");
    key.className = "key";
    key.style.background = data.kind_colours[place];
    entry.append(key, name);
    document.getElementById("keys").append(entry);
  });
};

const line = (list, name, value) => {
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value;
  list.append(term, text);
};
const kind = (place) => (data.classes[place] === null ? "" : `, ${data.classes[place]}`);
const group = (place) => (data.groups[place] < 0 ? "in no group" : `group ${data.groups[place]}`);

let row = 0;
let column = 0;
const mark = document.getElementById("mark");
const tell = () => {
  const share = (cells) => `${(100 * cells) / count}%`;
  Object.assign(mark.style, { left: share(column), top: share(row), width: share(1), height: share(1) });
  mark.hidden = false;
  const list = document.createElement("dl");
  const cell = row * count + column;
  line(list, "head of", `${data.names[row]} (${group(row)}${kind(row)})`);
  line(list, "detections of", `${data.names[column]} (${group(column)}${kind(column)})`);
  line(list, data.measure, digits(directed[cell]));
  line(list, "the other way", digits(directed[column * count + row]));
  data.components.forEach((name, place) => line(list, `${name} loss`, digits(losses[place][cell])));
  told.replaceChildren(list);
};

canvas.addEventListener("pointermove", (event) => {
  const box = canvas.getBoundingClientRect();
  const place = (at, start, size) => Math.min(Math.max(Math.floor(((at - start) / size) * count), 0), count - 1);
  column = place(event.clientX, box.left + canvas.clientLeft, canvas.clientWidth);
  row = place(event.clientY, box.top + canvas.clientTop, canvas.clientHeight);
  tell();
});
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  row = Math.min(Math.max(row + step[0], 0), count - 1);
  column = Math.min(Math.max(column + step[1], 0), count - 1);
  tell();
});
draw();
legend();
outline();
classify();
