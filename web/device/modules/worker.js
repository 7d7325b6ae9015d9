// Runs the generators, away from the page. A message is { id, kind, ... }; its answer { id, ... } or { id, problem }.

import { Crew } from "./crew.js";
import { frame, LARGEST, SEARCHED, shrink, turnBack } from "./faces.js";
import { load, Problem } from "./files.js";
import { readPalette } from "./palette.js";
import { fromImage, LINEAR, paste, picture, reduce, resize, sheet, toImage } from "./pixels.js";
import { prepare } from "./prepare.js";

let ort, crew, release, base, engine;
const networks = new Map(); // by the name of their last file: the promise of a function, which takes and gives what Crew.run does
const files = new Map(); // the promises of their contents, by name
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
  for (const name of message.first) for (const file of filesOf(name)) fetched(file).catch(() => {}); // while the threads start
  if (typeof WebAssembly !== "object") throw new Problem("no_wasm");
  crew = await Crew.start(engine.kind === "wasm" ? engine.threads : 1).catch(() => Crew.start(1)); // others may not start
  if (engine.kind === "webgpu") await startRuntime(release.runtime);
};

const startRuntime = async ({ module, loader, binary }) => {
  [ort, binary] = await Promise.all([
    import(new URL(module, base)).catch(() => { throw new Problem("cut_off", module); }),
    load(binary, base, progress("runtime")),
  ]);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.wasmPaths = { mjs: new URL(loader, base).href };
};

// name: a direction, or the finder
const isGraph = (name) => engine.kind === "webgpu" && name !== "finder";
// large: large pictures have a graph of their own
const filesOf = (name, large) => {
  if (name === "finder") return [release.finder];
  const { model, graph, large: second } = release.directions[name];
  return isGraph(name) ? [model, large ? second : graph] : [model];
};
const fetched = async (file) => {
  if (!files.has(file.name)) files.set(file.name, load(file, base, progress(file.name)));
  try {
    return await files.get(file.name);
  } catch (error) {
    files.delete(file.name); // so that it can be tried again
    throw error;
  }
};
const open = async (name, needed) => {
  const contents = await Promise.all(needed.map(fetched));
  for (const file of needed) files.delete(file.name);
  if (isGraph(name)) return openGraph(...contents);
  const loaded = crew.load(...contents, release.directions[name]?.about);
  return (...task) => crew.run(loaded, ...task);
};
const network = (name, large) => {
  const needed = filesOf(name, large);
  const key = needed.at(-1).name;
  if (!networks.has(key)) {
    networks.set(key, open(name, needed));
    networks.get(key).catch(() => networks.delete(key));
  }
  return networks.get(key);
};
const openGraph = async (weights, graph) => {
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: ["webgpu"], graphOptimizationLevel: "all", logSeverityLevel: 3,
    externalData: [{ path: "weights", data: weights }], // as cyclegan/engines/web.py calls it
  });
  return async (values, shapes, condition) => {
    const names = [["half", "picture"], ["half_result", "result"]].map((both) => both.slice(-values.length));
    const feeds = Object.fromEntries(values.map((one, at) => [names[0][at], new ort.Tensor("float32", one, [1, 3, ...shapes[at]])]));
    if (condition) feeds.condition = new ort.Tensor("float32", condition, [1, condition.length]);
    const results = await session.run(feeds);
    return names[1].map((name) => {
      const { data, dims } = results[name];
      results[name].dispose();
      return { data, dims };
    });
  };
};

const findFaces = async (values) => (await (await network("finder"))([values], [[SEARCHED, SEARCHED]]))[0].data;

// A picture -> values (3, height, width) in [-1, 1]; what is missing to a multiple, of which there are two at least, is reflected
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
  return { values, shape: [high, wide] };
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

// images: a picture, or a large one's half and then itself
const translate = async (direction, images, condition) => {
  const { multiple, conditions } = release.directions[direction];
  const given = conditions ? Float32Array.from({ length: conditions }, (_, at) => condition?.[at] ?? 0) : null;
  const tensors = images.map((image, at) => tensor(image, (at + 1) * multiple));
  const compute = await network(direction, images.length > 1);
  const made = await compute(tensors.map(({ values }) => values), tensors.map(({ shape }) => shape), given);
  return made.map((one, at) => pixels(one, images[at].width, images[at].height));
};

// A large picture is also converted at half its size, from which all but the finest detail is taken: as in
// cyclegan/translator.py and cyclegan/networks.py
const LARGE = 1.75;
const FORMS = 2;
const run = async (direction, image, condition) => {
  const { width, height } = image;
  const scale = Math.min(width, height) / (LARGE * release.image_size);
  if (scale < 1) return (await translate(direction, [image], condition))[0];
  const small = reduce(image, 2, 2);
  let [half, made] = await translate(direction, [small, image], condition);
  if (scale >= 2) half = await run(direction, small, condition);
  const [wanted, found] = [reduce(half, FORMS, FORMS), reduce(made, 2 * FORMS, 2 * FORMS)].map((one) => resize(one, width, height, LINEAR).data);
  for (let at = 0; at < made.data.length; at++) made.data[at] += wanted[at] - found[at];
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
  await Promise.all([network(direction), looks && network("finder")]); // the time is that of the picture alone
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
const fetchAll = async ({ direction, large }) => { await Promise.all([network(direction, large), network("finder")]); return {}; };

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
