// The tagging page: pictures in a grid, and beside it the tags of those that are selected.
import {Tags, captionNames, isSeparable, words} from "./captions.js";
import {Picture, Sender, dropped, get, isPicture} from "./pictures.js";
import {el, foldedTags, rows, sliders} from "./views.js";
import {zip} from "./zip.js";

const byId = id => document.getElementById(id);
const limits = new Map();  // category -> threshold, where its slider was moved
const undoable = [];  // functions that take a change back
const sender = new Sender(picture => { if (!selection.size) select([picture]); draw(); });
let pictures = [], tags, unsaved = false, drawing = false;
let map = null;  // {picture, name, address} of the map that is shown instead of the picture
let selection = new Set(), focused = null, anchor = null;  // anchor: where a range of the selection begins

function say(text, isTrouble = false) {
  byId("status").textContent = text;
  byId("status").className = isTrouble ? "trouble" : "";
}

// ---- what a picture carries

function carried(picture) {
  const above = picture.ranked ? tags.selected(picture.ranked, limits) : [];
  const chosen = above.filter(({name}) => !picture.cut.has(name)), names = new Set(chosen.map(({name}) => name));
  return [...chosen, ...picture.put.filter(name => !names.has(name)).map(name => (
    {name, category: tags.byName.get(name)?.category ?? "by hand", probability: null, byHand: true}))];
}

function captionOf(picture) {
  const style = Object.fromEntries(new FormData(byId("style")));
  const rating = style.rating && picture.rating ? [`rating:${picture.rating}`] : [];
  const separable = carried(picture).filter(({name}) => isSeparable(name));
  return [...words(style.prefix), ...rating, ...separable.map(tag => tags.spelled(tag, style))];
}

const captionsOf = chosen => chosen.map(picture => captionOf(picture).join(", ")).join("\n");
const selected = () => pictures.filter(picture => selection.has(picture));
const sought = () => byId("search").value.trim().toLowerCase().replaceAll(" ", "_");
const matches = name => name.toLowerCase().includes(sought());
const shown = () => sought() ? pictures.filter(picture => carried(picture).some(({name}) => matches(name))) : pictures;

// ---- changes by hand

function change(chosen, edit) {
  const before = chosen.map(picture => [picture, picture.edits]);
  chosen.forEach(edit);
  undoable.push(() => before.forEach(([picture, edits]) => { picture.edits = edits; }));
  unsaved = true;
  draw();
}

function cut(name, chosen = selected()) {
  change(chosen, picture => {
    picture.put = picture.put.filter(other => other !== name);
    picture.cut.add(name);
  });
}

function put(names, chosen = selected()) {
  change(chosen, picture => names.forEach(name => {
    picture.cut.delete(name);
    if (!carried(picture).some(tag => tag.name === name)) picture.put.push(name);
  }));
}

// Make a picture's tags those of a caption that was typed.
function retype(picture, text) {
  const style = Object.fromEntries(new FormData(byId("style")));
  const others = new Set([...words(style.prefix), ...(style.rating ? [`rating:${picture.rating}`] : [])]);
  const names = new Set(words(text).filter(word => !others.has(word)).map(word => tags.nameOf(word))), typed = [...names];
  const kept = tag => names.has(tag.name) || others.has(tags.spelled(tag, style)) || !isSeparable(tag.name);
  const gone = carried(picture).filter(tag => !kept(tag)).map(({name}) => name);
  const had = new Set(carried(picture).map(({name}) => name));
  if (!gone.length && typed.every(name => had.has(name))) return draw();
  change([picture], () => {
    picture.put = [...picture.put.filter(name => !gone.includes(name)), ...typed.filter(name => !had.has(name))];
    gone.forEach(name => picture.cut.add(name));
    typed.forEach(name => picture.cut.delete(name));
  });
}

function undo() {
  undoable.pop()?.();
  draw();
}

// ---- pictures come and go

function add(files, numOthers = 0) {
  const taken = new Set(pictures.map(({path}) => path)), fresh = [];
  for (const [file, path] of files) {
    const [, stem, suffix] = path.match(/^(.*?)(\.[^./]*)?$/s);
    let free = path;
    for (let number = 2; taken.has(free); number++) free = `${stem}-${number}${suffix ?? ""}`;
    taken.add(free);
    fresh.push(new Picture(file, free));
  }
  if (!fresh.length) return say("There are no pictures in it.", true);
  say(numOthers ? `${numOthers} other files left out` : "");
  pictures.push(...fresh);
  if (tags) sender.add(fresh);
  draw();
}

