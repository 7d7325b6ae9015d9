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
