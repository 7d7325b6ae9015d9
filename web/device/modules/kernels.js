// What takes the time of a picture, as WebAssembly on four numbers at once. Pictures lie pixel after pixel, with the
// channels of each together, so that four channels are a vector. All lengths and distances are in bytes.

import {
  add, assemble, copy, four, fused, get, larger, less, load, loadSplat, minus, multiply, number, plus, repeatWhile, set, step,
  store, subtract, times, when,
} from "./assembler.js";

const VECTOR = 16;
export const PAGES = 32768; // of 64 KiB, at most
export const TILE = 4;

// Vectors of channels -> pixels that the innermost loop computes with them: what fits into 16 registers, as measured
export const PIXELS = { 4: 2, 3: 3, 2: 4, 1: 6 };
const repeat = (count, write) => Array.from({ length: count }, (_, at) => write(at));

// A convolution of a row of pixels: out[p, :] = sum of x[p * xNext + t * xRow + k] * w[t, k, :] over t < taps, k < length.
// The weights of each `vectors` vectors of channels lie together
const row = (fuse, pixels, vectors) => [10, ({ i32, v128 }) => {
  const [x, xNext, xRow, taps, length, w, out, outNext, count, width] = repeat(10, (at) => at);
  const [channel, pixel, tap, weight, strip, base, end, to, last] = repeat(9, i32);
  const from = repeat(pixels, i32);
  const sums = repeat(pixels, () => repeat(vectors, v128));
  const [one, ...weights] = repeat(vectors + 1, v128);
  const multiplyAdd = (a, b, sum) => (fuse ? fused(a, b, sum) : plus(times(a, b), sum));
  return [
    set(strip, get(w)),
    set(last, subtract(get(count), number(pixels))),
    repeatWhile(
      less(get(channel), get(width)),
      set(pixel, number(0)),
      repeatWhile(
        less(get(pixel), get(count)),
        when(less(get(last), get(pixel)), set(pixel, get(last))), // the last pixels may be computed twice
        set(base, add(get(x), multiply(get(pixel), get(xNext)))),
        sums.flat().map((sum) => set(sum, four(0))),
        set(weight, get(strip)),
        set(tap, number(0)),
        repeatWhile(
          less(get(tap), get(taps)),
          from.map((one, at) => set(one, at ? add(get(from[at - 1]), get(xNext)) : get(base))),
          set(end, add(get(base), get(length))),
          repeatWhile(
            less(get(from[0]), get(end)),
            weights.map((one, at) => set(one, load(get(weight), VECTOR * at))),
            sums.map((those, at) => [
              set(one, loadSplat(get(from[at]))),
              those.map((sum, which) => set(sum, multiplyAdd(get(one), get(weights[which]), get(sum)))),
            ]),
            from.map((one) => step(one, 4)),
            step(weight, VECTOR * vectors),
          ),
          step(base, get(xRow)),
          step(tap, 1),
        ),
        set(to, add(add(get(out), get(channel)), multiply(get(pixel), get(outNext)))),
        sums.map((those) => [
          those.map((sum, which) => store(get(to), get(sum), VECTOR * which)),
          step(to, get(outNext)),
        ]),
        step(pixel, pixels),
      ),
      set(strip, get(weight)),
      step(channel, VECTOR * vectors),
    ),
  ];
}];

