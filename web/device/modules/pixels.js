// What the server does with pixels by Pillow, step by step, so that the answers are the same.
// A picture here is { width, height, channels, data }: rows of pixels of 1 or 3 values from 0 to 255.

export const picture = (width, height, channels, data = new Uint8ClampedArray(width * height * channels)) =>
  ({ width, height, channels, data });

const FIXED = 2 ** 22; // Pillow weighs pixels in whole numbers of this part of 1

// As Python rounds: halves to the even number
export const round = (value) => {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + Math.abs(below % 2) : Math.round(value);
};

export const fromImage = ({ width, height, data }) => {
  const made = picture(width, height, 3);
  for (let from = 0, at = 0; at < made.data.length; from += 4, at += 3) {
    made.data[at] = data[from];
    made.data[at + 1] = data[from + 1];
    made.data[at + 2] = data[from + 2];
  }
  return made;
};

export const toImage = ({ width, height, channels, data }) => {
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = data[channels * at + Math.min(channel, channels - 1)];
    image.data[4 * at + 3] = 255;
  }
  return image;
};

// RGB, also with a fourth value that does not count, as in ImageData -> grey
export const toGrey = ({ width, height, data }) => {
  const made = picture(width, height, 1);
  const step = data.length / made.data.length;
  for (let from = 0, at = 0; at < made.data.length; from += step, at++) {
    made.data[at] = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 0x8000) >> 16;
  }
  return made;
};

export const crop = ({ width, channels, data }, left, top, wide, high) => {
  const made = picture(wide, high, channels);
  for (let row = 0; row < high; row++) {
    const from = ((top + row) * width + left) * channels;
    made.data.set(data.subarray(from, from + wide * channels), row * wide * channels);
  }
  return made;
};

// What Pillow multiplies a sum by, in place of dividing it. It is cut, so a whole quotient comes out one lower
const share = (count) => Math.trunc(Math.fround(2 ** 24 / count));

// Every fx x fy pixels become their mean; at the right and below there may be fewer
export const reduce = (given, fx, fy) => {
  if (fx === 1 && fy === 1) return given;
  const { width, height, channels, data } = given;
  const made = picture(Math.ceil(width / fx), Math.ceil(height / fy), channels);
  const sums = new Float64Array(made.width * channels);
  for (let row = 0; row < made.height; row++) {
    const end = Math.min(height, (row + 1) * fy);
    sums.fill(0);
    for (let y = row * fy; y < end; y++) {
      for (let x = 0, from = y * width * channels; x < width; x++) {
        const at = Math.trunc(x / fx) * channels;
        for (let channel = 0; channel < channels; channel++) sums[at + channel] += data[from++];
      }
    }
    for (let at = 0; at < sums.length; at++) {
      const x = Math.trunc(at / channels) * fx;
      const count = (end - row * fy) * (Math.min(width, x + fx) - x);
      made.data[row * sums.length + at] = Math.floor(((sums[at] + Math.trunc(count / 2)) * share(count)) / 2 ** 24);
    }
  }
  return made;
};

// How far a filter reaches, and what it weighs there
export const BOX = [0.5, (x) => Number(x > -0.5 && x <= 0.5)];
export const LINEAR = [1, (x) => Math.max(0, 1 - Math.abs(x))];
export const CUBIC = [2, (x) => {
  const away = Math.abs(x);
  if (away < 1) return (1.5 * away - 2.5) * away * away + 1;
  return away < 2 ? ((-0.5 * away + 2.5) * away - 4) * away + 2 : 0;
}];

// Along the rows, or the columns: so many pixels, which may end in a fraction of 24 bits, become `to`
const stretch = (given, length, to, [reach, filter], down) => {
  const { width, height, channels, data } = given;
  const side = down ? height : width;
  if (side === to && length === to) return given;
  const made = down ? picture(width, to, channels) : picture(to, height, channels);
  const [outer, inner] = down ? [1, width * channels] : [height, channels];
  const scale = Math.fround(length) / to;
  const wide = Math.max(scale, 1);
  const sums = new Float64Array(inner);
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const last = Math.min(side, Math.trunc(centre + reach * wide + 0.5));
    const shares = Array.from({ length: last - first }, (_, at) => filter((first + at - centre + 0.5) * (1 / wide)));
    const total = shares.reduce((a, b) => a + b, 0);
    const weights = shares.map((part) => Math.trunc((part / total) * FIXED + 0.5 * Math.sign(part)));
    for (let line = 0; line < outer; line++) {
      sums.fill(FIXED / 2);
      for (let at = 0; at < weights.length; at++) {
        const weight = weights[at];
        const from = (line * side + first + at) * inner;
        for (let value = 0; value < inner; value++) sums[value] += weight * data[from + value];
      }
      const at = (line * to + place) * inner;
      for (let value = 0; value < inner; value++) made.data[at + value] = Math.floor(sums[value] / FIXED);
    }
  }
  return made;
};

