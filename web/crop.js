// The square that is converted, over the picture that was given: it is dragged, at a corner too, or moved with keys.
// A button and Ctrl+Z take a move back. The faces that were found are numbered, and a click chooses one.
// The value is {square, faces}; a square is [left, top, side] in shorter sides of the picture, or null.

const overlay = element.querySelector(".crop");
const box = overlay.querySelector(".square");
const back = overlay.querySelector(".back");
let frame = null; // of the picture; it may be built after this
const LEAST = 0.05; // side
let square = null;
let faces = [];
let settled = null; // the square that was converted last
const past = [];
const future = [];
let width = 1; // of the picture, in its shorter sides
let height = 1;
let unit = 1; // a shorter side in pixels of the page
let grip = null; // what the pointer holds: where it took hold, the square then, and of a corner its signs

const place = () => {
  const image = frame.querySelector(".image-frame img");
  overlay.hidden = !square || !image?.naturalWidth;
  if (image && !image.complete) image.addEventListener("load", place, { once: true });
  if (overlay.hidden) return;
  const shown = image.getBoundingClientRect();
  const outer = frame.getBoundingClientRect();
  const scale = Math.min(shown.width / image.naturalWidth, shown.height / image.naturalHeight);
  unit = scale * Math.min(image.naturalWidth, image.naturalHeight);
  width = (scale * image.naturalWidth) / unit;
  height = (scale * image.naturalHeight) / unit;
  const set = (part, left, top, wide, high) =>
    Object.assign(part.style, { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${high}px` });
  set(
    overlay,
    shown.left - outer.left - frame.clientLeft + (shown.width - width * unit) / 2,
    shown.top - outer.top - frame.clientTop + (shown.height - height * unit) / 2,
    width * unit,
    height * unit,
  );
  const [left, top, side] = square;
  set(box, left * unit, top * unit, side * unit, side * unit);
  for (const [number, [x, y, length]] of faces.entries()) {
    set(overlay.querySelectorAll(".face")[number], x * unit, y * unit, length * unit, length * unit);
  }
};
const showFaces = () => {
  for (const button of overlay.querySelectorAll(".face")) button.remove();
  for (const [number, face] of [...faces.entries()].reverse()) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "face", textContent: number + 1 });
    button.setAttribute("aria-label", words.choose_face.replace("{number}", number + 1));
    button.onclick = () => { square = face; place(); convert(); };
    overlay.prepend(button);
  }
};

const between = (least, value, most) => Math.max(least, Math.min(value, most));
const move = ([left, top, side], x, y) => {
  square = [between(0, left + x, width - side), between(0, top + y, height - side), side];
  place();
};
// signs: of the corner that moves, from the centre; the one across stays
const resize = ([left, top, side], signs, by) => {
  const room = [signs[0] > 0 ? width - left : left + side, signs[1] > 0 ? height - top : top + side];
  const next = between(LEAST, side + by, Math.min(...room));
  square = [signs[0] > 0 ? left : left + side - next, signs[1] > 0 ? top : top + side - next, next];
  place();
};
const send = () => {
  settled = square;
  back.hidden = !past.length;
  props.value = { square, faces };
  trigger("input");
};
const convert = () => {
  if (settled) past.push(settled);
  future.length = 0;
  send();
};
const step = (from, to) => {
  if (!from.length) return;
  to.push(settled);
  square = from.pop();
  place();
  send();
};

back.onclick = () => step(past, future);

box.onpointerdown = (event) => {
  if (event.button !== 0) return;
  const { x, y } = event.target.dataset;
  grip = { from: square, x: event.clientX, y: event.clientY, signs: x && [Number(x), Number(y)] };
  box.setPointerCapture(event.pointerId);
};
box.onpointermove = (event) => {
  if (!grip) return;
  const [x, y] = [(event.clientX - grip.x) / unit, (event.clientY - grip.y) / unit];
  if (grip.signs) resize(grip.from, grip.signs, (x * grip.signs[0] + y * grip.signs[1]) / 2);
  else move(grip.from, x, y);
};
box.onpointerup = box.onpointercancel = () => {
  if (grip && square !== grip.from) convert();
  grip = null;
};

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SIZES = { "+": 1, "=": 1, "-": -1 };
const STRIDE = 0.02;
overlay.onkeydown = (event) => {
  const { key } = event;
  if (key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) step(...(event.shiftKey ? [future, past] : [past, future]));
  else if (key in STEPS) move(square, ...STEPS[key].map((sign) => sign * STRIDE));
  else if (key in SIZES) resize(square, [1, 1], SIZES[key] * STRIDE);
  else return;
  event.preventDefault(); // the page does not scroll
};
box.onkeyup = (event) => { if (event.key in STEPS || event.key in SIZES) convert(); };

watch("value", () => {
  if (!frame) {
    frame = element.closest("[role=tabpanel]").querySelector(".shown");
    frame.append(overlay);
    frame.ondragstart = (event) => event.preventDefault(); // else the browser drags the picture or selected text instead
    new ResizeObserver(place).observe(frame);
  }
  if (grip) return; // the visitor knows better
  if (props.value?.square === square) return; // its own
  ({ square, faces } = props.value || { square: null, faces: [] });
  settled = square;
  past.length = future.length = 0;
  back.hidden = true;
  faces = faces.length > 1 ? faces : [];
  showFaces();
  place();
});
