// The camera, converted as it runs. It stops when the button says so, the page is left or another tab is opened.

const video = find("video");
const button = find(".start");
let stream = null;

const direction = () => find("[name=direction]:checked").value;

const stop = () => {
  stream?.close();
  stream = null;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  button.textContent = words.start;
  find(".rate").textContent = "";
};

const open = () => {
  stream?.close();
  stream = openStream(direction(), 2, stop);
  const times = []; // of the last second
  let told = 0;
  stream.shown = (delay) => {
    const now = performance.now();
    times.push(now);
    while (times[0] < now - 1000) times.shift();
    if (times.length > 5) compareDevice(direction(), delay / stream.depth); // as long as one picture takes
    if (now > told + 500) { // each time costs as much as a tenth of the page's work, and nobody reads faster
      find(".rate").textContent = words.rate.replace("{fps}", times.length).replace("{delay}", Math.round(delay));
      told = now;
    }
    made.dataset.delay = delay; // for who measures
  };
};

const frame = () => {
  if (!stream) return;
  if (element.offsetParent === null) return stop(); // another tab was opened
  if (stream.ready) stream.send((context, size) => {
    const side = Math.min(video.videoWidth, video.videoHeight);
    const mirrored = find(".mirror").checked;
    context.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? size : 0, 0);
    context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, size, size);
  });
  video.requestVideoFrameCallback(frame);
};

const start = async () => {
  button.disabled = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 30 } } });
    await video.play();
    button.textContent = words.stop;
    say(words.live_hint);
    open();
    video.requestVideoFrameCallback(frame);
  } catch (error) {
    stop();
    say(isSecureContext ? (words[error.name] ?? words.no_camera) : words.no_https);
  }
  button.disabled = false;
};

button.onclick = () => (stream ? stop() : start());
find(".mirror").onchange = (event) => video.classList.toggle("mirrored", event.target.checked);
for (const choice of element.querySelectorAll("[name=direction]")) choice.onchange = () => { if (stream) open(); };
addEventListener("weights", () => { if (stream) open(); }); // others were chosen
offerDevice(() => { if (stream) open(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
