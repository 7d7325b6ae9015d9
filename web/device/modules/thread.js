// One of the threads that compute a network together: each does its rows of a layer, and waits for the others.

import { PIXELS, TILE } from "./kernels.js";
import { FLOAT } from "./memory.js";

const MOST = 1024; // channels: as in cyclegan/engines/web.py
const EPSILON = 1e-5; // of torch's instance norm
const TOGETHER = 64; // tiles that are gathered before their products are computed
const SPARE = 64; // bytes between planes, which would otherwise share the same places of the processor's cache
const SPINS = 200_000; // looks whether the others are there, half a millisecond, before the thread sleeps

// The first bytes of the memory: two flags, and a slot for each thread
const SLOTS = 1024;
const SCRATCH = 1024; // for a tile
const SLOT = SCRATCH + 8 * FLOAT * MOST; // sums and squares of a row; factors; summands; totals, which take twice the room

export class Thread {
  constructor(memory, module, index, count) {
    const { exports } = new WebAssembly.Instance(module, { of: { memory } });
    Object.assign(this, { memory, kernels: exports, index, count });
    this.look();
  }

  // Anew when the memory has grown
  look() {
    const { buffer } = this.memory;
    this.flags = new Int32Array(buffer, 0, 2);
    this.slots = Array.from({ length: this.count }, (_, at) => {
      const scratch = SLOTS + at * SLOT;
      const place = (number) => scratch + SCRATCH + number * FLOAT * MOST;
      return {
        scratch,
        sums: new Float32Array(buffer, place(0), 2 * MOST),
        factors: new Float32Array(buffer, place(2), MOST),
        summands: new Float32Array(buffer, place(3), MOST),
        totals: new Float64Array(buffer, place(4), 2 * MOST),
      };
    });
    this.own = this.slots[this.index];
  }

  // Waits until all threads are here
  meet() {
    if (this.count === 1) return;
    const turn = Atomics.load(this.flags, 1);
    if (Atomics.add(this.flags, 0, 1) === this.count - 1) {
      Atomics.store(this.flags, 0, 0);
      Atomics.add(this.flags, 1, 1);
      Atomics.notify(this.flags, 1);
      return;
    }
    for (let spin = 0; spin < SPINS && Atomics.load(this.flags, 1) === turn; spin++);
    while (Atomics.load(this.flags, 1) === turn) Atomics.wait(this.flags, 1, turn);
  }

  // This thread's share of so many
  share(count) {
    const [start, end] = [0, 1].map((more) => Math.floor(((this.index + more) * count) / this.count));
    return Array.from({ length: end - start }, (_, at) => start + at);
  }

  // A convolution of a row of pixels; part: see weights.js
  row({ taps, length, at, vectors, width }, x, next, row, out, outNext, count) {
    const kernel = this.kernels[(count < PIXELS[vectors] ? "few" : "row") + vectors];
    kernel(x, next, row, taps, length, at, out, outNext, count, width);
  }

  // parts: one, or those of the four pixels that come of one
  convolve(x, parts, stride, out) {
    const zoom = Math.sqrt(parts.length);
    for (const y of this.share(out.high / zoom)) {
      for (const [at, part] of parts.entries()) {
        const from = x.at + (y * stride + part.top) * x.row + part.left * x.width;
        const to = out.at + (y * zoom + Math.floor(at / zoom)) * out.row + (at % zoom) * out.width;
        this.row(part, from, stride * x.width, x.row, to, zoom * out.width, out.wide / zoom);
      }
      for (let line = 0; line < zoom; line++) this.sum(out, y * zoom + line);
    }
  }

  // A 3 x 3 convolution by Winograd's products, whose planes lie where `planes` has room
  winograd(x, products, out, planes) {
    const { width } = x;
    const across = Math.ceil(x.wide / TILE);
    const [gathered, multiplied] = planes[this.index];
    const lines = this.share(Math.ceil(x.high / TILE));
    const most = Math.max(1, Math.floor(TOGETHER / across));
    for (let first = 0; first < lines.length; first += most) {
      const some = lines.slice(first, first + most);
      const tiles = some.length * across;
      const plane = tiles * width + SPARE;
      for (const [at, line] of some.entries()) {
        const from = x.at + (line * TILE - 1) * x.row - width;
        this.kernels.gather(from, x.row, width, gathered + at * across * width, plane, across, this.own.scratch);
      }
      for (const [at, product] of products.entries()) {
        this.row(product, gathered + at * plane, width, 0, multiplied + at * plane, width, tiles);
      }
      for (const [at, line] of some.entries()) {
        const to = out.at + line * TILE * out.row;
        this.kernels.scatter(multiplied + at * across * width, plane, width, to, out.row, across, this.own.scratch);
        for (let y = line * TILE; y < Math.min(out.high, (line + 1) * TILE); y++) this.sum(out, y);
      }
    }
  }

