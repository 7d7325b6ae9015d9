// Pictures: files -> bitmaps, canvases -> files, sharing.

import { Problem } from "./files.js";
import { sides } from "./texts.js";

const MOST = 100e6; // pixels: more than any phone's camera makes
const LARGEST = 3072; // pixels of the longer side: what has more is made smaller, for a phone's memory
const LEAST = 4; // pixels of a side

export const open = async (file) => {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright
  } catch {
    throw new Problem("no_picture", file.name ?? "");
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < LEAST || width * height > MOST) {
    bitmap.close();
    throw new Problem("bad_size", `${file.name ?? ""} ${sides(width, height)}`);
  }
  const scale = LARGEST / Math.max(width, height);
  if (scale >= 1) return bitmap;
  const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(LEAST, Math.round(side * scale)));
  const smaller = await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "high" });
  bitmap.close();
  return smaller;
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
  return Boolean(navigator.canShare?.({ files: [file, file] }));
};
export const share = (...files) => navigator.share({ files }).catch(() => {}); // the visitor may think again

// Two canvases beside each other, as large as the second
export const sideBySide = (before, after) => {
  const { width, height } = after;
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height });
  const pen = canvas.getContext("2d");
  pen.drawImage(before, 0, 0, width, height);
  pen.drawImage(after, width, 0);
  return canvas;
};
