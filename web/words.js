// The texts of the page's language, in everything with data-text and data-label.
// Gradio runs this with `element`, what a component's HTML made, and `props`.

const { words } = window;
for (const part of element.querySelectorAll("[data-text]")) part.textContent = words[part.dataset.text];
for (const part of element.querySelectorAll("[data-label]")) part.setAttribute("aria-label", words[part.dataset.label]);

const find = (selector) => element.querySelector(selector);
const download = (blob, name) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
const toBlob = (canvas) => new Promise((done) => { canvas.toBlob(done); });

const LARGE = 512; // pixels of the shorter side of what is saved, at least
const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
// A canvas as it is saved: a smaller one is enlarged
const large = (canvas) => {
  const scale = Math.max(1, LARGE / Math.min(canvas.width, canvas.height));
  const made = canvasOf(Math.round(scale * canvas.width), Math.round(scale * canvas.height));
  const context = made.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, made.width, made.height);
  return made;
};
