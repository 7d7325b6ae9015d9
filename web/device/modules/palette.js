// Reads the colours of a face from a framed photo. See cyclegan/palette.py, step by step.

import { LINEAR } from "./pixels.js";

const SIZE = 64; // pixels: the side at which colours are read
// Where to look, in pixels of that side: top, bottom, left, right
const PLACES = [[0.50, 0.64, 0.36, 0.64], [0.04, 0.22, 0.30, 0.70], [0.18, 0.40, 0.18, 0.30], [0.18, 0.40, 0.70, 0.82],
  [0.0, 0.40, 0.0, 0.12], [0.0, 0.40, 0.88, 1.0], [0.0, 0.05, 0.0, 0.25], [0.0, 0.05, 0.75, 1.0]]
  .map((box) => box.map((share) => Math.round(SIZE * share)));
const NEAR = 0.3; // in [-1, 1]: how far from the middle of a colour its shades lie
const FEW = 0.08; // the share of its places that must look like hair

const within = ([top, bottom, left, right]) => (at) => {
  const [row, column] = [Math.trunc(at / SIZE), at % SIZE];
  return row >= top && row < bottom && column >= left && column < right;
};
const all = Array.from({ length: SIZE ** 2 }, (_, at) => at);
const placesOf = (boxes) => all.filter((at) => boxes.some((box) => within(box)(at)));
const [CHEEKS, CROWN, CORNERS] = [PLACES.slice(0, 1), PLACES.slice(1, 4), PLACES.slice(4)].map(placesOf);

// One side of (outer, side, inner) becomes SIZE, without rounding
const shorten = (values, outer, side, inner) => {
  const [reach, filter] = LINEAR;
  const scale = side / SIZE;
  const wide = Math.max(scale, 1);
  const made = new Float64Array(outer * SIZE * inner);
  for (let place = 0; place < SIZE; place++) {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const last = Math.min(side, Math.trunc(centre + reach * wide + 0.5));
    const weights = Array.from({ length: last - first }, (_, at) => filter((first + at - centre + 0.5) / wide));
    const total = weights.reduce((a, b) => a + b, 0);
    for (let line = 0; line < outer; line++) {
      for (const [at, weight] of weights.entries()) {
        for (let value = 0; value < inner; value++) {
          made[(line * SIZE + place) * inner + value] += (weight / total) * values[(line * side + first + at) * inner + value];
        }
      }
    }
  }
  return made;
};

const distance = (colours, at, colour) => Math.hypot(...colour.map((value, channel) => colours[3 * at + channel] - value));

// The prevailing colour of some places
const shade = (colours, places) => {
  let colour = [0, 1, 2].map((channel) => {
    const values = places.map((at) => colours[3 * at + channel]).sort((a, b) => a - b);
    return values[Math.ceil(values.length / 2) - 1] ?? 0;
  });
  for (let step = 0; step < 3; step++) {
    const weights = places.map((at) => Math.exp(-((distance(colours, at, colour) / NEAR) ** 2)));
    const total = Math.max(1e-6, weights.reduce((a, b) => a + b, 0));
    colour = colour.map((_, channel) => places.reduce((sum, at, number) => sum + weights[number] * colours[3 * at + channel], 0) / total);
  }
  return colour;
};

// Returns of skin, hair and background red, green and blue in [-1, 1] and 1, or four zeros where it is not clear
export const readPalette = ({ width, height, data }) => {
  const colours = shorten(shorten(data, height, width, 3), 1, height, 3 * SIZE).map((value) => value / 127.5 - 1);
  const [skin, background] = [shade(colours, CHEEKS), shade(colours, CORNERS)];
  const locks = CROWN.filter((at) => distance(colours, at, skin) > NEAR && distance(colours, at, background) > NEAR);
  return [[skin, CHEEKS, CHEEKS], [shade(colours, locks), locks, CROWN], [background, CORNERS, CORNERS]].flatMap(
    ([colour, counted, searched]) => (counted.length >= Math.max(FEW * searched.length, SIZE / 4) ? [...colour, 1] : [0, 0, 0, 0]),
  );
};
