// A network's tensors, as safetensors has them, brought into the order in which kernels.js reads them.

import { TILE } from "./kernels.js";
import { Arena, FLOAT, four, reserve } from "./memory.js";

const EPSILON = 1e-5; // of torch's batch norm
// Winograd's F(4 x 4, 3 x 3): what the weights are multiplied by from both sides
const WEIGH = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]];

const range = (count) => Array.from({ length: count }, (_, at) => at);

// The 65,536 numbers of 16 bits
const halves = () => {
  const numbers = new Float32Array(65536);
  for (let bits = 0; bits < numbers.length; bits++) {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
    numbers[bits] = bits & 0x8000 ? -size : size;
  }
  return numbers;
};

// https://github.com/huggingface/safetensors#format, in float16 -> {name: {shape, values}}
export const readTensors = (buffer) => {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const numbers = halves();
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([name, { shape, data_offsets: [start, end] }]) => {
    const bits = new Uint16Array(buffer.slice(8 + length + start, 8 + length + end));
    const values = new Float32Array(bits.length);
    for (let at = 0; at < bits.length; at++) values[at] = numbers[bits[at]];
    return [name, { shape, values }];
  }));
};

class Packer {
  constructor(memory, tensors, start) {
    Object.assign(this, { memory, tensors, arena: new Arena(start) });
  }

  // Room for the weights of a convolution: `taps` rows of `columns` numbers for each channel that it computes
  part(taps, columns, channels, top = 0, left = 0) {
    const vectors = [4, 3, 2, 1].find((count) => (channels / 4) % count === 0);
    const at = this.arena.take(FLOAT * taps * columns * channels);
    reserve(this.memory, this.arena.top);
    return { taps, length: FLOAT * columns, at, vectors, width: FLOAT * channels, top, left };
  }

  // The weights of a part, and where the one of a channel, a row and a column is among them
  open({ at, taps, length, vectors, width }) {
    const [columns, strip] = [length / FLOAT, 4 * vectors];
    const values = new Float32Array(this.memory.buffer, at, (taps * columns * width) / FLOAT);
    const place = (channel, tap, column) => {
      const inside = channel % strip;
      return (((channel - inside) / strip) * taps + tap) * columns * strip + column * strip + inside;
    };
    return { values: values.fill(0), place };
  }

  // rows, columns: for each pixel that is read, which of the tensor's it is multiplied by; the sum where there are several
  pixels(name, rows, columns, top, left, transposed = false) {
    const { shape: [first, second, side], values: weights } = this.tensors[name];
    const [outputs, inputs] = transposed ? [second, first] : [first, second];
    const wide = four(inputs);
    const part = this.part(rows.length, columns.length * wide, four(outputs), top, left);
    const { values, place } = this.open(part);
    const add = (tap, column, y, x) => {
      for (let output = 0; output < outputs; output++) {
        for (let input = 0; input < inputs; input++) {
          const pair = transposed ? input * outputs + output : output * inputs + input;
          values[place(output, tap, column * wide + input)] += weights[(pair * side + y) * side + x];
        }
      }
    };
    for (const [tap, ys] of rows.entries()) {
      for (const [column, xs] of columns.entries()) {
        for (const y of ys) for (const x of xs) add(tap, column, y, x);
      }
    }
    return part;
  }

  convolution(name) {
    const side = this.tensors[`${name}.weight`].shape[2];
    const all = range(side).map((at) => [at]);
    const before = -Math.floor(side / 2);
    return [this.pixels(`${name}.weight`, all, all, before, before)];
  }

  // The four pixels that come of one. Of a pixel that is doubled first, several weights meet the same one
  doubled(name, transposed) {
    const lines = transposed ? [[0, [[1]]], [0, [[2], [0]]]] : [[-1, [[0], [1, 2]]], [0, [[0, 1], [2]]]];
    return lines.flatMap(([top, rows]) => lines.map(([left, columns]) => this.pixels(`${name}.weight`, rows, columns, top, left, transposed)));
  }

  // The 36 products of a 3 x 3 convolution
  products(name) {
    const { shape: [outputs, inputs], values: weights } = this.tensors[`${name}.weight`];
    const side = TILE + 2;
    const parts = range(side ** 2).map(() => this.part(1, four(inputs), four(outputs)));
    const opened = parts.map((part) => this.open(part));
    const half = new Float64Array(3 * side);
    for (let output = 0; output < outputs; output++) {
      for (let input = 0; input < inputs; input++) {
        const start = 9 * (output * inputs + input);
        const at = opened[0].place(output, 0, input);
        for (let y = 0; y < side; y++) {
          for (let x = 0; x < 3; x++) {
            half[3 * y + x] = WEIGH[y][0] * weights[start + x] + WEIGH[y][1] * weights[start + 3 + x] + WEIGH[y][2] * weights[start + 6 + x];
          }
          for (let x = 0; x < side; x++) {
            opened[side * y + x].values[at] = half[3 * y] * WEIGH[x][0] + half[3 * y + 1] * WEIGH[x][1] + half[3 * y + 2] * WEIGH[x][2];
          }
        }
      }
    }
    return parts;
  }

  // A number for each channel; none where there is no such tensor
  vector(name) {
    const values = this.tensors[name]?.values ?? [];
    return Float32Array.from({ length: four(values.length) }, (_, at) => values[at] ?? 0);
  }
}

// Brings a generator's tensors into the memory, from an address on -> what networks.js needs
export const packGenerator = (memory, tensors, start, about) => {
  const packer = new Packer(memory, tensors, start);
  const transposed = about.upsample === "transpose";
  const layers = { stem: packer.convolution("layers.stem.0"), head: packer.convolution("layers.head") };
  for (const name of ["down1", "down2"]) layers[name] = packer.convolution(`layers.${name}.0`);
  for (const name of ["up1", "up2"]) layers[name] = packer.doubled(`layers.${name}.${transposed ? 0 : 1}`, transposed);
  layers.blocks = range(about.blocks).map((at) => ["conv1.0", "conv2"].map((name) => packer.products(`layers.block${at + 1}.${name}`)));
  const bias = { stem: packer.vector("layers.stem.0.bias"), head: packer.vector("layers.head.bias") };
  return { kind: "generator", layers, bias, about, end: packer.arena.top };
};

// The finder's batch norms are factors and summands
export const packFinder = (memory, tensors, start) => {
  const packer = new Packer(memory, tensors, start);
  const layers = {};
  for (const name of Object.keys(tensors).filter((one) => tensors[one].shape.length === 4).map((one) => one.replace(".weight", ""))) {
    const norm = name.replace(/0$/, "1");
    const [weight, mean, variance] = ["weight", "running_mean", "running_var"].map((what) => packer.vector(`${norm}.${what}`));
    const bias = packer.vector(`${mean.length ? norm : name}.bias`);
    const factors = bias.map((_, channel) => (mean.length ? weight[channel] / Math.sqrt(variance[channel] + EPSILON) : 1));
    const summands = bias.map((value, channel) => value - (mean.length ? mean[channel] * factors[channel] : 0));
    layers[name] = { parts: packer.convolution(name), given: [factors, summands] };
  }
  return { kind: "finder", layers, end: packer.arena.top };
};
