// The camera, converted as it runs: the square around the face, which the server looks for. It stops when the button says
// so, the page is left or another tab is opened. The value is {weights: the name of the release, styles: those in which it draws}.

const CLIP = 5; // seconds
const LEAST = 0.25; // side of a face that is near enough; sides and places are in sides of the camera's middle square
const STILL = 0.08; // of its side: the square follows a face that is further off, and does not tremble
const MISSES = 3; // looks without a face until there is none
const PACE = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : 0.25; // of the way, with each frame
const WHOLE = [0, 0, 1]; // left, top, side

const video = find("video");
const view = find(".view");
const mirror = find(".mirror");
const button = find(".start");
const shutter = find(".shutter");
const clip = find(".clip");
const style = find(".styles select");
const wait = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
let stream = null;
let cameras = []; // their ids
let square = WHOLE; // what is converted
let goal = WHOLE; // where it goes
let misses = 0;
let told = ""; // about the face
let busy = false; // a picture or a clip is being taken

const direction = () => find("[name=direction]:checked").value;
const target = () => direction().split("_to_")[1];
const styled = () => (target() === "sketch" ? style.value : "");

const aim = () => {
  square = square.map((length, at) => length + PACE * (goal[at] - length));
  const [left, top, side] = square.map((length) => `${100 * length}%`);
  Object.assign(find(".aim").style, { left, top, width: side, height: side });
};
const judge = (fits, text) => {
  find(".oval").classList.toggle("fits", fits);
  if (busy || told === text) return;
  told = text;
  say(words[text]);
};
// face: where the server saw it in a picture, or null; taken: the square that the picture showed
const follow = (face, [left, top, side, mirrored]) => {
  if (!face) {
    if (++misses < MISSES) return;
    goal = WHOLE;
    return judge(false, "live_hint");
  }
  misses = 0;
  const x = mirrored ? 1 - face[0] - face[2] : face[0];
  const length = Math.min(1, face[2] * side);
  const inside = (place) => Math.max(0, Math.min(place, 1 - length));
  const seen = [inside(left + x * side), inside(top + face[1] * side), length];
  if (seen.some((value, at) => Math.abs(value - goal[at]) > STILL * length)) goal = seen;
  judge(length >= LEAST, length >= LEAST ? "face_fits" : "come_closer");
};

const running = (on) => {
  find(".stage").classList.toggle("running", on);
  button.textContent = on ? words.stop : words.start;
  shutter.disabled = clip.disabled = !on;
  find(".turn").hidden = !on || cameras.length < 2;
};
const stop = () => {
  stream?.close();
  stream = null;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  running(false);
  find(".rate").textContent = "";
  find(".oval").classList.remove("fits");
  told = "";
};

const open = () => {
  stream?.close();
  stream = openStream(direction(), 2, { style: styled(), faces: "yes" }, stop);
  if (here.checked) { // this device looks for no face
    goal = WHOLE;
    judge(false, "live_hint");
  }
  const times = []; // of the last second
  let shown = 0;
  stream.found = follow;
  stream.shown = (delay) => {
    const now = performance.now();
    times.push(now);
    while (times[0] < now - 1000) times.shift();
    if (times.length > 5) compareDevice(direction(), delay / stream.depth); // as long as one picture takes
    if (now > shown + 500) { // each time costs as much as a tenth of the page's work, and nobody reads faster
      find(".rate").textContent = words.rate.replace("{fps}", times.length).replace("{delay}", Math.round(delay));
      shown = now;
    }
    made.dataset.delay = delay; // for who measures
  };
};

