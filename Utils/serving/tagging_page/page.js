// Sends one picture to /tag and shows what comes back; the slider filters here, without another request.
"use strict";

const at = (id) => document.getElementById(id);
let least = 0.05; // what is asked for: the slider's least, or a tag's own threshold below it
let known = new Map(); // "category name" -> what /tags says of it
let answer = null;
let address = null; // of the picture shown
let number = 0; // of the newest picture: an older answer that comes late is dropped

async function get(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
}

async function start() {
  try {
    const [health, tags] = await Promise.all([get("health"), get("tags")]);
    known = new Map(tags.map((tag) => [`${tag.category} ${tag.name}`, tag]));
    least = tags.reduce((so_far, tag) => Math.min(so_far, tag.threshold ?? 1), least);
    at("about").textContent = `${health.model}, ${health.num_tags} tags, ${health.image_size} px`;
  } catch (error) {
    say(`The server does not answer: ${error.message}`, true);
  }
}

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

async function send(file) {
  const mine = ++number;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  at("picture").src = address;
  at("picture").hidden = false;
  say("Looking ...");
  const began = performance.now();
  let found = null;
  try {
    const reply = await fetch(`tag?threshold=${least}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
    });
    const kind = reply.headers.get("Content-Type") || "";
    const content = kind.startsWith("application/json") ? await reply.json() : { error: await reply.text() };
    if (!reply.ok) throw new Error(content.error);
    found = content;
  } catch (error) {
    if (mine === number) {
      answer = null;
      at("picture").hidden = true;
      at("right").hidden = true;
      at("ratings").replaceChildren();
      say(error.message, true);
    }
    return;
  }
  if (mine !== number) return;
  answer = found;
  say(`Tagged in ${Math.round(performance.now() - began)} ms`);
  show();
}

function limit(category, name) {
  const tag = known.get(`${category} ${name}`);
  return at("own").checked && tag ? tag.threshold : Number(at("threshold").value);
}

function show() {
  if (!answer) return;
  at("right").hidden = false;
  at("ratings").replaceChildren(...group("rating", Object.entries(answer.ratings)));
  const words = [];
  const groups = [];
  for (const [category, tags] of Object.entries(answer.tags)) {
    const chosen = Object.entries(tags).filter(([name, value]) => value > limit(category, name));
    const named = chosen.map(([name, value]) => [spelled(category, name), value]);
    words.push(...named);
    groups.push(...group(category, named));
  }
  words.sort((one, other) => other[1] - one[1]);
  at("text").value = words.map(([name]) => name).join(", ");
  at("tags").replaceChildren(...groups);
}

function spelled(category, name) {
  const tag = known.get(`${category} ${name}`);
  return at("spaces").checked && tag ? tag.spaced : name;
}

function group(title, rows) {
  if (!rows.length) return [];
  return [element("h2", "", title), ...rows.map(([name, value]) => row(name, value))];
}

function row(name, value) {
  const line = element("div", "row");
  const meter = element("meter");
  meter.max = 1;
  meter.value = value;
  line.append(element("span", "name", name), meter, element("span", "value", value.toFixed(2)));
  return line;
}

function element(kind, style = "", text = "") {
  const made = document.createElement(kind);
  made.className = style;
  made.textContent = text;
  return made;
}

function first(files) {
  if (files && files.length) send(files[0]);
}

at("file").addEventListener("change", (event) => first(event.target.files));
document.addEventListener("paste", (event) => first(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  first(event.dataTransfer.files);
});
at("controls").addEventListener("input", () => {
  at("threshold").disabled = at("own").checked;
  at("shown").textContent = Number(at("threshold").value).toFixed(2);
  show();
});
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("copy").addEventListener("click", async () => {
  at("text").select();
  if (navigator.clipboard) await navigator.clipboard.writeText(at("text").value);
  else document.execCommand("copy");
});
start();
