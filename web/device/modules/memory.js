// The memory that the kernels work in: what each thread needs for itself, the weights, and then what is computed.

import { PAGES, TILE } from "./kernels.js";

export const FLOAT = 4; // bytes
const PAGE = 65536;
const LINE = 64; // of the processor's cache
export const RESERVED = 4 * PAGE; // of the threads

export const createMemory = (shared) => new WebAssembly.Memory({ initial: RESERVED / PAGE, maximum: PAGES, shared });

// Lets the memory reach an address
export const reserve = (memory, end) => {
  const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE);
  if (missing > 0) memory.grow(missing);
};

// Channels are computed four at a time, so there may be some of zeros
export const four = (channels) => Math.ceil(channels / 4) * 4;

// Hands out the memory from an address on
export class Arena {
  constructor(start) { this.top = start; }

  take(bytes) {
    const at = Math.ceil(this.top / LINE) * LINE;
    this.top = at + bytes;
    return at;
  }

  // Room for a picture of whole tiles, with `around` pixels on each side, which are as `edges` says: "reflect", "zero", or
  // "edge", the last pixel again. at: the address of its first pixel; row, width: bytes of a row and of a pixel
  picture([high, wide], channels, around = 0, edges = "zero") {
    const width = FLOAT * four(channels);
    const [rows, columns] = [high, wide].map((side) => Math.ceil(side / TILE) * TILE + 2 * around);
    const row = columns * width;
    const [start, bytes] = [this.take(rows * row), rows * row];
    const cleared = edges === "zero" || high % TILE > 0 || wide % TILE > 0; // what nothing is written to has to be zero
    return { at: start + around * (row + width), row, width, high, wide, around, edges, start, bytes, cleared };
  }
}