// What the camera shows. Where the page for the device is there its pixels are copied: see pictures.js
const look = async () => {
  if (here.parentElement.hidden) return video;
  const { snap } = await import(new URL("modules/pictures.js", devicePage));
  return snap(video, Math.min(video.videoWidth, video.videoHeight));
};
// Paints the square of it that is converted, and returns which it is
const paint = (picture) => (context, size) => {
  const { videoWidth: wide = picture.width, videoHeight: high = picture.height } = picture;
  const middle = Math.min(wide, high);
  const [left, top, side] = square.map((length) => length * middle);
  context.setTransform(mirror.checked ? -1 : 1, 0, 0, 1, mirror.checked ? size : 0, 0);
  context.drawImage(picture, (wide - middle) / 2 + left, (high - middle) / 2 + top, side, side, 0, 0, size, size);
  picture.close?.();
  return [...square, mirror.checked];
};
const frame = async () => {
  if (!stream) return;
  if (element.offsetParent === null) return stop(); // another tab was opened
  if (stream.ready) {
    aim();
    const picture = await look().catch(() => null); // a camera that was stopped meanwhile gives none
    // Not prepared, since a frame that is prepared beside one that is not would flicker
    if (picture && stream?.ready) stream.send(paint(picture), true);
  }
  video.requestVideoFrameCallback(frame);
};

// which: constraints that choose a camera
const start = async (which) => {
  button.disabled = true;
  stop(); // a phone has one camera at a time
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 30 }, ...which } });
    video.srcObject.getVideoTracks()[0].onended = stop; // it was unplugged
    await video.play();
    const devices = await navigator.mediaDevices.enumerateDevices(); // which has their names only now
    cameras = devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId }) => deviceId);
    running(true);
    square = goal = WHOLE;
    judge(false, "live_hint");
    open();
    video.requestVideoFrameCallback(frame);
  } catch (error) {
    stop();
    say(isSecureContext ? (words[error.name] ?? words.no_camera) : words.no_https);
  }
  button.disabled = false;
};
// On a phone the camera of the other side, elsewhere the next one
const turn = () => {
  const { facingMode, deviceId } = video.srcObject.getVideoTracks()[0].getSettings();
  const facing = facingMode === "user" ? "environment" : "user";
  mirror.checked = !facingMode || facing === "user";
  mirror.onchange();
  start(facingMode ? { facingMode: facing } : { deviceId: cameras[(cameras.indexOf(deviceId) + 1) % cameras.length] });
};

// Takes one picture or clip at a time; a button that is disabled meanwhile would lose the keyboard's focus
const alone = (take) => async () => {
  if (busy) return;
  busy = true;
  try {
    await take(`live-${target()}`);
  } catch (problem) {
    console.warn(problem);
    say(words.not_saved);
  } finally {
    busy = false;
    find(".count").textContent = "";
  }
};
shutter.onclick = alone(async (name) => {
  for (const count of [3, 2, 1]) {
    find(".count").textContent = count;
    say(count);
    await wait(1000);
    if (!stream) return;
  }
  // A larger size pays if the camera shows the face large enough
  const pixels = square[2] * Math.min(video.videoWidth, video.videoHeight);
  const size = 1.5 * pixels >= LARGE ? LARGE : made.width;
  const taken = size > made.width ? await convertOne(direction(), paint(await look()), { style: styled(), size }) : made;
  keep(await toBlob(large(taken)), `${name}.png`);
});
clip.onclick = alone(async (name) => {
  say(words.recording);
  const film = canvasOf(LARGE, LARGE);
  await keepFilm(film, name, (seconds) => {
    film.getContext("2d").drawImage(made, 0, 0, LARGE, LARGE);
    find(".count").textContent = Math.ceil(CLIP - seconds);
    return stream && seconds < CLIP;
  });
});

button.onclick = () => (stream ? stop() : start({ facingMode: "user" }));
find(".turn").onclick = turn;
mirror.onchange = () => view.classList.toggle("mirrored", mirror.checked);
const offer = () => { find(".styles").hidden = target() !== "sketch" || !props.value.styles.length; };
const fill = () => {
  const chosen = style.value;
  style.replaceChildren(...["", ...props.value.styles].map((name) => new Option(name || words.own_style, name)));
  style.value = props.value.styles.includes(chosen) ? chosen : "";
  offer();
};
const choose = () => {
  offer();
  if (stream) open();
};
style.onchange = choose;
for (const choice of element.querySelectorAll("[name=direction]")) choice.onchange = choose;
watch("value", fill);
addEventListener("weights", () => {
  if (props.value.weights !== window.chosenWeights) style.value = ""; // the styles of these weights are still to come
  choose();
});
fill();
clip.hidden = !FILM;
offerDevice(choose);
document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
