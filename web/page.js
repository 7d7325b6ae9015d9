// Gradio's examples are pictures without a name, which a screen reader cannot tell apart: they get that of their file.
() => new MutationObserver(() => {
  for (const example of document.querySelectorAll(".gallery-item:not([aria-label])")) {
    const source = example.querySelector("img")?.src;
    if (source) example.setAttribute("aria-label", decodeURIComponent(source).split("/").pop().split(".")[0]);
  }
}).observe(document.body, { childList: true, subtree: true })
