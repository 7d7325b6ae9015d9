// Files -> one zip, stored as they are: PNG is compressed already. The format: PKWARE's APPNOTE.TXT, 4.3.

const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const checksum = (bytes) => {
  let sum = ~0;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
};
const UTF8 = 0x0800; // flag: how names are written
const JANUARY_1980 = 0x21;

export const zip = async (files) => {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(file.name);
    // version, flags, method, time, date, checksum, size twice, length of the name, of more
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true);
    common.setUint16(2, UTF8, true);
    common.setUint16(8, JANUARY_1980, true);
    common.setUint32(10, checksum(bytes), true);
    common.setUint32(14, bytes.length, true);
    common.setUint32(18, bytes.length, true);
    common.setUint16(22, name.length, true);
    const place = new DataView(new ArrayBuffer(14)); // of the comment, disk, attributes: nothing; and the offset
    place.setUint32(10, offset, true);
    directory.push(new Uint8Array([0x50, 0x4b, 1, 2, 20, 0]), common, place, name);
    parts.push(new Uint8Array([0x50, 0x4b, 3, 4]), common, name, bytes);
    offset += 30 + name.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
};
