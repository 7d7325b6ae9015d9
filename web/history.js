// What was made on this visit, the newest first, in this browser tab only; a click shows it again.
// The value is what was chosen: {pair: [before, after], outcome}.

const panel = element.closest("[role=tabpanel]");
const KEPT = `history-${props.made}`;
const MOST = 12;
let past = [];

const keep = () => {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(past));
  } catch { // no room: the oldest goes, or the browser keeps nothing
    if (past.pop()) keep();
  }
};
const show = () => {
  find(".forget").disabled = !past.length;
  find(".past").replaceChildren(...past.map((one) => {
    const choice = Object.assign(document.createElement("button"), { type: "button" });
    choice.setAttribute("aria-label", words.show_again.replace("{name}", one.name));
    choice.append(Object.assign(new Image(), { src: one.made, alt: "", width: 64, height: 64 }));
    choice.onclick = () => {
      const pair = [one.given, one.made].map((url) => ({ url, orig_name: `${one.name}.png` }));
      props.value = { pair, outcome: { told: `ready_${props.made}`, name: one.name } };
      trigger("input");
    };
    return choice;
  }));
};
// The picture as text that outlives a reload; what was given only has to be looked at
const textOf = (image, type) => {
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL(type, 0.9);
};
const nameHere = ({ src }) => src.match(/^data:[^,]*;name=([^;,]*)/); // what this device made: see here.js
const add = async (made) => {
  const given = made.closest(".slider-wrap").querySelector("img:not(.fixed)");
  const name = decodeURIComponent(nameHere(made)?.[1] ?? made.src.split("/").pop().replace(/\.png$/, ""));
  try {
    await given.decode();
  } catch {
    return; // both pictures were replaced meanwhile, and are kept when they have come
  }
  past.unshift({ name, given: textOf(given, "image/jpeg"), made: textOf(made, "image/png") });
  past.length = Math.min(past.length, MOST);
  keep();
  show();
};
panel.addEventListener("load", ({ target }) => {
  if (target.matches(".result .slider-wrap img.fixed") && (nameHere(target) || !target.src.startsWith("data:"))) add(target);
}, true);
find(".forget").onclick = () => { past = []; keep(); show(); };

try {
  past = JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
} catch { /* the browser keeps nothing */ }
show();
