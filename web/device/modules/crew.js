// The threads that compute the networks, and the memory that they share. This one is the first of them.

import { compile } from "./kernels.js";
import { createMemory, FLOAT, RESERVED, reserve } from "./memory.js";
import { plan } from "./networks.js";
import { Thread } from "./thread.js";
import { packFinder, packGenerator, readTensors } from "./weights.js";

export class Crew {
  // threads: more than one only where the browser lets them share memory
  static async start(threads) {
    const crew = new Crew();
    const module = compile(threads > 1);
    crew.memory = createMemory(threads > 1);
    crew.helpers = await Promise.all(Array.from({ length: threads - 1 }, (_, at) => new Promise((done, failed) => {
      const worker = new Worker(new URL("helper.js", import.meta.url), { type: "module" });
      worker.onmessage = () => done(worker);
      worker.onerror = (event) => {
        event.preventDefault(); // or the page would hear it too
        failed(new Error(event.message ?? "A thread did not start."));
      };
      worker.postMessage({ memory: crew.memory, module, index: at + 1, count: threads });
    })));
    crew.thread = new Thread(crew.memory, module, 0, threads);
    crew.loaded = 0; // networks
    crew.top = RESERVED; // where the next network's weights go; what is computed lies behind the last one's
    return crew;
  }

  // file: safetensors. about: what the manifest says of a generator; the finder has nothing to say
  load(file, about) {
    const tensors = readTensors(file);
    const network = (about ? packGenerator : packFinder)(this.memory, tensors, this.top, about);
    network.number = this.loaded++;
    this.top = network.end;
    for (const helper of this.helpers) helper.postMessage({ network });
    return { network, about, condition: tensors["condition.weight"] };
  }

  // values: (channels, high, wide) of a picture, or of a large one's half and then of itself -> of each { data, dims }:
  // (1, 3, high, wide), or what the finder finds
  run({ network, about, condition }, values, shapes, given) {
    const change = condition && given ? changes(condition, given, about.changed) : [];
    const task = { number: network.number, start: this.top, shapes, change };
    const { inputs, pictures, compute, results, end } = plan(this.thread, network, task);
    reserve(this.memory, end);
    this.thread.look();
    const floats = new Float32Array(this.memory.buffer);
    for (const { start, bytes, cleared } of pictures) if (cleared) floats.fill(0, start / FLOAT, (start + bytes) / FLOAT);
    for (const [at, input] of inputs.entries()) {
      put(floats, input, values[at], about?.fold ?? 1);
      for (let y = 0; y < input.high; y++) this.thread.surround(input, y);
    }
    for (const helper of this.helpers) helper.postMessage(task);
    compute();
    return results.map((result, at) => {
      if (!about) return take(floats, result, 1, result.channels, new Float32Array(result.channels));
      const [high, wide] = shapes[at];
      const made = take(floats, result, about.fold, about.grey ? 1 : 3, network.bias.head);
      const data = new Float32Array(3 * high * wide);
      for (let place = 0; place < made.data.length; place++) data[place] = Math.tanh(made.data[place]);
      if (about.grey) for (const channel of [1, 2]) data.copyWithin(channel * high * wide, 0, high * wide);
      return { data, dims: [1, 3, high, wide] };
    });
  }
}

// Where a number of (channels, high, wide) lies if squares of fold x fold pixels, one or two, are channels of one
const place = ({ at, row, width }, fold, channel, y, x) => {
  const last = fold - 1;
  return (at + (y >> last) * row + (x >> last) * width) / FLOAT + (channel * fold + (y & last)) * fold + (x & last);
};
const put = (floats, picture, values, fold) => {
  const [high, wide] = [picture.high * fold, picture.wide * fold];
  for (let channel = 0, at = 0; at < values.length; channel++) {
    for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) floats[place(picture, fold, channel, y, x)] = values[at++];
  }
};
const take = (floats, picture, fold, channels, bias) => {
  const [high, wide] = [picture.high * fold, picture.wide * fold];
  const data = new Float32Array(channels * high * wide);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const inside = (channel * fold + (y & (fold - 1))) * fold + (x & (fold - 1));
        data[at++] = floats[place(picture, fold, channel, y, x)] + bias[inside];
      }
    }
  }
  return { data, dims: [1, channels, high, wide] };
};

// What a condition makes of each layer's channels: [factors, summands]
const changes = ({ shape: [rows, columns], values }, given, channels) => {
  const results = Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += values[row * columns + column] * given[column];
    return sum;
  });
  let at = 0;
  return channels.map((count) => {
    const [factors, summands] = [results.slice(at, at + count).map((value) => 1 + value), results.slice(rows / 2 + at, rows / 2 + at + count)];
    at += count;
    return [factors, summands];
  });
};
