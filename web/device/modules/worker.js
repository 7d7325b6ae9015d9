// Runs the generators, away from the page. A message is { id, kind, ... }; its answer { id, ... } or { id, problem }.

import { frame, LARGEST, SEARCHED, shrink, turnBack } from "./faces.js";
import { load, Problem } from "./files.js";
import { readPalette } from "./palette.js";
import { fromImage, paste, picture, resize, sheet, toImage } from "./pixels.js";
import { prepare } from "./prepare.js";

let ort, release, base, engine;
const sessions = new Map(); // of each direction and the finder, or the promise of it
const files = new Map(); // the promises of what they are made of
let last = Promise.resolve();
const canvas = new OffscreenCanvas(1, 1);
const pen = canvas.getContext("2d", { willReadFrequently: true });

// What the runtime says of this device -> the name of a sentence
const explain = (error) => {
  if (error instanceof Problem) return error;
  const words = String(error?.message ?? error);
  if (/memory|alloc|out of bounds/i.test(words) || error instanceof RangeError || typeof error === "number") return new Problem("no_memory", words);
  if (/webgpu|adapter|device/i.test(words)) return new Problem("no_webgpu", words);
  if (/wasm|WebAssembly|simd|backend/i.test(words)) return new Problem("no_wasm", words);
  return new Problem("failed", words);
};

const progress = (part) => (bytes) => postMessage({ part, bytes });

const start = async (message) => {
  ({ release, base, engine } = message);
  for (const name of message.first) fetched(name).catch(() => files.delete(name)); // beside the runtime
  if (typeof WebAssembly !== "object") throw new Problem("no_wasm");
  const runtime = release.runtime[engine.kind];
  const [module, binary] = await Promise.all([
    import(new URL(runtime.module, base)).catch(() => { throw new Problem("cut_off", runtime.module); }),
    load(runtime.binary, base, progress("runtime")),
  ]);
  ort = module;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = engine.threads;
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.wasmPaths = { mjs: new URL(runtime.loader, base).href };
};

// name: a direction, or the finder
const fetched = (name) => {
  const file = name === "finder" ? release.finder : release.directions[name].model;
  if (!files.has(name)) files.set(name, load(file, base, progress(name)));
  return files.get(name);
};
const session = (name) => {
  if (!sessions.has(name)) {
    const kind = name === "finder" ? "wasm" : engine.kind;
    const made = fetched(name).then((model) =>
      ort.InferenceSession.create(model, { executionProviders: [kind], graphOptimizationLevel: "all", logSeverityLevel: 3 }));
    made.catch(() => sessions.delete(name)); // so that it can be tried again
    made.catch(() => {}).finally(() => files.delete(name));
    sessions.set(name, made);
  }
  return sessions.get(name);
};

const findFaces = async (values) => {
  const { result } = await (await session("finder")).run({ picture: new ort.Tensor("float32", values, [1, 1, SEARCHED, SEARCHED]) });
  return result.data;
};

// A picture -> (1, 3, height, width) in [-1, 1]; what is missing to a multiple, of which there are two at least, is reflected
const tensor = ({ data, width, height }, multiple) => {
  const [wide, high] = [width, height].map((side) => Math.max(2, Math.ceil(side / multiple)) * multiple);
  const reflect = (at, side) => {
    const period = Math.max(1, 2 * side - 2);
    const place = at % period;
    return place < side ? place : period - place;
  };
  const columns = Uint32Array.from({ length: wide }, (_, x) => 3 * reflect(x, width));
  const area = wide * high;
  const values = new Float32Array(3 * area);
  for (let y = 0, at = 0; y < high; y++) {
    const row = 3 * width * reflect(y, height);
    for (let x = 0; x < wide; x++, at++) {
      const from = row + columns[x];
      values[at] = data[from] / 127.5 - 1;
      values[at + area] = data[from + 1] / 127.5 - 1;
      values[at + 2 * area] = data[from + 2] / 127.5 - 1;
    }
  }
  return new ort.Tensor("float32", values, [1, 3, high, wide]);
};

