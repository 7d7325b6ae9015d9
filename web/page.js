// What Gradio's own parts lack, once for the page.
() => {
  const { words } = window;
  if (words.dir) document.dir = words.dir;
  document.documentElement.lang = navigator.language;

  const mend = () => {
    // Examples are pictures without a name, which a screen reader cannot tell apart: they get that of their file
    for (const example of document.querySelectorAll(".gallery-item:not([aria-label])")) {
      const source = example.querySelector("img")?.src;
      if (source) example.setAttribute("aria-label", decodeURIComponent(source).split("/").pop().split(".")[0]);
    }
    for (const said of document.querySelectorAll(".told-aloud:not([role])")) said.role = "status";
    // Pictures get the names of their files
    for (const picture of document.querySelectorAll(".slider-wrap img[alt=''], .image-frame img[alt='']")) {
      picture.alt = decodeURIComponent(picture.src).split("/").pop().split(".")[0];
    }
    // Each style shows itself on one face
    for (const choice of document.querySelectorAll(".looks [type=radio]")) {
      const look = new URLSearchParams({ weights: window.chosenWeights ?? "", style: choice.value });
      const shown = `url("${window.gradio_config?.root ?? location.origin}/look?${look}")`;
      if (choice.dataset.look !== shown) choice.parentElement.style.setProperty("--look", shown);
      choice.dataset.look = shown;
    }
    for (const tab of document.querySelectorAll("[role=tab][aria-controls='']")) tab.removeAttribute("aria-controls");
    for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.role = "img";
    for (const wide of document.querySelectorAll(".prose table:not([tabindex])")) wide.tabIndex = 0; // it scrolls
    // The line between two pictures has no name, and no key moves it
    for (const line of document.querySelectorAll(".slider-wrap + .outer:not([tabindex]), .slider-wrap .outer:not([tabindex])")) {
      Object.assign(line, { tabIndex: 0, ariaLabel: words.compare });
      line.setAttribute("role", "slider");
      line.setAttribute("aria-valuenow", 50);
      line.addEventListener("keydown", slide);
    }
  };
  const slide = (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!steps) return;
    event.preventDefault();
    const line = event.currentTarget;
    const box = line.getBoundingClientRect();
    const place = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true, view: window };
    const width = line.parentElement.getBoundingClientRect().width;
    const moved = { ...place, clientX: place.clientX + (steps * width) / 20 };
    line.dispatchEvent(new MouseEvent("mousedown", place));
    window.dispatchEvent(new MouseEvent("mousemove", moved));
    window.dispatchEvent(new MouseEvent("mouseup", moved));
    line.setAttribute("aria-valuenow", Math.max(0, Math.min(100, Number(line.getAttribute("aria-valuenow")) + 5 * steps)));
  };
  // Gradio builds the page part by part: it is shown when nothing has moved for a moment
  let quiet;
  const settle = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => { document.documentElement.classList.add("settled"); growing.disconnect(); }, 250);
  };
  const growing = new ResizeObserver(settle);
  growing.observe(document.body);
  growing.observe(document.querySelector(".gradio-container"));
  settle();

  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true, attributeFilter: ["aria-controls", "src"] });
  mend(); // what stood there before

  // A tab has an address, such as #draw
  const open = () => document.querySelector(`[role=tab][data-tab-id="${CSS.escape(location.hash.slice(1))}"]`)?.click();
  addEventListener("hashchange", open);
  document.addEventListener("click", ({ target }) => {
    const tab = target.closest?.("[role=tab]")?.dataset.tabId;
    if (tab) history.replaceState(null, "", `#${tab}`);
  });
  if (location.hash) open();

  // A file that the browser cannot show leaves no broken picture: what is wrong with it stands beside
  for (const [kind, shown] of [["error", "hidden"], ["load", ""]]) {
    document.addEventListener(kind, ({ target }) => {
      if (target.matches?.(".image-frame img")) target.style.visibility = shown;
    }, true);
  }
}
