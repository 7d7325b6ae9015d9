// Large files of the release: fetched once, checked, kept for the next visit, and unpacked.

// What went wrong, as the name of a sentence in the texts
export class Problem extends Error {
  constructor(name, detail = "") {
    super(`${name} ${detail}`);
    this.key = name;
    this.detail = detail;
  }
}

const open = () => globalThis.caches?.open("models").catch(() => null); // not on plain http, nor in some private windows

const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));

// progress: is told the bytes that arrived
const read = async (response, progress) => {
  const parts = [];
  let total = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    parts.push(value);
    total += value.length;
    progress(total);
  }
};

// file: { name, bytes, sha256 } of the manifest; base: where the page lies. Returns the unpacked bytes
export const load = async (file, base, progress = () => {}) => {
  if (!globalThis.DecompressionStream) throw new Problem("old_browser");
  const url = new URL(file.name, base);
  const cache = await open();
  const kept = await cache?.match(url);
  let blob;
  try {
    const response = kept ?? await fetch(url);
    if (!response.ok) throw new Problem("missing", `${file.name}: ${response.status}`);
    blob = await read(response, progress);
  } catch (error) {
    throw error instanceof Problem ? error : new Problem("cut_off", file.name);
  }
  const packed = await blob.arrayBuffer();
  const digest = globalThis.crypto?.subtle && base64(await crypto.subtle.digest("SHA-256", packed));
  if (packed.byteLength < file.bytes || (digest && digest !== file.sha256)) {
    await cache?.delete(url);
    throw new Problem(packed.byteLength < file.bytes ? "cut_off" : "wrong_hash", file.name);
  }
  if (!kept) await cache?.put(url, new Response(blob)).catch(() => {}); // the disk may be full
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
};

// Forget files of older releases. names: those of this one
export const tidy = async (names, base) => {
  const cache = await open();
  const wanted = new Set(names.map((name) => new URL(name, base).href));
  for (const request of (await cache?.keys()) ?? []) if (!wanted.has(request.url)) await cache.delete(request);
};
