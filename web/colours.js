// The colours to paint in: for each part a few to choose from, any other, or the model's choice.
// `window.swatches` is {part: the few}; the value is {part: "#rrggbb"}, without what is left to the model.

const rows = Object.entries(window.swatches).map(([part, swatches]) => {
  const choose = (colour) => {
    const { [part]: _, ...others } = props.value ?? {};
    props.value = colour ? { ...others, [part]: colour } : others;
    trigger("input");
  };
  const choice = (colour) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: colour ? "" : words.automatic });
    button.dataset.colour = colour;
    if (colour) {
      button.className = "swatch";
      button.style.background = colour;
      button.setAttribute("aria-label", `${words[part]} ${colour}`);
    }
    button.onclick = () => choose(colour);
    return button;
  };
  const own = Object.assign(document.createElement("input"), { type: "color", value: swatches[0], title: words.other_colour });
  own.setAttribute("aria-label", `${words[part]}: ${words.other_colour}`);
  own.onchange = () => choose(own.value);
  const row = Object.assign(document.createElement("div"), { className: "tools" });
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", words[part]);
  const title = Object.assign(document.createElement("span"), { textContent: words[part] });
  row.append(title, ...["", ...swatches].map(choice), own);
  find(".colours").append(row);
  return { part, row, own };
});

const mark = () => {
  for (const { part, row, own } of rows) {
    const colour = props.value?.[part] ?? "";
    const buttons = [...row.querySelectorAll("button")];
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.colour === colour);
    own.classList.toggle("pressed", buttons.every((button) => button.dataset.colour !== colour));
  }
};
watch("value", mark);
mark();
