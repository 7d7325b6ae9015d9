// How what was made is given away: as a file, through the device's own menu, or as a film.
// Gradio runs this after words.js.

const FILM = ["video/mp4", "video/webm"].find((type) => window.MediaRecorder?.isTypeSupported(type));

// Saves a file and says so. After that the button .share gives the same file to the device's own menu
const keep = (blob, name) => {
  download(blob, name);
  const data = { files: [new File([blob], name, { type: blob.type })] };
  const button = find(".share");
  button.hidden = !navigator.canShare?.(data);
  button.onclick = () => navigator.share(data).catch(() => {}); // a visitor may change their mind
  find(".status").textContent = words.saved.replace("{name}", name);
};

// What only the server can make of a picture: a Blob
const formed = async (canvas, form) => {
  const place = new URL(`saved/${form}`, `${window.gradio_config?.root ?? location.origin}/`);
  const answer = await fetch(place, { method: "POST", body: await toBlob(canvas) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.blob();
};

// Records a canvas. paint(seconds) draws on it for every frame and returns whether the film goes on
const record = async (canvas, paint) => {
  const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: FILM });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start();
  const start = performance.now();
  const frame = () => {
    if (paint((performance.now() - start) / 1000)) requestAnimationFrame(frame);
    else recorder.stop();
  };
  frame();
  await ended;
  return new Blob(parts, { type: FILM });
};
const keepFilm = async (canvas, name, paint) => keep(await record(canvas, paint), `${name}.${FILM.split("/")[1]}`);