const pixels = ({ data, dims }, width, height) => {
  const [, , high, wide] = dims;
  const area = wide * high;
  const made = picture(width, height, 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = y * wide; x < width; x++, at += 3, from++) { // a clamped array rounds by itself
      made.data[at] = (data[from] + 1) * 127.5;
      made.data[at + 1] = (data[from + area] + 1) * 127.5;
      made.data[at + 2] = (data[from + 2 * area] + 1) * 127.5;
    }
  }
  return made;
};

const white = ({ width, height }) => picture(width, height, 3, new Uint8ClampedArray(3 * width * height).fill(255));

const run = async (direction, image, condition) => {
  const { multiple, conditions } = release.directions[direction];
  const feeds = { picture: tensor(image, multiple) };
  if (conditions) {
    feeds.condition = new ort.Tensor("float32", Float32Array.from({ length: conditions }, (_, at) => condition?.[at] ?? 0), [1, conditions]);
  }
  const { result } = await (await session(direction)).run(feeds);
  const made = pixels(result, image.width, image.height);
  result.dispose();
  return made;
};

// ImageData, or a bitmap, which is closed -> a picture; a bitmap is drawn at width x height
const read = (image, width, height) => {
  if (!(image instanceof ImageBitmap)) return fromImage(image);
  Object.assign(canvas, { width, height });
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "white"; // under what is transparent
  pen.fillRect(0, 0, width, height);
  pen.drawImage(image, 0, 0, width, height);
  image.close();
  return fromImage(pen.getImageData(0, 0, width, height));
};

// image, width, height: as above. framing, size: as in faces.js; without them it is framed already.
// prepared: what prepare.js does is not to be done; good: it changed nothing. Several faces come back on one sheet, or in the whole picture: pasted
const convert = async ({ direction, image, width = image.width, height = image.height, framing, size, condition, prepared, pasted }) => {
  const looks = framing === "face" || framing === "faces";
  await Promise.all([session(direction), looks && session("finder")]); // the time is that of the picture alone
  const since = performance.now();
  const whole = read(image, width, height);
  const { found, faces, frames } = framing ? await frame(whole, framing, size, findFaces) : { frames: [{ image: whole, given: whole, tilt: 0 }] };
  const make = async (one) => {
    const { image: ready, kind } = prepared ? { image: one } : prepare(one, direction.split("_")[0]);
    const made = kind === "blank" ? white(ready) : await run(direction, ready, condition); // of nothing it makes stripes
    return { kind, good: ready === one && kind !== "blank", made };
  };
  const results = [];
  for (const one of frames) {
    const result = await make(one.image);
    results.push({ ...result, made: turnBack(result.made, one.tilt) });
  }
  let given = sheet(frames.map((one) => one.given));
  let made = sheet(results.map((one) => one.made));
  if (pasted && found) {
    const ground = await make(shrink(whole, Math.min(whole.width, whole.height, LARGEST)));
    [given, made] = [whole, resize(ground.made, whole.width, whole.height)];
    paste(made, frames.map(({ square }) => square), results.map((one) => one.made));
  }
  return {
    made: toImage(made), given: framing && toImage(given), kind: results[0].kind, good: results[0].good,
    found, faces, frames: frames.map(({ square, tilt }) => ({ square, tilt })), milliseconds: performance.now() - since,
  };
};

// The colours of the face in a photo, as a condition of sketch_to_photo
const palette = async ({ image, size }) => {
  const { frames: [{ image: face }] } = await frame(read(image, image.width, image.height), "face", size, findFaces);
  return { palette: readPalette(face) };
};

// Fetches what a direction needs
const fetchAll = async ({ direction }) => { await Promise.all([session(direction), session("finder")]); return {}; };

const kinds = { start, prepare: fetchAll, convert, palette };
self.onmessage = ({ data }) => {
  last = last.then(async () => { // one after the other
    try {
      const answer = await kinds[data.kind](data);
      const images = [answer?.made, answer?.given].filter(Boolean); // they move, or Live would fill the memory with copies
      postMessage({ id: data.id, ...answer }, images.map((image) => image.data.buffer));
    } catch (error) {
      const { key, detail } = explain(error);
      postMessage({ id: data.id, problem: { key, detail } });
    }
  });
};
