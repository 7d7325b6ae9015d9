// A sketchpad on a canvas: pen, eraser, undo.

const REMEMBERED = 30; // strokes

export class Pad {
  // tool: () => ({ size, erasing }); changed: is called whenever the drawing is another
  constructor(canvas, tool, changed) {
    Object.assign(this, { canvas, tool, changed, history: [], last: null });
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
    this.pen.lineCap = this.pen.lineJoin = "round";
    this.fill();
    canvas.onpointerdown = (event) => this.down(event);
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerup = canvas.onpointercancel = () => this.up();
    canvas.onkeydown = (event) => {
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.undo();
    };
  }

  fill() {
    this.pen.fillStyle = "white";
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  remember() {
    this.history.push(this.pen.getImageData(0, 0, this.canvas.width, this.canvas.height));
    if (this.history.length > REMEMBERED) this.history.shift();
  }

  stroke(event) {
    const { size, erasing } = this.tool();
    const box = this.canvas.getBoundingClientRect();
    const next = [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
    this.pen.strokeStyle = erasing ? "white" : "#222";
    this.pen.lineWidth = size * (erasing ? 3 : 1);
    this.pen.beginPath();
    this.pen.moveTo(...(this.last ?? next));
    this.pen.lineTo(...next);
    this.pen.stroke();
    this.last = next;
  }

  down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.remember();
    this.stroke(event);
    this.changed();
  }

  move(event) {
    if (!this.last) return;
    for (const step of event.getCoalescedEvents?.() ?? [event]) this.stroke(step);
    this.changed();
  }

  up() {
    if (!this.last) return;
    this.last = null;
    this.changed();
  }

  // Whether a stroke is under way, which only adds to the drawing
  get drawing() {
    return this.last !== null && !this.tool().erasing;
  }

  undo() {
    if (!this.history.length) return;
    this.pen.putImageData(this.history.pop(), 0, 0);
    this.changed();
  }

  clear() {
    this.remember();
    this.fill();
    this.changed();
  }

  draw(image) {
    this.remember();
    this.pen.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    this.changed();
  }
}
