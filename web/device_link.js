// The page that works without a server is built after the start: the link shows as soon as it is there.
fetch("device/release.json").then(({ ok }) => {
  element.querySelector("a").hidden = !ok;
});