  planes(arena, { wide, width }) {
    const tiles = Math.max(TOGETHER, Math.ceil(wide / TILE));
    const bytes = (TILE + 2) ** 2 * (tiles * width + SPARE);
    return this.slots.map(() => [arena.take(bytes), arena.take(bytes)]);
  }

  // Adds a row to the totals of the channels and of their squares
  sum({ at, row, width, wide }, y) {
    const { sums, totals } = this.own;
    this.kernels.sums(at + y * row, wide, width, sums.byteOffset);
    for (let channel = 0; channel < (2 * width) / FLOAT; channel++) totals[channel] += sums[channel];
  }

  // The factors and summands that give each channel the mean 0 and the variance 1, and then what a condition changes
  normalise({ high, wide, width }, [factors, summands]) {
    const channels = width / FLOAT;
    for (let channel = 0; channel < channels; channel++) {
      let [mean, square] = [0, 0];
      for (const { totals } of this.slots) {
        mean += totals[channel] / (high * wide);
        square += totals[channels + channel] / (high * wide);
      }
      const factor = (factors?.[channel] ?? 1) / Math.sqrt(Math.max(0, square - mean * mean) + EPSILON);
      this.own.factors[channel] = factor;
      this.own.summands[channel] = (summands?.[channel] ?? 0) - mean * factor;
    }
  }

  // A layer: its convolution, which `compute` puts into `out`; factors and summands, which are `given`, or else those of a
  // norm and of the condition's `change`; ReLU; what is `added`; and the pixels around the picture, in `target`
  layer(compute, out, target, { change = [], given = null, relu = true, added = null }) {
    this.own.totals.fill(0);
    compute();
    this.meet();
    const { factors, summands } = this.own;
    if (given) {
      factors.set(given[0]);
      summands.set(given[1]);
    } else {
      this.normalise(out, change);
    }
    const kernel = this.kernels[(relu ? "relu" : "change") + (added ? "Add" : "")];
    for (const y of this.share(out.high)) {
      const [from, to, addend] = [out, target, added].map((picture) => (picture ? picture.at + y * picture.row : 0));
      kernel(from, out.wide, out.width, factors.byteOffset, summands.byteOffset, to, addend);
      this.surround(target, y);
    }
    this.meet();
  }

  // Each pixel four times, and what is added to it
  double(x, target, added) {
    const { factors, summands } = this.own;
    factors.fill(1);
    summands.fill(0);
    for (const y of this.share(target.high)) {
      for (let column = 0; column < target.wide; column++) {
        const from = x.at + (y >> 1) * x.row + (column >> 1) * x.width;
        const [to, addend] = [target, added ?? target].map((picture) => picture.at + y * picture.row + column * picture.width);
        if (added) this.kernels.changeAdd(from, 1, x.width, factors.byteOffset, summands.byteOffset, to, addend);
        else this.kernels.copy(to, from, x.width);
      }
    }
    this.meet();
  }

  // A picture of twice the size, each pixel between the four that are nearest: 3/4 of the nearer and 1/4 of the other
  enlarge(x, target) {
    const floats = new Float32Array(this.memory.buffer);
    const channels = x.width / FLOAT;
    const other = (at, side) => Math.min(side - 1, Math.max(0, (at >> 1) + (at % 2 ? 1 : -1)));
    for (const y of this.share(target.high)) {
      const rows = [y >> 1, other(y, x.high)].map((row) => (x.at + row * x.row) / FLOAT);
      for (let column = 0; column < target.wide; column++) {
        const columns = [column >> 1, other(column, x.wide)].map((at) => at * channels);
        const [a, b, c, d] = rows.flatMap((row) => columns.map((at) => row + at));
        const to = (target.at + y * target.row + column * target.width) / FLOAT;
        for (let at = 0; at < channels; at++) {
          floats[to + at] = (9 * floats[a + at] + 3 * (floats[b + at] + floats[c + at]) + floats[d + at]) / 16;
        }
      }
      this.surround(target, y);
    }
    this.meet();
  }

  // What lies left and right of a row, and above or below the picture if this row is repeated there
  surround({ at, row, width, high, wide, around, edges }, y) {
    if (edges === "zero") return; // it stays as it was cleared
    const { copy } = this.kernels;
    const inside = (distance) => (edges === "reflect" ? distance : 0); // from the edge, where the pixel lies that is repeated
    const line = at + y * row;
    for (let distance = 1; distance <= around; distance++) {
      copy(line - distance * width, line + inside(distance) * width, width);
      copy(line + (wide - 1 + distance) * width, line + (wide - 1 - inside(distance)) * width, width);
    }
    const [start, bytes] = [line - around * width, (wide + 2 * around) * width];
    for (let distance = 1; distance <= around; distance++) {
      if (y === inside(distance)) copy(start - (y + distance) * row, start, bytes);
      if (y === high - 1 - inside(distance)) copy(start + (high - 1 + distance - y) * row, start, bytes);
    }
  }
}
