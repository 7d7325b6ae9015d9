// The colours to paint in: for each part a few to choose from, any other, or the model's choice.
// The value is {part: "#rrggbb"}, without what is left to the model.

const SWATCHES = {
  skin: ["#f3d6c4", "#e0ac69", "#c68642", "#8d5524", "#5b3a24"],
  hair: ["#1b1512", "#4a2f20", "#8a5a32", "#d9b36c", "#a33b20", "#b8b8b8"],
  background: ["#ffffff", "#b9c4cc", "#3a5f8a", "#4d6b50", "#2b2b2b"],
};
const chosen = {};

for (const part of Object.keys(SWATCHES)) {
  const row = Object.assign(document.createElement("div"), { className: "tools" });
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", words[part]);
  const own = Object.assign(document.createElement("input"), { type: "color", value: SWATCHES[part][0], title: words.other_colour });
  const press = (button, colour) => {
    if (colour) chosen[part] = colour;
    else delete chosen[part];
    for (const one of row.querySelectorAll("button")) one.setAttribute("aria-pressed", one === button);
    own.classList.toggle("pressed", button === own);
    props.value = { ...chosen };
    trigger("input");
  };
  const choice = (label, colour) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: colour ? "" : label });
    button.setAttribute("aria-pressed", !colour);
    if (colour) {
      button.className = "swatch";
      button.style.background = colour;
      button.setAttribute("aria-label", `${words[part]} ${colour}`);
    }
    button.onclick = () => press(button, colour);
    return button;
  };
  own.setAttribute("aria-label", `${words[part]}: ${words.other_colour}`);
  own.onchange = () => press(own, own.value);
  const title = Object.assign(document.createElement("span"), { textContent: words[part] });
  row.append(title, choice(words.automatic), ...SWATCHES[part].map((colour) => choice("", colour)), own);
  find(".colours").append(row);
}