// gap: the picture is first made smaller cheaply, to this many times the new size
export const resize = (given, width, height, filter = CUBIC, gap = Infinity) => {
  const [fx, fy] = [given.width / width, given.height / height].map((scale) => Math.trunc(scale / gap) || 1);
  const wide = stretch(reduce(given, fx, fy), given.width / fx, width, filter, false);
  return stretch(wide, given.height / fy, height, filter, true);
};

// Lines of pixels, along the rows or down the columns: how many there are, the pixels of one, and the values of a pixel.
// All columns are one line, whose pixels are rows, since values that lie together are read faster
export const lines = ({ width, height }, channels, down) => (down ? [1, height, width * channels] : [height, width, channels]);

// Of each pixel the mean over 2 x radius + 1, of which the outermost count in part, along the rows or the columns; beyond
// the edge its pixel goes on
const average = (given, radius, down) => {
  const [count, side, inner] = lines(given, given.channels, down);
  const whole = Math.floor(radius);
  const weight = Math.trunc(Math.fround(2 ** 24 / Math.fround(2 * radius + 1))) / 2 ** 24; // as Pillow cuts it
  const rest = Math.trunc((2 ** 24 * (1 - weight * (2 * whole + 1))) / 2) / 2 ** 24;
  const line = new Uint8Array((side + 2 * whole + 2) * inner);
  for (let number = 0; number < count; number++) {
    const data = given.data.subarray(number * side * inner, (number + 1) * side * inner);
    const start = (whole + 1) * inner;
    line.set(data, start);
    for (let at = 0; at < start; at += inner) {
      line.set(data.subarray(0, inner), at);
      line.set(data.subarray(-inner), start + data.length + at);
    }
    slide(line, data, inner, (2 * whole + 1) * inner, weight, rest);
  }
};
// The loop alone, for the compiler
const slide = (line, data, inner, last, weight, rest) => {
  const sums = new Int32Array(inner);
  for (let at = 0; at < last; at++) sums[at % inner] += line[at];
  for (let start = 0; start < data.length; start += inner) {
    for (let value = 0, at = start; value < inner; value++, at++) {
      sums[value] += line[at + last] - line[at];
      data[at] = (weight * sums[value] + rest * (line[at] + line[at + last + inner]) + 0.5) | 0;
    }
  }
};

// Gaussian blur by three means: Gwosdek et al. 2011, "Theoretical Foundations of Gaussian Convolution by Extended Box
// Filtering"
export const blur = (given, sigma) => {
  const made = { ...given, data: given.data.slice() };
  const variance = Math.fround(Math.fround(sigma) ** 2 / 3);
  const whole = Math.floor((Math.fround(Math.sqrt(12 * variance + 1)) - 1) / 2);
  const part = ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) ** 2));
  for (const down of [false, true]) for (let pass = 0; pass < 3; pass++) average(made, Math.fround(whole + part), down);
  return made;
};

