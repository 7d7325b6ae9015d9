// The camera, converted as it runs. It stops when the button says so, the page is left or another tab is opened.

import { controls, directions } from "./controls.js";
import { paint, snap } from "./pictures.js";
import { text } from "./texts.js";

const USUAL = 192; // side of a picture in pixels
const DEPTH = 2; // frames on their way: while one is computed the next is taken

export const live = (app, element) => {
  const find = (selector) => element.querySelector(selector);
  const video = find("video");
  const button = find(".start");
  const made = find(".made");
  const size = find(".live-size");
  const direction = directions(app, find(".directions"), () => choose());
  let condition;
  const choose = () => { condition = controls(app, direction(), find(".controls"), () => {}); };
  choose();
  const sizes = Array.from(size.options, ({ value }) => Number(value));
  size.value = sizes.reduce((a, b) => (Math.abs(b - USUAL) < Math.abs(a - USUAL) ? b : a));
  const times = []; // of the last second
  let told = 0;
  let waiting = 0; // frames on their way

  const stop = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    button.textContent = text("start");
    find(".rate").textContent = "";
  };

  const tell = (delay) => {
    const now = performance.now();
    times.push(now);
    while (times[0] < now - 1000) times.shift();
    if (now < told + 500) return; // nobody reads faster
    told = now;
    find(".rate").textContent = text("rate", { fps: times.length, delay: Math.round(delay) });
  };

  // One frame of the camera through the worker
  const convert = async () => {
    const since = performance.now();
    const picture = await snap(video, Number(size.value));
    // Not prepared, since a frame that is prepared beside one that is not would flicker
    const answer = await app.convert(direction(), picture, { condition: condition(), prepared: true });
    if (answer === null) return stop();
    if (!answer || !video.srcObject) return;
    paint(made, answer.made);
    made.dataset.delay = performance.now() - since; // for who measures
    tell(performance.now() - since);
  };

  const soon = (done) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(done) : setTimeout(done, 30));
  const frame = () => {
    if (!video.srcObject) return;
    soon(frame);
    if (waiting === DEPTH || !video.videoWidth) return;
    waiting++;
    convert().catch(stop).finally(() => { waiting--; }); // a camera that is unplugged gives no bitmap
  };

  const start = async () => {
    button.disabled = true;
    try {
      if (!navigator.mediaDevices) throw new Error("no camera on plain http");
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 30 } } });
      await video.play();
      button.textContent = text("stop");
      app.say("");
      soon(frame);
    } catch (error) {
      stop();
      app.say(["NotAllowedError", "NotFoundError"].includes(error.name) ? error.name : "no_camera");
    }
    button.disabled = false;
  };

  button.onclick = () => (video.srcObject ? stop() : start());
  const mirror = () => { for (const part of [video, made]) part.classList.toggle("mirrored", find(".mirror").checked); };
  find(".mirror").onchange = mirror;
  mirror();
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
  return { left: stop };
};
