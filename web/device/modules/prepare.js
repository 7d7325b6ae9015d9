// Brings a photo or a drawing into the range that the models were trained on. See cyclegan/prepare.py, step by step.

import { blur, BOX, CUBIC, lines, picture, resize, round, toGrey } from "./pixels.js";

const LOOKED_AT = 256; // the longer side in pixels of what is judged
const TILE = 16;
const WINDOW = 0.1; // of the longer side: the paper is the brightest within it
const PRINTED = 0.03; // how much darker than the paper its lines are, from which on they are taken away

// Of a grey picture, as most drawings are, it has one channel: a third of the work
const small = (given) => {
  const image = isGrey(given) ? toGrey(given) : given;
  const { width, height } = image;
  const longer = Math.max(width, height);
  if (longer <= LOOKED_AT) return blur(image, 0.8);
  // The shorter side is the whole number that keeps the shape best
  const shape = Math.min(width, height) / longer;
  const about = LOOKED_AT * shape;
  const fault = (side) => (width < height ? Math.abs(shape - side / LOOKED_AT) : side && Math.abs(1 / shape - LOOKED_AT / side));
  const shorter = Math.max(1, fault(Math.ceil(about)) < fault(Math.floor(about)) ? Math.ceil(about) : Math.floor(about));
  const [wide, high] = width < height ? [shorter, LOOKED_AT] : [LOOKED_AT, shorter];
  return blur(resize(image, wide, high, BOX, 2), 0.8);
};

// Loops, since the typed arrays' own `from` takes twenty times as long
const make = (length, value) => {
  const made = new Float32Array(length);
  for (let at = 0; at < length; at++) made[at] = value(at);
  return made;
};
const sum = (values, value) => {
  let total = 0;
  for (let at = 0; at < values.length; at++) total += value(values[at], at);
  return total;
};
const mean = (values) => sum(values, (value) => value) / values.length;
const share = (values, is) => sum(values, (value, at) => Number(is(value, at))) / values.length;
// Of pixels of three values
const ofEach = (values, value) => make(values.length / 3, (at) => value(values[3 * at], values[3 * at + 1], values[3 * at + 2]));
const greyOf = ({ channels, data }) => (channels === 1 ? new Float32Array(data) : ofEach(data, (red, green, blue) => 0.299 * red + 0.587 * green + 0.114 * blue));
const spread = (values) => ofEach(values, (red, green, blue) => Math.max(red, green, blue) - Math.min(red, green, blue));
const largest = (values) => ofEach(values, (red, green, blue) => Math.max(red, green, blue));
const channel = (values, number, of = 3) => make(values.length / of, (at) => values[of * at + number]);
const between = (least, value, most) => Math.max(least, Math.min(value, most));

// The value that has so many smaller ones; all before it are then no larger, all behind no smaller
const select = (values, place) => {
  let [first, last] = [0, values.length - 1];
  while (first < last) {
    const pivot = values[(first + last) >> 1];
    let [low, high] = [first, last];
    while (low <= high) {
      while (values[low] < pivot) low++;
      while (values[high] > pivot) high--;
      if (low <= high) {
        const one = values[low];
        values[low++] = values[high];
        values[high--] = one;
      }
    }
    if (place <= high) last = high;
    else if (place >= low) first = low;
    else break;
  }
  return values[place];
};
const percentiles = (given, ...wanted) => {
  const values = new Float32Array(given);
  return wanted.map((percent) => {
    const place = (percent / 100) * (values.length - 1);
    const [below, above] = [Math.floor(place), Math.ceil(place)].map((at) => select(values, at));
    return below + (place - Math.floor(place)) * (above - below);
  });
};

// The mean and the deviation of each whole tile
const tiles = (values, { width, height }) => {
  const size = Math.min(TILE, width, height);
  const found = [[], []];
  for (let top = 0; top + size <= height; top += size) {
    for (let left = 0; left + size <= width; left += size) {
      const [middle, deviation] = tile(values, top * width + left, size, width);
      found[0].push(middle);
      found[1].push(deviation);
    }
  }
  return found;
};
const tile = (values, start, size, width) => {
  let total = 0;
  let squares = 0;
  for (let row = 0; row < size; row++) for (let at = start + row * width, end = at + size; at < end; at++) total += values[at];
  const middle = total / (size * size);
  for (let row = 0; row < size; row++) for (let at = start + row * width, end = at + size; at < end; at++) squares += (values[at] - middle) ** 2;
  return [middle, Math.sqrt(squares / (size * size))];
};