// A square of `size` x `size` around (x, y), `side` wide and tilted by so many degrees in the picture, upright; the
// edges go on where it reaches over them
export const cut = (given, x, y, side, tilt, size) => {
  const scale = size / side;
  const reach = side * (Math.abs(tilt) < 0.01 ? 0.5 : Math.SQRT1_2) + 1 / scale;
  const inside = (value, most) => Math.max(0, Math.min(value, most));
  const left = inside(Math.floor(x - reach), given.width - 1);
  const top = inside(Math.floor(y - reach), given.height - 1);
  const wide = Math.max(Math.min(Math.ceil(x + reach), given.width), 1) - left;
  const high = Math.max(Math.min(Math.ceil(y + reach), given.height), 1) - top;
  let part = crop(given, left, top, wide, high);
  if (scale < 1) part = resize(part, Math.max(1, round(wide * scale)), Math.max(1, round(high * scale)), CUBIC, 2);
  const { width, height, channels, data } = part;
  const [fx, fy] = [width / wide, height / high];
  // So many pixels of the edge go on; places count from there
  const beyond = [Math.max(0, Math.ceil((left - Math.floor(x - reach)) * fx)), Math.max(0, Math.ceil((top - Math.floor(y - reach)) * fy))];
  const [cosine, sine] = [Math.cos, Math.sin].map((wave) => (wave((tilt * Math.PI) / 180) * side) / size);
  const start = [
    (x - left - ((cosine - sine) * size) / 2) * fx + beyond[0],
    (y - top - ((sine + cosine) * size) / 2) * fy + beyond[1],
  ];
  const made = picture(size, size, channels);
  const [from, to] = [[0, 0, 0, 0], [0, 0, 0, 0]];
  const lines = [0, 0, 0, 0];
  for (let row = 0, at = 0; row < size; row++) {
    for (let place = 0; place < size; place++) {
      const across = cosine * fx * (place + 0.5) + -sine * fx * (row + 0.5) + start[0] - 0.5;
      const along = sine * fy * (place + 0.5) + cosine * fy * (row + 0.5) + start[1] - 0.5;
      const [first, above] = [Math.floor(across), Math.floor(along)];
      for (let step = 0; step < 4; step++) {
        from[step] = inside(first - beyond[0] + step - 1, width - 1) * channels;
        to[step] = inside(above - beyond[1] + step - 1, height - 1) * width * channels;
      }
      for (let channel = 0; channel < channels; channel++, at++) {
        for (let line = 0; line < 4; line++) {
          const row = to[line] + channel;
          lines[line] = between(data[row + from[0]], data[row + from[1]], data[row + from[2]], data[row + from[3]], across - first);
        }
        made.data[at] = Math.floor(between(...lines, along - above)); // as Pillow does here: it does not round
      }
    }
  }
  return made;
};
// The value between b and c of four in a row, by a cubic with a = -1 (`resize` has -0.5)
const between = (a, b, c, d, part) => b + part * (c - a + part * (2 * (a - b) + c - d + part * (b - a - c + d)));

// Pictures side by side, in as many rows as columns, each scaled to the first one's size
export const sheet = (pictures) => {
  if (pictures.length === 1) return pictures[0];
  const { width, height } = pictures[0];
  const columns = Math.ceil(Math.sqrt(pictures.length));
  const made = picture(columns * width, Math.ceil(pictures.length / columns) * height, 3);
  made.data.fill(255);
  for (const [number, one] of pictures.entries()) {
    const { data } = resize(one, width, height);
    const [left, top] = [(number % columns) * width, Math.trunc(number / columns) * height];
    for (let row = 0; row < height; row++) {
      made.data.set(data.subarray(3 * width * row, 3 * width * (row + 1)), 3 * ((top + row) * made.width + left));
    }
  }
  return made;
};

const EDGE = 0.2; // of a pasted face's half side, over which it fades into the picture

// Puts what was made of each face into what was made of the whole picture, with soft edges. squares: [left, top, side] each
export const paste = (ground, squares, made) => {
  for (const [number, [left, top, side]] of squares.entries()) {
    const { data } = resize(made[number], side, side);
    const across = Array.from({ length: side }, (_, at) => Math.abs((2 * at) / Math.max(1, side - 1) - 1) ** 4);
    for (let row = 0, from = 0; row < side; row++) {
      for (let place = 0, to = 3 * ((top + row) * ground.width + left); place < side; place++) {
        const inside = Math.max(0, Math.min((1 - (across[row] + across[place]) ** 0.25) / EDGE, 1)); // from a rounded square's edge on
        const share = Math.trunc(255 * inside ** 2 * (3 - 2 * inside));
        for (let channel = 0; channel < 3; channel++, from++, to++) {
          const sum = share * data[from] + (255 - share) * ground.data[to] + 128;
          ground.data[to] = ((sum >> 8) + sum) >> 8;
        }
      }
    }
  }
};