// Winograd's F(4 x 4, 3 x 3), Lavin & Gray 2015, https://arxiv.org/abs/1509.09308, equation 15, along one side
const gathered = ([a, b, c, d, e, f]) => {
  const [even, odd] = [minus(e, times(four(4), c)), minus(d, times(four(4), b))];
  const [near, far] = [minus(e, c), times(four(2), minus(d, b))];
  return [
    plus(minus(times(four(4), a), times(four(5), c)), e), plus(even, odd), minus(even, odd), plus(near, far), minus(near, far),
    plus(minus(times(four(4), b), times(four(5), d)), f),
  ];
};
const spread = ([a, b, c, d, e, f]) => {
  const [inner, outer, left, right] = [plus(b, c), plus(d, e), minus(b, c), minus(d, e)];
  return [
    plus(plus(a, inner), outer), plus(left, times(four(2), right)), plus(inner, times(four(4), outer)),
    plus(plus(left, times(four(8), right)), f),
  ];
};
// A tile from both sides: its columns are read, 6 of them, and the lines that come of them are written
const sandwich = (along, lines, v128, scratch, read, write) => {
  const values = repeat(6, v128);
  const place = (line, column) => VECTOR * (6 * line + column);
  return [
    repeat(6, (column) => [
      read(values, column),
      along(values.map(get)).map((value, line) => store(get(scratch), value, place(line, column))),
    ]),
    repeat(lines, (line) => [
      values.map((value, column) => set(value, load(get(scratch), place(line, column)))),
      write(along(values.map(get)), line),
    ]),
  ];
};
// A row of tiles of 6 x 6 pixels, each 4 after the last -> 36 planes, `plane` apart, with a pixel of each tile
const gather = [7, ({ i32, v128 }) => {
  const [x, xRow, width, out, plane, tiles, scratch] = repeat(7, (at) => at);
  const [tile, channel, from, to] = repeat(4, i32);
  const read = (values, column) => [
    set(from, add(add(get(x), get(channel)), multiply(get(width), number(column)))),
    values.map((value) => [set(value, load(get(from))), step(from, get(xRow))]),
  ];
  const write = (values) => values.map((value) => [store(get(to), value), step(to, get(plane))]);
  return repeatWhile(
    less(get(tile), get(tiles)),
    set(channel, number(0)),
    repeatWhile(
      less(get(channel), get(width)),
      set(to, add(get(out), get(channel))),
      sandwich(gathered, 6, v128, scratch, read, write),
      step(channel, VECTOR),
    ),
    step(x, multiply(get(width), number(TILE))),
    step(out, get(width)),
    step(tile, 1),
  );
}];
// And back: 36 planes -> a row of tiles of 4 x 4 pixels
const scatter = [7, ({ i32, v128 }) => {
  const [x, plane, width, out, outRow, tiles, scratch] = repeat(7, (at) => at);
  const [tile, channel, from, to] = repeat(4, i32);
  const read = (values, column) => [
    set(from, add(add(get(x), get(channel)), multiply(get(plane), number(column)))),
    values.map((value) => [set(value, load(get(from))), step(from, multiply(get(plane), number(6)))]),
  ];
  const write = (values, line) => [
    set(to, add(add(get(out), get(channel)), multiply(get(outRow), number(line)))),
    values.map((value) => [store(get(to), value), step(to, get(width))]),
  ];
  return repeatWhile(
    less(get(tile), get(tiles)),
    set(channel, number(0)),
    repeatWhile(
      less(get(channel), get(width)),
      sandwich(spread, TILE, v128, scratch, read, write),
      step(channel, VECTOR),
    ),
    step(x, get(width)),
    step(out, multiply(get(width), number(TILE))),
    step(tile, 1),
  );
}];

// The sums of each channel over a row of pixels, and those of the squares behind them
const sums = [4, ({ i32, v128 }) => {
  const [x, count, width, out] = repeat(4, (at) => at);
  const [channel, from, pixel] = repeat(3, i32);
  const [value, sum, squares] = repeat(3, v128);
  return repeatWhile(
    less(get(channel), get(width)),
    set(from, add(get(x), get(channel))),
    set(sum, four(0)),
    set(squares, four(0)),
    set(pixel, number(0)),
    repeatWhile(
      less(get(pixel), get(count)),
      set(value, load(get(from))),
      set(sum, plus(get(sum), get(value))),
      set(squares, plus(get(squares), times(get(value), get(value)))),
      step(from, get(width)),
      step(pixel, 1),
    ),
    store(get(out), get(sum)),
    store(add(get(out), get(width)), get(squares)),
    step(out, VECTOR),
    step(channel, VECTOR),
  );
}];
// x * factors + summands of each channel of a row of pixels, perhaps the larger of that and 0, and what is added then
const change = (relu, added) => [7, ({ i32 }) => {
  const [x, count, width, factors, summands, out, addend] = repeat(7, (at) => at);
  const [pixel, channel] = repeat(2, i32);
  const at = (start) => add(get(start), get(channel));
  const changed = plus(times(load(at(x)), load(at(factors))), load(at(summands)));
  const positive = relu ? larger(changed, four(0)) : changed;
  return repeatWhile(
    less(get(pixel), get(count)),
    set(channel, number(0)),
    repeatWhile(
      less(get(channel), get(width)),
      store(at(out), added ? plus(positive, load(at(addend))) : positive),
      step(channel, VECTOR),
    ),
    [x, out, ...(added ? [addend] : [])].map((start) => step(start, get(width))),
    step(pixel, 1),
  );
}];

// fuse: whether the browser has relaxed SIMD
const all = (fuse) => ({
  ...Object.fromEntries([1, 2, 3, 4].flatMap((vectors) => [
    [`row${vectors}`, row(fuse, PIXELS[vectors], vectors)], [`few${vectors}`, row(fuse, 1, vectors)],
  ])),
  gather, scatter, sums,
  change: change(false, false), changeAdd: change(false, true), relu: change(true, false), reluAdd: change(true, true),
  copy: [3, () => copy(...repeat(3, get))],
});
// shared: whether the memory is that of several threads
export const compile = (shared) => {
  for (const fuse of [true, false]) {
    const code = assemble(all(fuse), shared, PAGES);
    if (WebAssembly.validate(code)) return new WebAssembly.Module(code);
  }
  throw new Error("This browser has no WebAssembly SIMD.");
};
