// The square that is converted, over a picture: it is dragged, at a corner too, or moved with keys.

const LEAST = 0.05; // side, in shorter sides of the picture
const STEP = 0.02;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SIZES = { "+": 1, "=": 1, "-": -1 };
const between = (least, value, most) => Math.max(least, Math.min(value, most));

export class Square {
  // box: the element, inside the same frame as the picture's canvas, which fills the frame as "contain" does
  constructor(box, canvas, changed) {
    Object.assign(this, { box, canvas, changed, value: null, grip: null });
    box.onpointerdown = (event) => this.take(event);
    box.onpointermove = (event) => this.drag(event);
    box.onpointerup = box.onpointercancel = () => this.drop();
    box.onkeydown = (event) => this.key(event);
    box.onkeyup = (event) => { if (event.key in STEPS || event.key in SIZES) this.changed(); };
    new ResizeObserver(() => this.place()).observe(canvas.parentElement);
  }

  // part: [left, top, side] in pixels of the picture, or null
  show(part) {
    this.value = part;
    this.box.hidden = !part;
    this.place();
  }

  get scale() {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(clientWidth / this.canvas.width, clientHeight / this.canvas.height);
  }

  place() {
    if (!this.value) return;
    const { canvas, scale } = this;
    const [left, top, side] = this.value.map((length) => length * scale);
    const across = canvas.offsetLeft + (canvas.clientWidth - canvas.width * scale) / 2;
    const down = canvas.offsetTop + (canvas.clientHeight - canvas.height * scale) / 2;
    Object.assign(this.box.style, { left: `${across + left}px`, top: `${down + top}px`, width: `${side}px`, height: `${side}px` });
  }

  move([left, top, side], x, y) {
    const { width, height } = this.canvas;
    this.value = [between(0, left + x, width - side), between(0, top + y, height - side), side];
    this.place();
  }

  // signs: of the corner that moves, from the centre; the one across stays
  resize([left, top, side], signs, by) {
    const { width, height } = this.canvas;
    const room = [signs[0] > 0 ? width - left : left + side, signs[1] > 0 ? height - top : top + side];
    const next = between(LEAST * Math.min(width, height), side + by, Math.min(...room));
    this.value = [signs[0] > 0 ? left : left + side - next, signs[1] > 0 ? top : top + side - next, next];
    this.place();
  }

  take(event) {
    if (event.button !== 0) return;
    const { x, y } = event.target.dataset;
    this.grip = { from: this.value, x: event.clientX, y: event.clientY, signs: x && [Number(x), Number(y)] };
    this.box.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.grip) return;
    const [x, y] = [(event.clientX - this.grip.x) / this.scale, (event.clientY - this.grip.y) / this.scale];
    const { from, signs } = this.grip;
    if (signs) this.resize(from, signs, (x * signs[0] + y * signs[1]) / 2);
    else this.move(from, x, y);
  }

  drop() {
    const moved = this.grip && this.value !== this.grip.from;
    this.grip = null;
    if (moved) this.changed();
  }

  key(event) {
    const step = STEP * Math.min(this.canvas.width, this.canvas.height);
    if (event.key in STEPS) this.move(this.value, ...STEPS[event.key].map((sign) => sign * step));
    else if (event.key in SIZES) this.resize(this.value, [1, 1], SIZES[event.key] * step);
    else return;
    event.preventDefault(); // the page does not scroll
  }
}