function remove() {
  const gone = selected(), before = [...pictures], at = pictures.indexOf(gone[0]);
  if (!gone.length) return;
  gone.forEach(picture => { picture.removed = true; });
  pictures = pictures.filter(picture => !picture.removed);
  undoable.push(() => {
    gone.forEach(picture => { picture.removed = false; });
    pictures = [...before, ...pictures.filter(picture => !before.includes(picture))];
    sender.add(gone.filter(picture => !picture.ranked && !picture.error));
    select(gone);
  });
  say(`${gone.length > 1 ? `${gone.length} pictures` : gone[0].path} removed from this page`);
  const next = shown()[Math.min(at, shown().length - 1)];
  select(next ? [next] : [], true);
}

// ---- maps

// Show where a picture shows a tag: the server hides one part after another, which takes it a while.
async function showMap(name) {
  const [picture] = selected();
  unmap();
  const wanted = map = {picture, name, address: null};
  try {
    const reply = await fetch(`map?tag=${encodeURIComponent(name)}&model=${encodeURIComponent(sender.model)}`,
      {method: "POST", headers: {"Content-Type": "application/octet-stream"}, body: picture.file});
    if (!reply.ok) throw new Error((await reply.json()).error);
    wanted.address = URL.createObjectURL(await reply.blob());
  } catch (error) {
    if (map === wanted) map = null;
    say(`No map of ${name}: ${error.message}`, true);
  }
  draw();
}

function unmap() {
  if (map?.address) URL.revokeObjectURL(map.address);
  map = null;
  draw();
}

// ---- the selection

function select(chosen, focus = false, keepAnchor = false) {
  selection = new Set(chosen);
  if (!keepAnchor) anchor = chosen[0] ?? null;
  if (!selection.has(focused)) focused = chosen[0] ?? null;
  if (!chosen.length) document.body.classList.remove("open");
  draw();
  if (focus) requestAnimationFrame(() => focused?.tile?.focus());
}

function extend(picture) {
  const list = shown(), [from, to] = [list.indexOf(anchor), list.indexOf(picture)].sort((one, other) => one - other);
  focused = picture;
  select(list.slice(Math.max(0, from), to + 1), true, true);
}

function clicked(event, picture) {
  if (event.shiftKey) return extend(picture);
  const toggles = event.ctrlKey || event.metaKey, others = selected().filter(other => other !== picture);
  focused = picture;
  if (!toggles) document.body.classList.add("open");  // on a phone: the tags over the grid
  select(toggles && selection.has(picture) && others.length ? others : toggles ? [...others, picture] : [picture], true);
}

function move(key, extends_) {
  const list = shown(), first = list[0]?.tile.offsetTop;
  const columns = list.filter(({tile}) => tile.offsetTop === first).length;
  const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[key];
  const at = list.indexOf(focused), to = at < 0 ? 0 : at + step;
  if (!list[to]) return;
  if (extends_) return extend(list[to]);
  focused = list[to];
  select([list[to]], true);
}

// ---- what is shown

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!tags) return;
    drawGrid();
    drawPanel();
  });
}

function drawGrid() {
  const visible = shown();
  for (const picture of pictures) {
    picture.tile ??= el("div", {role: "option", className: "tile", tabIndex: -1, onclick: event => clicked(event, picture)},
      el("img", {src: picture.address, alt: "", loading: "lazy", decoding: "async", draggable: false,
        onerror: event => event.target.classList.add("absent")}),  // what the browser cannot show
      el("span"), el("small"));
    const note = picture.error || (picture.ranked ? `${carried(picture).length} tags` : "waiting");
    const tile = picture.tile, text = [picture.ranked && picture.rating, note].filter(Boolean).join(", ");
    tile.children[1].textContent = picture.path;
    tile.children[2].textContent = text;
    tile.classList.toggle("trouble", Boolean(picture.error));
    tile.setAttribute("aria-label", `${picture.path}: ${text}`);
    tile.setAttribute("aria-selected", selection.has(picture));
    tile.tabIndex = picture === focused ? 0 : -1;
  }
  const tiles = visible.map(({tile}) => tile), now = byId("tiles").children;
  if (tiles.length !== now.length || tiles.some((tile, at) => tile !== now[at])) byId("tiles").replaceChildren(...tiles);
  const numWaiting = pictures.filter(({ranked, error}) => !ranked && !error).length;
  byId("empty").hidden = pictures.length > 0;
  byId("about").textContent = [tags.about, `${pictures.length} pictures`, sought() && `${visible.length} found`,
    numWaiting && `${numWaiting} waiting`].filter(Boolean).join(" · ");
  byId("save").disabled = !pictures.some(({ranked}) => ranked);
  byId("all").disabled = !pictures.length;
  byId("undo").disabled = !undoable.length;
}