// The nearest side of a window that has a middle, at least 3
const odd = (length) => Math.max(3, round((length - 1) / 2) * 2 + 1);

// The largest of each window of an odd side, along the rows and then the columns. sign -1: the smallest.
// By the largest since each block of the window's side began, and until it ends: van Herk 1992, "A Fast Algorithm for Local
// Minimum and Maximum Filters"
const extreme = (values, size, channels, window, sign) => {
  const made = make(values.length, (at) => sign * values[at]);
  for (const down of [false, true]) {
    const [count, side, inner] = lines(size, channels, down);
    const [block, start] = [window * inner, (window >> 1) * inner];
    const length = Math.ceil((side * inner + 2 * start) / block) * block;
    const [line, since, until] = [0, 1, 2].map(() => new Float32Array(length).fill(-Infinity));
    for (let number = 0; number < count; number++) {
      const part = made.subarray(number * side * inner, (number + 1) * side * inner);
      line.set(part, start);
      slide(line, since, until, part, inner, block);
    }
  }
  return sign > 0 ? made : make(made.length, (at) => -made[at]);
};
// The loops alone, for the compiler
const slide = (line, since, until, made, inner, block) => {
  for (let first = 0; first < line.length; first += block) {
    const last = first + block - inner;
    since.set(line.subarray(first, first + inner), first);
    until.set(line.subarray(last, last + inner), last);
    for (let at = first + inner; at < first + block; at++) since[at] = Math.max(since[at - inner], line[at]);
    for (let at = last - 1; at >= first; at--) until[at] = Math.max(until[at + inner], line[at]);
  }
  for (let at = 0; at < made.length; at++) made[at] = Math.max(until[at], since[at + block - inner]);
};

// Takes away what is dark and thinner than the window
const closing = (values, size, channels, window) =>
  extreme(extreme(values, size, channels, window, 1), size, channels, window, -1);

// The colour of the paper under each pixel, never below half of the brightest there is
const paperOf = (image) => {
  const { channels } = image;
  const paper = closing(image.data, image, channels, odd(WINDOW * Math.max(image.width, image.height)));
  const least = Array.from({ length: channels }, (_, number) => percentiles(channel(paper, number, channels), 95)[0] / 2);
  const whole = picture(image.width, image.height, channels);
  for (let at = 0; at < paper.length; at++) whole.data[at] = Math.floor(Math.max(paper[at], least[at % channels]));
  return blur(whole, 2);
};

const isGrey = ({ data }) => {
  for (let at = 0; at < data.length; at += 3) if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  return true;
};

// How bright each pixel is beside its paper: 1 for paper. The 4 keep the noise of black out of it
const toPaper = (image, paper) =>
  greyOf({ ...image, data: make(image.data.length, (at) => (image.data[at] + 4) / (paper.data[at] + 4)) });

// Whether light and thin strokes lie on dark ground
const isNegative = (image) => {
  const grey = image.channels === 1 ? image : toGrey(image);
  const [low, middle, high] = percentiles(grey.data, 5, 50, 99);
  if (!(middle < 110 && high - middle > Math.max(60, 2 * (middle - low)))) return false;
  const thick = extreme(grey.data, grey, 1, odd(0.05 * Math.max(grey.width, grey.height)), -1);
  return share(thick, (value) => value > (middle + high) / 2) < 0.01;
};

const nothingOn = (ratio) => share(ratio, (value) => value < 0.9) < 4e-4;

// How much darker its lines are, on squared or lined paper: what is dark in the emptiest tenth of a side by a tenth
const printedOn = (ratio, { width, height }) => {
  const size = Math.max(1, Math.trunc(Math.max(width, height) / 10));
  const found = [];
  for (let top = 0; top + size <= height; top += size) {
    for (let left = 0; left + size <= width; left += size) {
      const [darkest, middle] = percentiles(
        make(size * size, (at) => ratio[(top + Math.trunc(at / size)) * width + left + (at % size)]), 1, 50);
      found.push(middle - darkest);
    }
  }
  return found.length ? Math.min(...found) : 0;
};

