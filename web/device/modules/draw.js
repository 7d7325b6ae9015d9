// A sketchpad whose photo is painted while the pen moves: the newest drawing is converted when the last one is done.

import { controls } from "./controls.js";
import { Pad } from "./pad.js";
import { asFile, canShare, paint, save, share } from "./pictures.js";
import { text } from "./texts.js";

export const draw = (app, element) => {
  const find = (selector) => element.querySelector(selector);
  const made = find(".made");
  const eraser = find(".eraser");
  let changed = false;
  let running = false;
  let good = false; // whether the drawing needed no preparation, which a stroke does not wait for then

  const convert = async () => {
    changed = true;
    if (running) return;
    running = true;
    while (changed) {
      changed = false;
      const side = [app.sizes("sketch_to_photo")].flat()[0];
      const since = performance.now();
      const drawing = await createImageBitmap(pad.canvas, { resizeWidth: side, resizeHeight: side, resizeQuality: "high" });
      const prepared = good && pad.drawing;
      const answer = await app.convert("sketch_to_photo", drawing, { condition: condition(), prepared });
      if (answer === null) break;
      if (!answer) {
        changed = true; // once more, on the other engine
        continue;
      }
      ({ good } = answer);
      paint(made, answer.made);
      made.dataset.count = Number(made.dataset.count ?? 0) + 1; // for who measures
      made.dataset.delay = performance.now() - since;
      app.slow(answer.milliseconds, side);
    }
    running = false;
  };

  const tool = () => ({ size: Number(find(".brush").value), erasing: eraser.getAttribute("aria-pressed") === "true" });
  const pad = new Pad(find(".pad"), tool, convert);
  const condition = controls(app, "sketch_to_photo", find(".controls"), convert);
  find(".undo").onclick = () => pad.undo();
  find(".clear").onclick = () => pad.clear();
  eraser.onclick = () => eraser.setAttribute("aria-pressed", eraser.getAttribute("aria-pressed") !== "true");
  const file = () => asFile(made, "photo.png");
  find(".save").onclick = async () => save(await file());
  find(".share").hidden = !canShare();
  find(".share").onclick = async () => share(await file());
  for (const name of app.release.sketches) {
    const title = name.split("/").pop().split(".")[0];
    const picture = Object.assign(new Image(), { src: name, alt: "", width: 64, height: 64, loading: "lazy" });
    const choice = Object.assign(document.createElement("button"), { type: "button", ariaLabel: text("start_from_one", { name: title }) });
    choice.append(picture);
    choice.onclick = () => pad.draw(picture);
    find(".starts").append(choice);
  }
  return { sized: convert };
};
