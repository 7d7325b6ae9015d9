// Photo to sketch, or back: a picture is given, framed and converted; before and after; and back again.

import { controls } from "./controls.js";
import { asFile, canShare, open, paint, save, share, sideBySide } from "./pictures.js";
import { Square } from "./square.js";
import { label, text } from "./texts.js";

export const conversion = (app, direction, element) => {
  const [given, made] = direction.split("_to_");
  const other = `${made}_to_${given}`;
  element.append(document.querySelector("#conversion").content.cloneNode(true));
  label(element);
  const find = (selector) => element.querySelector(selector);
  find(".given-name").textContent = text(given);
  find(".made-name").textContent = text(`${given}_and_${made}`);
  find("canvas.given").setAttribute("aria-label", text(given));
  find("canvas.before").setAttribute("aria-label", text(given));
  find("canvas.made").setAttribute("aria-label", text(made));
  find(".send").textContent = text(`send_${made}`);
  find(".send").hidden = find(".back").hidden = !app.directions.includes(other);
  find(".camera").hidden = given !== "photo";
  find(".starts").setAttribute("aria-label", text(`${given}_examples`));
  const framing = find(".framing");
  for (const choice of ["face", "faces", "pasted", "middle", "own", "whole"]) framing.append(new Option(text(choice), choice));

  let bitmap = null; // what was given
  let name = "picture"; // of its file
  let seen = {}; // what was found in it: the face, or the faces
  let wanted = false; // converted once more after this time
  let running = false;
  const old = []; // bitmaps that may still be converted
  const square = new Square(find(".square"), find("canvas.given"), () => { framing.value = "own"; convert(); });
  const condition = controls(app, direction, find(".controls"), () => convert());

  const convert = async () => {
    wanted = true;
    if (running || !bitmap) return;
    running = true;
    while (wanted) { // what fails does not keep a newer picture waiting
      try {
        await convertNewest();
      } catch (problem) {
        app.fail(problem);
      }
    }
    running = false;
    for (const one of old.splice(0)) one.close();
  };
  // What the worker is to frame: the squares that it is shown, or what it is to look for
  const wish = () => {
    if (framing.value === "own") return square.value ? [{ square: square.value }] : "middle";
    return seen[sought()]?.frames ?? sought();
  };
  const sought = () => (framing.value === "pasted" ? "faces" : framing.value);
  const tell = ({ found, kind }) => {
    const key = kind === "blank" ? "blank" : !found ? "no_face" : kind === "photo" && given === "sketch" ? "is_photo" : null;
    find(".told").textContent = key ? text(key) : "";
    app.say(key ?? `ready_${made}`);
  };
  const convertNewest = async () => {
    while (wanted) {
      wanted = false;
      const picture = bitmap;
      const framed = framing.value;
      const kept = sought();
      const pasted = framed === "pasted" && seen.faces?.found !== false;
      const answer = await app.convert(direction, picture, { framing: wish(), size: app.sizes(direction), condition: condition(), pasted });
      if (!answer || picture !== bitmap) continue;
      if (["face", "faces"].includes(kept)) {
        seen[kept] ??= { found: answer.found, frames: answer.frames };
        answer.found = seen[kept].found;
      }
      if (framed === framing.value && !square.grip && (framed !== "own" || !square.value)) square.show(answer.frames[0].square);
      tell(answer);
      paint(find("canvas.before"), answer.given);
      paint(find("canvas.made"), answer.made);
      find(".split").hidden = false;
      for (const button of element.querySelectorAll("button")) button.disabled = false;
      find(".again").hidden = true;
      element.dataset.count = Number(element.dataset.count ?? 0) + 1; // for who measures
      element.dataset.first ??= performance.timeOrigin + performance.now();
      if (framed !== "pasted") app.slow(answer.milliseconds, Math.min(answer.made.width, answer.made.height)); // that is the whole picture, at its own size
    }
  };

  const give = async (source) => {
    let opened;
    try {
      opened = source instanceof ImageBitmap ? source : await open(source);
    } catch (problem) {
      return app.fail(problem);
    }
    if (bitmap) old.push(bitmap);
    bitmap = opened;
    name = source.name?.replace(/\.[^.]*$/, "") ?? name;
    seen = {};
    app.say("");
    find(".told").textContent = "";
    paint(find("canvas.given"), bitmap);
    find(".empty").classList.add("given");
    if (framing.value === "own") framing.value = "face";
    square.show(null);
    await convert();
  };

  for (const input of element.querySelectorAll(".file")) {
    input.onchange = () => { if (input.files[0]) give(input.files[0]); input.value = ""; };
  }
  const drop = find(".drop");
  drop.ondragover = (event) => event.preventDefault();
  drop.ondrop = (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) give(file);
  };
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file && app.open === direction) give(file);
  });
  framing.onchange = convert;
  find(".split").oninput = ({ target }) => find(".compare").style.setProperty("--split", `${target.value}%`);
  const file = () => asFile(find("canvas.made"), `${name}-${made}.png`);
  const both = () => asFile(sideBySide(find("canvas.before"), find("canvas.made")), `${name}-${made}-before-after.png`);
  find(".save").onclick = async () => save(await file());
  find(".both").onclick = async () => save(await both());
  find(".share").hidden = !canShare();
  find(".share").onclick = async () => share(await file(), await both());
  find(".back").onclick = async () => {
    const canvas = find("canvas.made");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const answer = await app.convert(other, pixels);
    if (!answer) return;
    const shown = [find("canvas.before"), canvas, answer.made].map((image) => {
      const copy = document.createElement("canvas");
      if (image instanceof ImageData) paint(copy, image);
      else copy.getContext("2d", Object.assign(copy, { width: image.width, height: image.height })).drawImage(image, 0, 0);
      return copy;
    });
    shown.forEach((copy, at) => {
      copy.setAttribute("role", "img");
      copy.setAttribute("aria-label", text([given, made, given][at]));
    });
    find(".again").replaceChildren(...shown);
    find(".again").hidden = false;
    app.say(`ready_${given}`);
  };
  find(".send").onclick = async () => {
    const sent = await createImageBitmap(find("canvas.made"));
    app.show_tab(other);
    app.tabs[other].give(sent);
  };
  for (const address of app.release[given === "photo" ? "photos" : "sketches"]) {
    const title = address.split("/").pop().split(".")[0];
    const picture = Object.assign(new Image(), { src: address, alt: "", width: 64, height: 64, loading: "lazy" });
    const choice = Object.assign(document.createElement("button"), { type: "button", ariaLabel: title });
    choice.append(picture);
    choice.onclick = async () => give(new File([await (await fetch(address)).blob()], title));
    find(".starts").append(choice);
  }
  for (const button of find(".starts").children) button.disabled = false;
  return { give, sized: convert, square };
};
