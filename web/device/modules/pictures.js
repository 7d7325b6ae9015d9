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

// The middle of what a camera shows, as a bitmap of `size` x `size`. Chromium (156) keeps up to 400 MB of frames that are
// drawn where it has no graphics card, so the pixels are copied where that is possible
export const snap = async (video, size) => {
  const { videoWidth: wide, videoHeight: high } = video;
  const side = Math.min(wide, high) & ~1; // colours are stored for two pixels
  const [x, y] = [wide, high].map((length) => ((length - side) / 2) & ~1);
  const options = { resizeWidth: size, resizeHeight: size, resizeQuality: "medium" };
  const pixels = await copy(video, { format: "RGBA", rect: { x, y, width: side, height: side } });
  if (pixels) return createImageBitmap(new ImageData(pixels, side, side), options);
  return createImageBitmap(video, x, y, side, side, options);
};

// Nothing where the browser cannot, or has turned the frame for the page
const copy = async (video, layout) => {
  const { width, height } = layout.rect;
  let frame;
  try {
    frame = new VideoFrame(video);
    const { rotation, visibleRect: seen } = frame;
    const turned = rotation || seen.width !== video.videoWidth || seen.height !== video.videoHeight;
    if (turned || frame.allocationSize(layout) !== 4 * width * height) return null;
    const pixels = new Uint8ClampedArray(4 * width * height);
    await frame.copyTo(pixels, layout);
    return pixels;
  } catch {
    return null;
  } finally {
    frame?.close();
  }
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
