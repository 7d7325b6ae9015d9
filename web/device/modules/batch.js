// Several pictures, one after the other, and all results as a zip.

import { controls, directions } from "./controls.js";
import { asFile, open, paint, save } from "./pictures.js";
import { text } from "./texts.js";
import { zip } from "./zip.js";

export const batch = (app, element) => {
  const find = (selector) => element.querySelector(selector);
  const direction = directions(app, find(".directions"), () => choose());
  let condition;
  const choose = () => { condition = controls(app, direction(), find(".controls"), () => {}); };
  choose();
  let made = [];
  let newest = 0; // of the choices of files: it takes the place of one that is still under way

  const named = (file) => {
    const stem = file.name.replace(/\.[^.]*$/, "");
    let name = `${stem}.png`;
    for (let count = 2; made.some((other) => other.name === name); count++) name = `${stem} (${count}).png`;
    return name;
  };

  const show = (file) => {
    const picture = Object.assign(new Image(), { alt: file.name, src: URL.createObjectURL(file) });
    picture.onload = () => URL.revokeObjectURL(picture.src);
    const button = Object.assign(document.createElement("button"), { type: "button", title: file.name, ariaLabel: file.name });
    button.append(picture);
    button.onclick = () => save(file);
    find(".gallery").append(button);
  };

  const problem = (sentence) => find(".problems").append(Object.assign(document.createElement("li"), { textContent: sentence }));

  const convert = async (files) => {
    const turn = ++newest;
    made = [];
    find(".gallery").replaceChildren();
    find(".problems").replaceChildren();
    find(".zip").disabled = true;
    let whole = true;
    for (const [at, file] of files.entries()) {
      app.say("progress", { done: at, all: files.length });
      try {
        const bitmap = await open(file);
        const answer = await app.convert(direction(), bitmap, { framing: "face", size: app.sizes(direction()), condition: condition() });
        bitmap.close();
        if (turn !== newest) return;
        whole = Boolean(answer);
        if (!whole) break; // it was said why
        const canvas = document.createElement("canvas");
        paint(canvas, answer.made);
        const result = await asFile(canvas, named(file));
        if (turn !== newest) return;
        made.push(result);
        show(made.at(-1));
      } catch (error) {
        if (turn !== newest) return;
        problem(text(error.key ?? "failed", { detail: error.detail ?? error.message }));
      }
    }
    if (whole) app.say("batch_done", { done: made.length, all: files.length });
    find(".zip").disabled = !made.length;
  };

  find(".files").onchange = ({ target }) => {
    const files = [...target.files];
    target.value = "";
    if (files.length) convert(files);
  };
  find(".zip").onclick = async () => save(new File([await zip(made)], `${direction()}.zip`));
  return {};
};
