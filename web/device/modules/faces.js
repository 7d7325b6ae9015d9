// Finds faces with the server's finder, and takes what is converted out of a picture. See cyclegan/faces.py, step by step.

import { crop, cut, CUBIC, LINEAR, resize, round, toGrey } from "./pixels.js";

export const SEARCHED = 192; // the side in pixels of what the finder is given
const STRIDE = 8; // it answers for every square of so many pixels
const CELLS = SEARCHED / STRIDE;
const [GUESS, SURE] = [0.12, 0.25]; // from 0 to 1: what is worth a second look, and what is a face after it
const CONTEXT = 1.5; // the second look sees this many times the square
const TURNED = 8; // degrees from which on a head is turned upright
const GAP = 3; // a picture is shrunk cheaply to this many times its new size
const LEAST = 4; // pixels of a side
const ENLARGED = 1.125; // times; a square is not made larger than that for the sake of a larger size
export const LARGEST = 1024; // pixels of the shorter side

const radians = (degrees) => (degrees * Math.PI) / 180;
const between = (least, value, most) => Math.max(least, Math.min(value, most));

// The faces in a grey picture whose longer side is SEARCHED, the surest first. run: values -> the finder's answer
const search = async ({ width, height, data }, run) => {
  const values = Float32Array.from(data);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  const field = new Float32Array(SEARCHED ** 2);
  const [left, top] = [width, height].map((side) => Math.floor((SEARCHED - side) / 2));
  for (let at = 0; at < values.length; at++) {
    field[(top + Math.floor(at / width)) * SEARCHED + left + (at % width)] = (values[at] - mean) / (deviation + 2);
  }
  const answer = await run(field);
  const plane = (number) => answer.subarray(number * CELLS ** 2, (number + 1) * CELLS ** 2);
  const [heat, across, down, size, cosine, sine] = [0, 1, 2, 3, 4, 5].map(plane);
  const sure = heat.map((logit) => 1 / (1 + Math.exp(-logit)));
  const faces = [];
  for (const cell of [...sure.keys()].filter((at) => sure[at] >= GUESS).sort((a, b) => sure[b] - sure[a])) {
    const x = ((cell % CELLS) + 0.5 + across[cell]) * STRIDE - left;
    const y = (Math.floor(cell / CELLS) + 0.5 + down[cell]) * STRIDE - top;
    const tilt = (Math.atan2(sine[cell], cosine[cell]) * 180) / Math.PI;
    const face = { x, y, side: 64 * Math.exp(Math.min(size[cell], 2)), tilt, score: sure[cell] };
    if (faces.every((other) => Math.hypot(x - other.x, y - other.y) > 0.5 * Math.max(face.side, other.side))) faces.push(face);
  }
  return faces;
};

// The faces in a picture as { x, y, side, tilt, score }, the largest first. Each is looked at twice
export const findFaces = async (image, run) => {
  const grey = toGrey(image);
  const scale = Math.max(grey.width, grey.height) / SEARCHED;
  const [width, height] = [grey.width, grey.height].map((length) => Math.max(1, round(length / scale)));
  const found = [];
  for (const guess of await search(resize(grey, width, height, LINEAR, 2), run)) {
    const [x, y, side] = [guess.x, guess.y, guess.side].map((length) => length * scale);
    const near = cut(grey, x, y, CONTEXT * side, guess.tilt, SEARCHED);
    const [middle, unit] = [SEARCHED / 2, (CONTEXT * side) / SEARCHED];
    const away = (face) => Math.hypot(face.x - middle, face.y - middle);
    const seen = (await search(near, run)).filter((face) => away(face) < face.side / 2);
    if (!seen.length) continue;
    const again = seen.reduce((a, b) => (away(b) < away(a) ? b : a));
    const score = Math.sqrt(guess.score * again.score);
    if (score < SURE) continue;
    const [right, lower] = [(again.x - middle) * unit, (again.y - middle) * unit];
    const [cosine, sine] = [Math.cos(radians(guess.tilt)), Math.sin(radians(guess.tilt))];
    found.push({ x: x + right * cosine - lower * sine, y: y + right * sine + lower * cosine, side: again.side * unit, tilt: guess.tilt + again.tilt, score });
  }
  return found.sort((a, b) => b.side - a.side);
};

// A square around (x, y), moved into the picture: [left, top, side] in whole pixels
const fitSquare = ({ width, height }, x, y, wanted) => {
  const side = Math.max(1, round(Math.min(wanted, width, height)));
  return [...[[x, width], [y, height]].map(([centre, length]) => round(between(0, centre - side / 2, length - side))), side];
};

// A picture whose shorter side is `size`, or whose longer one is 4 x size if that is less
export const shrink = (image, size) => {
  const { width, height } = image;
  const scale = Math.min(size / Math.min(width, height), (4 * size) / Math.max(width, height));
  return resize(image, ...[width, height].map((side) => Math.max(LEAST, round(side * scale))), CUBIC, GAP);
};

// size: of several, the largest one that `side` pixels are enough for, or the smallest
const fitSize = (size, side) => {
  if (!Array.isArray(size)) return size;
  return Math.max(Math.min(...size), ...size.filter((one) => one <= ENLARGED * side));
};

const room = (tilt) => Math.abs(Math.cos(radians(tilt))) + Math.abs(Math.sin(radians(tilt)));

const takeSquare = (image, [x, y, length], tilt, wanted) => {
  const square = fitSquare(image, x + length / 2, y + length / 2, length);
  const [left, top, side] = square;
  const size = fitSize(wanted, side);
  const given = shrink(crop(image, left, top, side, side), size);
  if (Math.abs(tilt) < TURNED) return { image: given, given, square, tilt: 0 };
  const wide = room(tilt);
  const upright = cut(image, left + side / 2, top + side / 2, side * wide, tilt, round(size * wide));
  return { image: upright, given, square, tilt };
};

// What of a picture is converted. framing: "face", the largest; "faces", all of them; "middle"; "whole"; or what was
// taken before or is wanted, as [{ square, tilt }, ...]. size: the shorter side in pixels, or several to choose from
// Returns whether a face was found; the squares of all faces; and frames: of each the image at the working size, upright;
// `given`, the same as it is in the picture; the square, or null for the whole; and the tilt in degrees
export const frame = async (image, framing, size, run) => {
  if (framing === "whole") {
    const whole = shrink(image, fitSize(size, Math.min(image.width, image.height)));
    return { found: true, faces: [], frames: [{ image: whole, given: whole, square: null, tilt: 0 }] };
  }
  let taken = framing;
  let faces = [];
  if (typeof framing === "string") {
    const { width, height } = image;
    const side = Math.min(width, height);
    if (framing !== "middle") faces = await findFaces(image, run);
    faces = faces.map((face) => ({ square: fitSquare(image, face.x, face.y, face.side), tilt: face.tilt }));
    taken = faces.length ? faces : [{ square: [(width - side) / 2, (height - side) / 2, side] }];
    if (framing === "face") taken = taken.slice(0, 1);
  }
  return {
    found: framing === "middle" || typeof framing !== "string" || faces.length > 0,
    faces: faces.map(({ square }) => square),
    frames: taken.map(({ square, tilt = 0 }) => takeSquare(image, square, tilt, size)),
  };
};

// What was made of an upright image -> the same for the square, tilted as the head was
export const turnBack = (result, tilt) => {
  if (!tilt) return result;
  const size = round(result.width / room(tilt));
  return cut(result, result.width / 2, result.height / 2, size, -tilt, size);
};
