// Parts of the page as elements; text from outside goes in as text only.
const FOLDED = 200;  // tags below their thresholds that are shown

export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// show(name), where there is one, is called when the name is pressed.
function row(name, share, text, buttons, show) {
  const parts = name.split(/(?<=_)/).flatMap(part => [part, el("wbr")]);  // long names break after an underscore
  const label = show
    ? el("button", {type: "button", className: "name", title: `Where is ${name}?`, onclick: () => show(name)}, ...parts)
    : el("span", {className: "name"}, ...parts);
  return el("div", {className: "tag"}, label,
    el("meter", {value: share, ariaLabel: name}), el("span", {className: "value"}, text), ...buttons);
}

function button(sign, verb, name, onclick) {
  const pressed = el("button", {type: "button", ariaLabel: `${verb} ${name}`, title: `${verb} ${name}`, onclick}, sign);
  pressed.dataset.name = name;
  return pressed;
}

// The tags of one picture or several under their categories; lists: the tags of each.
export function rows(lists, categories, isShown, {cut, put, show}) {
  const groups = new Map(categories.map(category => [category, new Map()]));
  for (const {name, category, probability} of lists.flat()) {
    if (!groups.has(category)) groups.set(category, new Map());
    const entry = groups.get(category).get(name) ?? {count: 0, probability};
    groups.get(category).set(name, {...entry, count: entry.count + 1});
  }
  return [...groups].flatMap(([category, tags]) => {
    const entries = [...tags].filter(([name]) => isShown(name));
    if (lists.length > 1) entries.sort(([, one], [, other]) => other.count - one.count);
    const elements = entries.map(([name, {count, probability}]) => {
      const toAll = count < lists.length ? [button("+", "Add to all", name, () => put(name))] : [];
      const remove = button("×", "Remove", name, () => cut(name));
      if (lists.length > 1) return row(name, count / lists.length, `${count} of ${lists.length}`, [...toAll, remove]);
      return row(name, probability ?? 1, probability === null ? "by hand" : probability.toFixed(2), [remove],
        probability === null ? null : show);
    });
    return elements.length ? [el("h3", {}, category), ...elements] : [];
  });
}

// Tags that a picture does not carry: those that were removed, then those below their thresholds.
export function foldedTags(tags, removed, put) {
  const scored = new Map(tags.map(({name, probability}) => [name, probability]));
  const names = [...[...removed].filter(name => scored.has(name)), ...[...scored.keys()].filter(name => !removed.has(name))];
  if (!names.length) return [];
  return [el("details", {}, el("summary", {}, `Not in the caption: ${names.length}`),
    ...names.slice(0, FOLDED).map(name => row(name, scored.get(name),
      removed.has(name) ? "removed" : scored.get(name).toFixed(2), [button("+", "Add", name, () => put(name))])))];
}

// A slider for each category, which sets its threshold in limits, and a button that unsets them.
export function sliders(categories, limits, onChange) {
  const updates = [];
  const labels = [...categories].map(([category, thresholds]) => {
    const [lowest, highest] = [thresholds[0], thresholds.at(-1)].map(value => value.toFixed(2));
    const own = lowest === highest ? lowest : `${lowest} to ${highest}`, middle = thresholds[thresholds.length >> 1];
    const slider = el("input", {type: "range", min: 0.05, max: 0.95, step: 0.01, value: middle}), output = el("output");
    updates.push(() => {
      if (!limits.has(category)) slider.value = middle;
      output.textContent = limits.get(category)?.toFixed(2) ?? own;
      slider.setAttribute("aria-valuetext", output.textContent);
    });
    slider.addEventListener("input", () => { limits.set(category, Number(slider.value)); changed(); });
    return el("label", {className: "slider"}, el("span", {}, category), slider, output);
  });
  const reset = el("button", {type: "button", onclick: () => { limits.clear(); changed(); }}, "The model's own");
  function changed() {
    updates.forEach(update => update());
    reset.disabled = !limits.size;
    onChange();
  }
  changed();
  return [...labels, reset];
}
