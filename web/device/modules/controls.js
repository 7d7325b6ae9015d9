// What a release lets a visitor choose: a style of the sketch, colours of the photo.

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
  return () => inputs.flatMap(({ given, colour }) => (given.checked ? [...parse(colour.value), 1] : [0, 0, 0, 0]));
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
