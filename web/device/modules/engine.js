// The page's side of worker.js, and which of the device's ways to compute is the fastest.

import { Problem } from "./files.js";

const SMALL = 64; // side of the picture on which ways are compared
const DIFFERENCE = 3; // of 255, on average, that WebGPU may be away from WebAssembly
const TURNS = 5;

export class Runner {
  // engine: { kind: "wasm" | "webgpu", threads }; first: what is fetched at once
  constructor(release, base, engine, progress = () => {}, first = []) {
    Object.assign(this, { release, engine, progress, waiting: new Map(), next: 0 });
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => { event.preventDefault(); this.end(new Problem("failed", event.message ?? "")); };
    this.started = this.ask({ kind: "start", release, base, engine, first });
    this.started.catch(() => {}); // told to whoever converts
  }

  receive({ id, problem, part, ...answer }) {
    if (part) return this.progress(part, answer.bytes);
    const { done, failed } = this.waiting.get(id) ?? {};
    this.waiting.delete(id);
    if (problem) failed?.(new Problem(problem.key, problem.detail));
    else done?.(answer);
  }

  ask(message, transfer = []) {
    return new Promise((done, failed) => {
      if (this.ended) return failed(this.ended);
      this.waiting.set(++this.next, { done, failed });
      this.worker.postMessage({ id: this.next, ...message }, transfer);
    });
  }

  // image, options: as worker.js takes them. A bitmap is used up; one to be framed stays, since it may be framed again
  async convert(direction, image, options = {}) {
    await this.started;
    return this.ask({ kind: "convert", direction, image, ...options }, image instanceof ImageBitmap && !options.framing ? [image] : []);
  }

  // The colours of the face in a photo, a bitmap, which is used up: a condition of sketch_to_photo
  async palette(image, size) {
    await this.started;
    return (await this.ask({ kind: "palette", image, size }, [image])).palette;
  }

  async prepare(direction, large = false) {
    await this.started;
    return this.ask({ kind: "prepare", direction, large });
  }

  end(problem = new Problem("ended")) {
    this.ended = problem;
    this.worker.terminate();
    for (const { failed } of this.waiting.values()) failed(problem);
    this.waiting.clear();
  }
}

export const name = ({ kind, threads }) => (kind === "wasm" ? `wasm-${threads}` : kind);

// The ways that this browser offers, the safest first. On iOS several threads crash in some versions
export const offers = async () => {
  const apple = /iPhone|iPad|iPod/.test(navigator.userAgent) || (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);
  const threads = globalThis.crossOriginIsolated && !apple ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const found = [...new Set([threads, 1])].map((count) => ({ kind: "wasm", threads: count }));
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (adapter) found.push({ kind: "webgpu", threads: 1 });
  return found;
};

// A small picture with shapes and grain
const sample = (side) => {
  const image = new ImageData(side, side);
  for (let at = 0, seed = 1; at < image.data.length; at++) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    image.data[at] = at % 4 === 3 ? 255 : 128 + 80 * Math.sin(at / 97) * Math.cos(at / (4 * side * 9)) + seed % 40 - 20;
  }
  return image;
};

// The fastest of the ways whose pictures are those of the first, and the milliseconds of each.
// make: engine -> Runner; size: in pixels
export const measure = async (engines, make, direction, size) => {
  const times = {};
  let fastest = null;
  let expected = null;
  for (const engine of engines) {
    const runner = make(engine);
    try {
      const { made } = await runner.convert(direction, sample(SMALL), { prepared: true });
      expected ??= made.data;
      const away = made.data.reduce((sum, value, at) => sum + Math.abs(value - expected[at]), 0) / (0.75 * expected.length);
      if (!(away <= DIFFERENCE)) continue;
      const taken = [];
      for (let turn = 0; turn <= TURNS; turn++) taken.push((await runner.convert(direction, sample(size), { prepared: true })).milliseconds);
      times[name(engine)] = Math.min(...taken.slice(1)); // the first one warms up
      if (!fastest || times[name(engine)] < 0.9 * times[name(fastest)]) fastest = engine;
    } catch (error) {
      if (engine === engines[0]) throw error;
    } finally {
      runner.end();
    }
  }
  return { fastest, times };
};