// What a picture is: "drawing", "photo" or "blank", which is a page or a wall with nothing on it
const judge = (image, ratio, negative) => {
  if (nothingOn(ratio)) return "blank";
  if (negative) return "drawing";
  const [means, deviations] = tiles(ratio, image);
  if (share(means, (value, at) => value < 0.9 && deviations[at] < 0.06) > 0.1) return "photo"; // skin and walls
  if (image.channels === 1) return "drawing";
  const [red, green, blue] = [0, 1, 2].map((number) => tiles(channel(image.data, number), image));
  const smooth = green[0].flatMap((value, at) => (value < 215 && green[1][at] < 12 ? [at] : []));
  const hues = smooth.map((at) => (red[0][at] - blue[0][at]) / (red[0][at] + green[0][at] + blue[0][at] + 1));
  const middle = mean(hues);
  const deviation = Math.sqrt(mean(hues.map((hue) => (hue - middle) ** 2)));
  return smooth.length / green[0].length > 0.2 && deviation > 0.03 ? "photo" : "drawing";
};

// A drawing -> grey strokes on white paper; a good one comes back as it is
const prepareSketch = (image, looked, paper, ratio, negative) => {
  if (negative) {
    [image, looked] = [image, looked].map((one) => ({ ...one, data: one.data.map((value) => 255 - value) }));
    paper = paperOf(looked);
  }
  const grey = greyOf(looked);
  const [means, deviations] = tiles(grey, looked);
  const [darkest, bright] = percentiles(grey, 1, 90);
  const uneven = share(means, (value, at) => deviations[at] < 6 && value < 205) > 0.01 || bright < 215;
  const colourful = looked.channels > 1 && mean(spread(looked.data)) > 5;
  const printed = printedOn(ratio, looked) > PRINTED;
  if (!(negative || uneven || colourful || darkest > 190 || printed)) return image;
  const { channels, data } = resize(paper, image.width, image.height, CUBIC);
  const under = channels === 1 ? (at) => data[Math.trunc(at / 3)] : (at) => data[at];
  const ink = make(image.data.length, (at) => between(0, (image.data[at] / Math.max(under(at), 1)) * 1.03, 1));
  // Where it is coloured in, the fill is a light tone, and strokes are what is darker than the fill around them
  const fill = closing(ink, image, 3, odd(Math.max(image.width, image.height) / 60));
  const [fills, inks, tones, tops] = [spread(fill), spread(ink), largest(fill), largest(ink)];
  const greys = greyOf({ channels: 3, data: ink });
  const strokes = make(greys.length, (at) => {
    const colour = between(0, fills[at] * 4 + inks[at] * 2, 1);
    const light = between(0, tops[at] / Math.max(tones[at], 0.05), 1) * (0.75 + 0.25 * tones[at]);
    return greys[at] * (1 - colour) + light * colour;
  });
  if (printed) {
    const rules = Math.min(2 * printedOn(strokes, image), 0.5); // elsewhere they are somewhat darker
    for (let at = 0; at < strokes.length; at++) strokes[at] = 1 - Math.max(1 - strokes[at] - rules, 0) / (1 - rules);
  }
  const [low] = percentiles(strokes, 1);
  const darker = between(1, 0.75 / Math.max(1 - low, 0.01), 3);
  const made = picture(image.width, image.height, 3);
  for (let at = 0; at < made.data.length; at++) made.data[at] = between(0, 1 - (1 - strokes[Math.trunc(at / 3)]) * darker, 1) * 250;
  return made;
};

// A very dark or faded photo -> a normal range of light; any other comes back as it is
const preparePhoto = (image, looked) => {
  const [low, high] = percentiles(greyOf(looked), 1, 99);
  if (!(high - low > 6 && high - low < 90)) return image;
  const noisy = (90 - high + low) / 80; // what is brightened much shows the camera's noise
  const smooth = blur(image, (Math.max(image.width, image.height) / 256) * noisy);
  for (let at = 0; at < smooth.data.length; at++) smooth.data[at] = between(0, (smooth.data[at] - low) / (high - low), 1) * 225 + 10;
  return smooth;
};

// source: "photo" or "sketch". Returns the picture to convert, and what it is; of a photo only whether it is blank
export const prepare = (image, source) => {
  const looked = small(image);
  let made;
  if (source === "sketch") {
    const paper = paperOf(looked);
    const [ratio, negative] = [toPaper(looked, paper), isNegative(looked)];
    const kind = judge(looked, ratio, negative);
    if (kind !== "drawing") return { image, kind };
    made = prepareSketch(image, looked, paper, ratio, negative);
  } else made = preparePhoto(image, looked);
  const result = made === image ? looked : small(made);
  const blank = (source === "photo" || made !== image) && nothingOn(toPaper(result, paperOf(result)));
  return { image: made, kind: blank ? "blank" : source === "sketch" ? "drawing" : "photo" };
};
