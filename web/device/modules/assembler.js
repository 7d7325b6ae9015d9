// A small assembler of WebAssembly: what the kernels need, as functions that give bytes in nested arrays.
// https://webassembly.github.io/spec/core/binary

const I32 = 0x7f;
const V128 = 0x7b;
const VOID = 0x40;

const leb = (value) => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]);
const signed = (value) => (value >= -64 && value < 64 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]);
const list = (items) => [leb(items.length), items];
const section = (id, content) => {
  const bytes = content.flat(Infinity);
  return [id, leb(bytes.length), bytes];
};
const vector = (code) => [0xfd, leb(code)];
const memory = (code, offset) => [vector(code), 2, leb(offset)]; // 2: aligned to 4 bytes

export const number = (value) => [0x41, signed(value)];
export const get = (local) => [0x20, leb(local)];
export const set = (local, value) => [value, 0x21, leb(local)];
export const add = (a, b) => [a, b, 0x6a];
export const subtract = (a, b) => [a, b, 0x6b];
export const multiply = (a, b) => [a, b, 0x6c];
export const less = (a, b) => [a, b, 0x49]; // unsigned
export const step = (local, by) => set(local, add(get(local), typeof by === "number" ? number(by) : by));
export const repeatWhile = (condition, ...body) => [0x03, VOID, body, condition, 0x0d, 0, 0x0b];
export const when = (condition, ...body) => [condition, 0x04, VOID, body, 0x0b];
export const copy = (to, from, bytes) => [to, from, bytes, 0xfc, 10, 0, 0];

export const load = (address, offset = 0) => [address, memory(0, offset)];
export const loadSplat = (address, offset = 0) => [address, memory(9, offset)]; // one number, four times
export const store = (address, value, offset = 0) => [address, value, memory(11, offset)];
export const four = (value) => [vector(12), Array(4).fill([...new Uint8Array(Float32Array.of(value).buffer)])];
export const plus = (a, b) => [a, b, vector(0xe4)];
export const minus = (a, b) => [a, b, vector(0xe5)];
export const times = (a, b) => [a, b, vector(0xe6)];
export const larger = (a, b) => [a, b, vector(0xe9)];
export const fused = (a, b, c) => [a, b, c, vector(0x105)]; // a b + c, in one operation where the processor has it

// functions: {name: [number of parameters, (body) => code]}; body.i32() and body.v128() give new locals. All parameters
// are 32-bit integers. The memory is imported, shared with other threads or not
export const assemble = (functions, shared, pages) => {
  const made = Object.entries(functions).map(([name, [parameters, write]]) => {
    const locals = [];
    const declare = (type) => () => parameters + locals.push([1, type]) - 1;
    const code = write({ i32: declare(I32), v128: declare(V128) });
    const bytes = [list(locals), code, 0x0b].flat(Infinity);
    return { name, type: [0x60, list(Array(parameters).fill(I32)), 0], code: [leb(bytes.length), bytes] };
  });
  const text = (words) => list([...new TextEncoder().encode(words)]);
  return Uint8Array.from([
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, list(made.map(({ type }) => type))),
    section(2, list([[text("of"), text("memory"), 2, shared ? 3 : 1, leb(1), leb(pages)]])),
    section(3, list(made.map((_, at) => leb(at)))),
    section(7, list(made.map(({ name }, at) => [text(name), 0, leb(at)]))),
    section(10, list(made.map(({ code }) => code))),
  ].flat(Infinity));
};
