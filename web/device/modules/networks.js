// The networks of cyclegan/networks.py and cyclegan/faces.py, as steps that several threads do together. Each gives
// { inputs, pictures, compute, results, end }: where the pictures are to be put, what must be zero before that, what every
// thread has to do, where the results are then, and the address behind all of it.

import { Arena, FLOAT } from "./memory.js";

const FOUND = 6; // numbers of each place in which a face may be

const half = ([high, wide]) => [Math.ceil(high / 2), Math.ceil(wide / 2)];
const channelsOf = ([part]) => part.width / FLOAT;

// shapes: of a picture, or of a large one's half and then of itself. change: of each layer [factors, summands] for its
// channels, or nothing
const generator = (thread, network, start, shapes, change) => {
  const passes = [];
  for (const shape of shapes) {
    const deep = network.about.compact && passes[0]?.deep;
    passes.push(pass(thread, network, passes[0]?.end ?? start, shape, change, deep));
  }
  return {
    inputs: passes.map(({ input }) => input),
    pictures: passes.flatMap(({ pictures }) => pictures),
    compute: () => { for (const { compute } of passes) compute(); },
    results: passes.map(({ result }) => result),
    end: passes.at(-1).end,
  };
};

// deep: what the residual blocks made of the half, if they are not to see this picture
const pass = (thread, { layers, bias, about }, start, [high, wide], change, deep) => {
  const { width, blocks, fold, compact, padding, upsample } = about;
  const arena = new Arena(start);
  const whole = [high / fold, wide / fold];
  const [halves, quarters] = [half(whole), half(half(whole))];
  const around = compact ? 1 : 3;
  const below = upsample === "resize" && padding === "reflect" ? "edge" : "zero"; // what surrounds a picture that is doubled
  const pictures = [
    arena.picture(whole, 3 * fold ** 2, around, padding),
    arena.picture(whole, width, 1),
    arena.picture(halves, 2 * width, 1),
    ...[0, 1].map(() => arena.picture(quarters, 4 * width, 1, padding)),
    arena.picture(quarters, 4 * width, 1, below),
    arena.picture(halves, 2 * width, 1, below),
    arena.picture(whole, width, around, padding),
  ];
  const [input, stem, down, x, inner, last, up, top] = pictures;
  const planes = thread.planes(arena, x);
  // One place for what the convolutions make, of which the next layer makes a picture
  const shapes = [[whole, width], [halves, 2 * width], [quarters, 4 * width], [whole, channelsOf(layers.head)]];
  const [large, middle, small, result] = shapes.map((shape) => new Arena(arena.top).picture(...shape));
  const end = Math.max(...[large, middle, small, result].map((out) => out.start + out.bytes));

  const compute = () => {
    const changes = change.slice(0, 2).concat(deep ? change.slice(-2) : change.slice(2))[Symbol.iterator]();
    const convolve = (from, name, stride, out, target, options) =>
      thread.layer(() => thread.convolve(from, layers[name], stride, out), out, target, { change: changes.next().value, ...options });
    convolve(input, "stem", 1, large, stem, compact && { given: brighten(bias.stem, change[0]) }); // it has no norm
    convolve(stem, "down1", 2, middle, down);
    if (deep) thread.enlarge(deep, last);
    else {
      convolve(down, "down2", 2, small, blocks ? x : last);
      for (const [at, [first, second]] of layers.blocks.entries()) {
        thread.layer(() => thread.winograd(x, first, small, planes), small, inner, { change: changes.next().value });
        const options = { change: changes.next().value, relu: false, added: x };
        thread.layer(() => thread.winograd(inner, second, small, planes), small, at + 1 < blocks ? x : last, options);
      }
    }
    convolve(last, "up1", 1, middle, up, { added: compact && down });
    convolve(up, "up2", 1, large, top, { added: compact && stem });
    thread.convolve(top, layers.head, 1, result);
    thread.meet();
  };
  return { input, pictures, compute, result, end, deep: last };
};

// A bias, and then what a condition changes
const brighten = (bias, [factors, summands] = []) => [
  bias.map((_, channel) => factors?.[channel] ?? 1),
  bias.map((value, channel) => value * (factors?.[channel] ?? 1) + (summands?.[channel] ?? 0)),
];

const finder = (thread, { layers }, start, [side]) => {
  const arena = new Arena(start);
  const shapes = [side];
  for (let level = 1; level <= 5; level++) shapes.push(half(shapes[level - 1]));
  const pictures = [arena.picture(side, 1, 1)];
  const steps = [];
  const add = (level, channels, step) => {
    const [from, target] = [pictures.at(-1), arena.picture(shapes[level], channels, 1)];
    pictures.push(target);
    steps.push(() => step(from, target));
    return target;
  };
  const convolve = (name, level, stride = 1, options = {}) => {
    const { parts, given } = layers[name];
    const out = arena.picture(shapes[level], channelsOf(parts));
    return add(level, channelsOf(parts), (from, target) =>
      thread.layer(() => thread.convolve(from, parts, stride, out), out, target, { given, ...options }));
  };
  const double = (level, added) => add(level, pictures.at(-1).width / FLOAT, (from, target) => thread.double(from, target, added));

  for (const level of [1, 2, 3]) convolve(`eighth.${level - 1}.0`, level, 2);
  const eighth = convolve("eighth.3.0", 3);
  convolve("sixteenth.0.0", 4, 2);
  const sixteenth = convolve("sixteenth.1.0", 4);
  convolve("down.0.0", 5, 2);
  for (const at of [1, 2, 3]) convolve(`down.${at}.0`, 5);
  double(4, sixteenth);
  convolve("up.0", 4);
  double(3);
  convolve("lateral", 3, 1, { relu: false, added: eighth });
  convolve("head.0.0", 3);
  const result = convolve("head.1", 3, 1, { relu: false });
  const compute = () => { for (const step of steps) step(); };
  return { inputs: [pictures[0]], pictures, compute, results: [{ ...result, channels: FOUND }], end: arena.top };
};

const kinds = { generator, finder };
// start: the address behind all weights; shapes: of the pictures, in pixels
export const plan = (thread, network, { start, shapes, change }) => kinds[network.kind](thread, network, start, shapes, change);
