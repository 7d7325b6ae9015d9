// What may be traced lies over the sketchpad and is never sent: a head, or the visitor's own picture.
// Gradio runs this before draw.js.

const traced = { head: find("svg.head"), picture: find("img.picture") };
const chooser = find("[type=file]");
const pressed = (button) => button.getAttribute("aria-pressed") === "true";

// shown: a key of `traced`, or nothing
const trace = (shown) => {
  for (const [name, part] of Object.entries(traced)) {
    part.toggleAttribute("hidden", name !== shown); // an SVG has no property of that name
    find(`button.${name}`).setAttribute("aria-pressed", name === shown);
  }
};
find("button.head").onclick = ({ currentTarget }) => trace(pressed(currentTarget) ? "" : "head");
find("button.picture").onclick = ({ currentTarget }) => (pressed(currentTarget) ? trace("") : chooser.click());
chooser.onchange = () => {
  const [file] = chooser.files;
  if (!file) return;
  chooser.value = ""; // the same file may be chosen again
  URL.revokeObjectURL(traced.picture.src);
  traced.picture.onload = () => trace("picture");
  traced.picture.onerror = () => { trace(""); say(words.no_picture.replace("{detail}", file.name)); };
  traced.picture.src = URL.createObjectURL(file);
};