function drawPanel() {
  const chosen = selected(), [only] = chosen, isOne = chosen.length === 1;
  byId("panel").hidden = !chosen.length;
  if (!chosen.length) return;
  byId("name").textContent = isOne ? only.path : `${chosen.length} pictures`;
  const shownMap = isOne && map?.picture === only ? map : null, address = shownMap?.address ?? only.address;
  byId("picture").hidden = !isOne;
  if (isOne && byId("picture").getAttribute("src") !== address) byId("picture").src = address;
  byId("picture").alt = shownMap?.address ? `where ${shownMap.name} is in ${only.path}` : isOne ? only.path : "";
  byId("mapped").hidden = !shownMap;
  byId("mapped").firstElementChild.textContent = !shownMap ? "" : shownMap.address
    ? `Bright where hiding it costs ${shownMap.name} most` : `Looking for ${shownMap.name} ...`;
  const ratings = isOne ? Object.entries(only.answer?.ratings ?? {}) : [];
  byId("ratings").hidden = !ratings.length;
  byId("ratings").replaceChildren(byId("ratings").firstElementChild, ...ratings.map(([name, value]) => el("label", {},
    el("input", {type: "radio", name: "rating", value: name, checked: name === only.rating,
      onchange: () => change([only], () => { only.rated = name; })}),
    el("span", {}, name), el("small", {}, value.toFixed(2)))));
  const lists = chosen.map(carried);
  const parts = rows(lists, [...tags.categories.keys()], matches,
    {cut, put: name => put([name]), show: isOne && tags.byName.size ? name => showMap(name) : null});
  if (isOne && only.ranked) {
    const names = new Set(lists[0].map(({name}) => name)), others = only.ranked.filter(({name}) => !names.has(name));
    parts.push(...foldedTags(others.filter(({name}) => matches(name)), only.cut, name => put([name])));
  }
  keepFocus(byId("tags"), () => byId("tags").replaceChildren(...parts));
  if (document.activeElement !== byId("caption")) byId("caption").value = captionsOf(chosen);
  byId("caption").readOnly = !isOne;
  byId("remove").textContent = isOne ? "Remove picture" : "Remove pictures";
}

// A button that was pressed is drawn anew: the focus goes to the one in its place.
function keepFocus(parent, redraw) {
  const before = [...parent.querySelectorAll("button")], at = before.indexOf(document.activeElement);
  const open = parent.querySelector("details")?.open;
  redraw();
  const details = parent.querySelector("details"), after = [...parent.querySelectorAll("button")];
  if (details && open !== undefined) details.open = open;
  if (at >= 0) (after[Math.min(at, after.length - 1)] ?? byId("added")).focus();
}

function drawSliders() {
  byId("sliders").replaceChildren(...sliders(tags.categories, limits, draw));
}

// ---- what leaves the page

async function copy() {
  if (navigator.clipboard) await navigator.clipboard.writeText(captionsOf(selected()));
  else document.execCommand("copy");  // by the listener below: pages of other machines without HTTPS have no clipboard
  say(`Copied: ${selected().length > 1 ? `${selected().length} captions` : `${captionOf(selected()[0]).length} words`}`);
}

async function save() {
  const tagged = pictures.filter(({ranked}) => ranked), names = captionNames(tagged.map(({path}) => path));
  const withPictures = new FormData(byId("style")).get("pictures");
  const files = tagged.flatMap(picture => [
    [names.get(picture.path), new Blob([`${captionOf(picture).join(", ")}\n`])],
    ...(withPictures ? [[picture.path, picture.file]] : [])]);
  const numInseparable = tagged.reduce((sum, picture) => sum + carried(picture).filter(({name}) => !isSeparable(name)).length, 0);
  try {
    const address = URL.createObjectURL(await zip(files));
    el("a", {href: address, download: "captions.zip"}).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    return say(`Not saved: ${error.message}`, true);
  }
  unsaved = false;
  say([`Saved: ${tagged.length} captions`, pictures.length > tagged.length && `${pictures.length - tagged.length} pictures without tags left out`,
    numInseparable && `${numInseparable} tags with a comma left out`].filter(Boolean).join("; "));
}

// ---- events

const isTyped = target => target.matches?.("textarea, select, input:not([type=checkbox], [type=radio], [type=range], [type=file])");

