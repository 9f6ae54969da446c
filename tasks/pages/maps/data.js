// What the page was given: arrays as base64 in blocks of their own, the rest as JSON.

const byId = (id) => document.getElementById(id);
const told = JSON.parse(byId("map-data").textContent);

/** Return the bytes of a block, which is then dropped; null where there is none. */
function bufferOf(id) {
  const block = byId(id);
  if (!block) return null;
  const packed = atob(block.textContent);
  block.remove();
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at++) bytes[at] = packed.charCodeAt(at);
  return bytes.buffer;
}

const floats = (id) => { const b = bufferOf(id); return b && new Float32Array(b); };
const integers = (id) => { const b = bufferOf(id); return b && new Int32Array(b); };

const ids = told.ids, count = ids.length, width = told.neighbours;
const coords = floats("coords"), neighbours = integers("neighbours");
const distances = floats("distances"), slots = integers("slots");
for (const [at, column] of told.columns.entries())
  column.values = column.names ? integers(`column-${at}`) : floats(`column-${at}`);

/** Return text without what does not print: no name hides, reverses or breaks a line. */
const printable = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu, "\uFFFD");

const number = (value) =>
  Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(4)).toString();

const counted = (many) => (many === 1 ? "1 point" : `${number(many)} points`);

/** Return what a column says of a point as text; null where it says nothing. */
function valueOf(column, point) {
  const value = column.values[point];
  if (column.names) return value < 0 ? null : printable(column.names[value]);
  return Number.isNaN(value) ? null : number(value);
}

/** Return an element with plain text in it: what a name says is never read as HTML. */
function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) {
    const inner = document.createElement("bdi");
    inner.textContent = text;
    made.append(inner);
  }
  return made;
}

const facts = (point) => {
  const list = element("dl", "facts");
  for (const column of told.columns) {
    const value = valueOf(column, point);
    if (value === null) continue;
    list.append(element("dt", "", printable(column.name)), element("dd", "", value));
  }
  return list;
};

// Pictures: tiles of sheets, each sheet decoded when it is first looked at.

const sheets = new Map();

function sheetOf(at) {
  if (!sheets.has(at)) {
    const image = new Image();
    image.src = "data:image/jpeg;base64," + byId(`sheet-${at}`).textContent;
    sheets.set(at, image.decode().then(() => image));
  }
  return sheets.get(at);
}

const hasPicture = (point) => slots !== null && slots[point] >= 0;

/** Return a canvas that shows the picture of a point as soon as its sheet is decoded. */
function pictureOf(point, size) {
  const canvas = element("canvas", "picture");
  const tile = told.atlas.tile, across = told.atlas.across;
  canvas.width = canvas.height = Math.max(size, tile);
  canvas.style.width = canvas.style.height = `${size}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", printable(ids[point]));
  const slot = slots[point] % (across * across);
  sheetOf(Math.floor(slots[point] / (across * across))).then((image) => {
    const left = (slot % across) * tile, top = Math.floor(slot / across) * tile;
    canvas.getContext("2d").drawImage(
      image, left, top, tile, tile, 0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "yes";
  });
  return canvas;
}
