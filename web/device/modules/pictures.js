// Pictures: files -> bitmaps, the part to convert, canvases -> files, sharing.

import { Problem } from "./files.js";

const MOST = 100e6; // pixels: more than any phone's camera makes
const FACE = 0.6; // a detector's box is this share of the square's width
const LEAST = 4; // pixels of a side

export const open = async (file) => {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright
  } catch {
    throw new Problem("no_picture", file.name ?? "");
  }
  if (Math.min(bitmap.width, bitmap.height) < LEAST || bitmap.width * bitmap.height > MOST) {
    throw new Problem("bad_size", `${file.name ?? ""} ${bitmap.width} x ${bitmap.height}`);
  }
  return bitmap;
};

const inside = (bitmap, x, y, side) => {
  side = Math.max(1, Math.round(Math.min(side, bitmap.width, bitmap.height)));
  const place = (centre, length) => Math.round(Math.min(Math.max(centre - side / 2, 0), length - side));
  return [place(x, bitmap.width), place(y, bitmap.height), side, side];
};

// The part of a bitmap to convert: [left, top, width, height] in pixels, or null where no face is found.
// framing: "face", "middle" or "whole"
export const frame = async (bitmap, framing) => {
  if (framing === "whole") return [0, 0, bitmap.width, bitmap.height];
  if (framing === "face") {
    const faces = await findFaces(bitmap);
    if (!faces.length) return null;
    const { x, y, width, height } = faces.reduce((a, b) => (b.width > a.width ? b : a));
    return inside(bitmap, x + width / 2, y + height / 2, Math.max(width, height) / FACE);
  }
  return inside(bitmap, bitmap.width / 2, bitmap.height / 2, Math.min(bitmap.width, bitmap.height));
};

export const findsFaces = "FaceDetector" in globalThis;
const findFaces = async (bitmap) => {
  try {
    return (await new globalThis.FaceDetector({ fastMode: true }).detect(bitmap)).map((face) => face.boundingBox);
  } catch { // some browsers have the name, and nothing behind it
    return [];
  }
};

// The size at which a part is converted: its shorter side is `size`, or its longer one 4 x size if that is less
export const fit = ([, , width, height], size) => {
  const scale = Math.min(size / Math.min(width, height), (4 * size) / Math.max(width, height));
  return { width: Math.max(LEAST, Math.round(width * scale)), height: Math.max(LEAST, Math.round(height * scale)) };
};

// A part of a bitmap, made smaller by the browser away from the page where it must be
export const cut = (bitmap, part, size) => {
  const { width, height } = fit(part, size);
  return createImageBitmap(bitmap, ...part, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
};

export const paint = (canvas, image) => {
  Object.assign(canvas, { width: image.width, height: image.height });
  const pen = canvas.getContext("2d");
  if (image instanceof ImageData) return pen.putImageData(image, 0, 0);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0);
};

export const asFile = (canvas, name) =>
  new Promise((done) => canvas.toBlob((blob) => done(new File([blob], name, { type: "image/png" })), "image/png"));

export const save = (file) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: file.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

export const canShare = () => {
  const file = new File([new Uint8Array(1)], "a.png", { type: "image/png" });
  return Boolean(navigator.canShare?.({ files: [file] }));
};
export const share = (file) => navigator.share({ files: [file] }).catch(() => {}); // the visitor may think again