function onKey(event) {
  const {key, target} = event, withControl = event.ctrlKey || event.metaKey;
  if (key === "Escape") return leavePanel();
  if (isTyped(target) || target.matches("[type=range], [type=radio]")) return;
  const onPictures = target === document.body || target.closest("#tiles");
  if (withControl && key === "z") undo();
  else if (withControl && key === "a") select(shown());
  else if (withControl || event.altKey) return;
  else if (key === "/") byId("search").focus();
  else if (!onPictures && key === "Delete" && target.dataset.name) target.click();
  else if (onPictures && key.startsWith("Arrow")) move(key, event.shiftKey);
  else if (onPictures && (key === "Delete" || key === "Backspace")) remove();
  else if (onPictures && key === "Enter" && selection.size) openPanel();
  else return;
  event.preventDefault();
}

function openPanel() {
  document.body.classList.add("open");
  byId("added").focus();
}

function leavePanel() {
  document.body.classList.remove("open");
  focused?.tile?.focus();
}

function onFiles(event) {
  const all = [...event.target.files], files = all.filter(file => event.target.id === "files" || isPicture(file));
  add(files.map(file => [file, file.webkitRelativePath || file.name]), all.length - files.length);
  event.target.value = "";
}

const listeners = {
  files: ["change", onFiles], folder: ["change", onFiles], search: ["input", draw], undo: ["click", undo],
  all: ["click", () => { document.body.classList.add("open"); select(shown(), true); }], save: ["click", save], copy: ["click", copy], remove: ["click", remove],
  back: ["click", leavePanel], unmap: ["click", unmap], style: ["input", draw], model: ["change", choose],
  caption: ["change", event => { const [only] = selected(); if (selection.size === 1) retype(only, event.target.value); }],
};
for (const [id, [kind, listener]] of Object.entries(listeners)) byId(id).addEventListener(kind, listener);
byId("caption").addEventListener("blur", draw);
byId("style").addEventListener("submit", event => event.preventDefault());
byId("adding").addEventListener("submit", event => {
  event.preventDefault();
  const names = words(byId("added").value).map(word => tags.nameOf(word));
  byId("added").value = "";
  if (names.length) put(names);
});
byId("added").addEventListener("input", () => {
  const typed = byId("added").value.trim().toLowerCase().replaceAll(" ", "_");
  const names = typed.length > 1 ? [...tags.byName.keys()].filter(name => name.toLowerCase().includes(typed)) : [];
  names.sort((one, other) => other.startsWith(typed) - one.startsWith(typed));
  byId("names").replaceChildren(...names.slice(0, 12).map(value => el("option", {value})));
});
document.addEventListener("keydown", onKey);
document.addEventListener("copy", event => {
  if (isTyped(event.target) || String(getSelection()) || !selection.size) return;
  event.clipboardData.setData("text/plain", captionsOf(selected()));
  event.preventDefault();
  say(`Copied: ${selection.size} captions`);
});
document.addEventListener("paste", event => {
  const files = [...event.clipboardData.files];
  if (files.length) add(files.map(file => [file, file.name]));
});
document.addEventListener("dragover", event => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", async event => {
  event.preventDefault();
  document.body.classList.remove("over");
  const all = await dropped(event.dataTransfer), files = all.filter(([file, path]) => path === file.name || isPicture(file));
  add(files, all.length - files.length);
});
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });

// ---- the model

async function open(model) {
  const query = `?model=${encodeURIComponent(model)}`;
  const [health, list, rules] = await Promise.all([`health${query}`, `tags${query}`, `rules${query}`].map(get));
  if (model !== byId("model").value) return;  // another was chosen meanwhile
  tags = new Tags(list, rules);
  tags.about = `${health.num_tags} tags, ${health.image_size} px`;
  limits.clear();
  drawSliders();
  sender.setModel(model, tags);
  pictures.forEach(picture => { [picture.ranked, picture.answer, picture.error] = [null, null, ""]; });
  sender.add(pictures);
  draw();
}

async function choose({target}) {
  await open(target.value).catch(error => {
    target.value = sender.model;
    throw error;
  });
}

async function start() {
  for (const id of ["thresholds", "spelling"]) byId(id).open = matchMedia("(min-width: 761px)").matches;
  const models = await get("models");
  byId("model").replaceChildren(...models.map(({model}) => el("option", {value: model}, model)));
  byId("models").hidden = false;
  byId("model").disabled = models.length < 2;
  await open(models[0].model);
}

addEventListener("unhandledrejection", ({reason}) => say(`That failed: ${reason.message}`, true));
start().catch(error => say(`The server does not answer: ${error.message}`, true));
