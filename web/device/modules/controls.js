// What a release lets a visitor choose: a style of the sketch, colours of the photo.

import { open } from "./pictures.js";
import { text } from "./texts.js";

const parse = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 127.5 - 1);

// Puts the choices of a direction into an element; returns () => the condition, or null for the model's own choice
export const controls = (app, direction, element, changed) => {
  element.replaceChildren();
  const { conditions } = app.release.directions[direction];
  const { styles, colours } = app.release.controls;
  if (!conditions) return () => null;
  if (direction === "photo_to_sketch") {
    const choice = document.createElement("select");
    choice.append(new Option(text("own_style"), ""), ...styles.map((style, at) => new Option(style, at)));
    choice.onchange = changed;
    const label = document.createElement("label");
    label.append(text("style"), " ", choice);
    element.append(label);
    return () => (choice.value === "" ? null : Array.from({ length: conditions }, (_, at) => Number(at === Number(choice.value))));
  }
  const inputs = colours.map((part) => {
    const given = Object.assign(document.createElement("input"), { type: "checkbox" });
    const colour = Object.assign(document.createElement("input"), { type: "color", value: "#b08060" });
    given.onchange = changed;
    colour.oninput = () => { given.checked = true; changed(); };
    colour.setAttribute("aria-label", text(part));
    const label = document.createElement("label");
    label.append(given, " ", text(part));
    element.append(label, colour);
    return { given, colour };
  });
  const like = likeness(app, element, changed);
  return () => inputs.flatMap(({ given, colour }, at) =>
    (given.checked ? [...parse(colour.value), 1] : (like()?.slice(4 * at, 4 * at + 4) ?? [0, 0, 0, 0])));
};

// A photo whose colours are taken; returns () => its palette, or null
const likeness = (app, element, changed) => {
  let palette = null;
  const file = Object.assign(document.createElement("input"), { type: "file", accept: "image/*", className: "like" });
  const choice = Object.assign(document.createElement("label"), { className: "button" });
  choice.append(text("like"), file);
  const shown = Object.assign(document.createElement("img"), { alt: text("like"), hidden: true });
  const clear = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: text("automatic"), hidden: true });
  const show = (found, url = "") => {
    URL.revokeObjectURL(shown.src);
    palette = found;
    shown.src = url;
    shown.hidden = clear.hidden = !found;
    changed();
  };
  file.onchange = async () => {
    const [photo] = file.files;
    file.value = "";
    if (!photo) return;
    try {
      show(await app.runner.palette(await open(photo), app.release.image_size), URL.createObjectURL(photo));
    } catch (problem) {
      app.fail(problem);
    }
  };
  clear.onclick = () => show(null);
  element.append(choice, shown, clear);
  return () => palette;
};

// Radio buttons for the directions of a release; returns () => the one that is chosen
export const directions = (app, element, changed) => {
  const name = `direction-${Math.random()}`;
  for (const direction of app.directions) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name, value: direction, checked: direction === app.directions[0] });
    radio.onchange = changed;
    const label = document.createElement("label");
    label.append(radio, " ", text(direction));
    element.append(label);
  }
  return () => element.querySelector(":checked").value;
};
