// The review page: one question at a time, a grid of one tag, all questions of an image, or the list of tags.
import {ask, begin, byId, delivered, hasMaps, keyOf, portion, record, refresh, say, undo} from "./deciding.js";
import * as parts from "./views.js";

const {el} = parts;
const FEW = 6, POSTS = 4, TAGS = 100, GLANCE = 150;  // GLANCE: ms before details are fetched
let view, busy = false, address = null;  // address: the link to follow next

// ---- views: open(id), decide(decision), takeBack(questions), next(step), keys

const one = {
  name: "one", queue: [], tag: null, near: {}, numOpen: 0,
  async open(tagId) {
    const reply = await portion(tagId);
    [this.queue, this.tag, this.near] = [reply.questions, reply.tag, reply];
    this.numOpen = reply.tag?.open ?? 0;
    this.show();
  },
  show() {
    const question = this.queue[0];
    if (!question) return showDone();
    place(this.name, question.tag_id);
    const details = el("div", {className: "details"});
    byId("main").replaceChildren(el("div", {className: "one"},
      large(question), el("aside", {}, parts.heading(question), parts.probability(question),
        el("p", {className: "soft"}, `${this.numOpen} left of this tag · post ${question.post_id}`), details)));
    this.queue.slice(1, 4).forEach(({post_id}) => { new Image().src = `images/${post_id}`; });
    showDetails(details, question);
  },
  async decide(decision) {
    const question = this.queue[0];
    if (!question) return;
    record([question], () => decision);
    this.queue.shift();
    this.numOpen -= 1;
    if (!this.queue.length) return this.open(question.tag_id);
    this.show();
    if (this.queue.length < FEW && this.numOpen > this.queue.length) this.refill();
  },
  async refill() {
    const tag = this.tag.tag_id;
    const reply = await portion(tag).catch(() => null);
    if (reply?.tag?.tag_id !== tag || this.tag.tag_id !== tag) return;
    const queued = new Set(this.queue.map(keyOf));
    this.queue.push(...reply.questions.filter(question => !queued.has(keyOf(question))));
    this.near = reply;
  },
  async takeBack(questions) {
    const [question] = questions;
    if (question.tag_id !== this.tag?.tag_id || !this.queue.length) await this.open(question.tag_id);
    else this.numOpen += questions.length;
    const back = new Set(questions.map(keyOf));
    this.queue = [...questions, ...this.queue.filter(other => !back.has(keyOf(other)))];
    this.show();
  },
  async next(step) {
    const to = step > 0 ? this.near.next : this.near.previous;
    if (to !== null && to !== undefined) await this.open(to);
  },
  buttons: () => [...answerButtons(), ...mapButtons(), nextButton("Next tag")],
};

const grid = {
  name: "grid", questions: [], choice: [], focus: 0, near: {},
  async open(tagId) {
    this.near = await portion(tagId);
    this.questions = this.near.questions;
    this.choice = this.questions.map(question => question.carried ? "no" : "yes");  // as the audit says
    this.focus = 0;
    this.show();
  },
  show() {
    if (!this.questions.length) return showDone();
    place(this.name, this.near.tag.tag_id);
    const tiles = this.questions.map((question, at) => el("button", {
      type: "button", className: "tile", "data-question": keyOf(question), onclick: () => { this.toggle(at); this.mark(at); },
    }, parts.picture(question.post_id, true), el("span", {className: "choice"}),
    el("small", {}, question.probability === null ? "" : parts.percent(question.probability))));
    byId("main").replaceChildren(el("div", {className: "grid"}, parts.heading(...this.questions),
      el("p", {className: "soft"}, `${this.near.tag.open} left. The audit's own opinion is chosen; change what is wrong.`),
      el("div", {className: "tiles"}, ...tiles)));
    tiles.forEach((_, at) => this.paint(at));
    this.mark(0);
  },
  paint(at) {
    const tile = document.querySelectorAll(".tile")[at];
    tile.dataset.choice = this.choice[at];
    tile.querySelector(".choice").textContent = this.choice[at];
    tile.setAttribute("aria-label", `post ${this.questions[at].post_id}: ${this.choice[at]}`);
  },
  mark(at) {
    const tiles = document.querySelectorAll(".tile");
    this.focus = Math.max(0, Math.min(at, tiles.length - 1));
    tiles[this.focus]?.focus({preventScroll: false});
  },
  toggle(at) {
    const order = ["yes", "no", "unsure"];
    this.choice[at] = order[(order.indexOf(this.choice[at]) + 1) % order.length];
    this.paint(at);
  },
  decide(decision) {
    if (!this.questions.length) return;
    this.choice[this.focus] = decision;
    this.paint(this.focus);
    this.mark(this.focus + 1);
  },
  all(decision) {
    this.choice.fill(decision);
    this.choice.forEach((_, at) => this.paint(at));
  },
  async confirm() {
    if (!this.questions.length) return;
    const choice = new Map(this.questions.map((question, at) => [keyOf(question), this.choice[at]]));
    record(this.questions, question => choice.get(keyOf(question)));
    this.questions = [];
    await this.open(this.near.tag.tag_id);
    byId("main").scrollTop = 0;
  },
  async takeBack(questions) {
    await this.open(questions[0].tag_id);
    const before = new Map(questions.map(question => [keyOf(question), question.was]));
    this.choice = this.questions.map((question, at) => before.get(keyOf(question)) ?? this.choice[at]);
    this.choice.forEach((_, at) => this.paint(at));
  },
  next: one.next,
  move(key) {
    const tiles = [...document.querySelectorAll(".tile")];
    const columns = tiles.filter(tile => tile.offsetTop === tiles[0].offsetTop).length;
    this.mark(this.focus + {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[key]);
  },
  buttons: () => [
    parts.button("All no", "X", "no", () => act(() => grid.all("no"))),
    parts.button("All yes", "A", "yes", () => act(() => grid.all("yes"))),
    parts.button("Confirm", "↵", "confirm", () => act(() => grid.confirm())),
    undoButton(), nextButton("Next tag"),
  ],
};

const image = {
  name: "image", posts: [], focus: 0, skipped: 0,
  async open() {
    await delivered();
    this.posts = (await ask(`posts?limit=${POSTS}&offset=${this.skipped}`)).posts;
    if (!this.posts.length && this.skipped) {
      this.skipped = 0;
      return this.open();
    }
    this.begin();
  },
  begin() {
    this.focus = this.posts.length ? this.posts[0].questions.findIndex(question => question.stands === null) : 0;
    this.show();
  },
  show() {
    const post = this.posts[0];
    if (!post) return showDone();
    place(this.name);
    const rows = post.questions.map((question, at) => el("button", {
      type: "button", className: `row${at === this.focus ? " current" : ""}`, disabled: question.stands !== null,
      onclick: () => { this.focus = at; this.show(); },
    }, el("span", {}, parts.spaced(question.tag)),
    el("small", {}, question.carried ? "carried" : "missing", question.probability === null ? ""
      : ` · ${parts.percent(question.probability)}`), el("b", {className: question.stands ?? ""}, question.stands ?? "")));
    const before = document.querySelector(`.large[data-post="${post.post_id}"] + aside .details`);
    const details = el("div", {className: "details"}, ...(before?.childNodes ?? []));
    byId("main").replaceChildren(el("div", {className: "one"}, large(post.questions[this.focus]),
      el("aside", {}, parts.heading(post.questions[this.focus]), el("div", {className: "rows"}, ...rows), details)));
    const list = document.querySelector(".rows"), current = list.querySelector(".current");
    list.scrollTop = current.offsetTop - list.offsetTop - (list.clientHeight - current.offsetHeight) / 2;
    this.posts.slice(1, 3).forEach(({post_id}) => { new Image().src = `images/${post_id}`; });
    showDetails(details, post.questions[this.focus], true);
  },
  async decide(decision) {
    const post = this.posts[0];
    if (!post) return;
    record([post.questions[this.focus]], () => decision);
    post.questions[this.focus].stands = decision;
    const open = post.questions.map(question => question.stands === null);
    const after = open.indexOf(true, this.focus);
    this.focus = after >= 0 ? after : open.indexOf(true);
    if (this.focus < 0) return this.advance();
    this.show();
  },
  async advance() {
    this.posts.shift();
    while (this.posts.length && this.posts[0].questions.every(question => question.stands !== null)) this.posts.shift();
    if (this.posts.length) this.begin();
    else await this.open();
  },
  async takeBack(questions) {
    await delivered();
    const ids = [...new Set(questions.map(question => question.post_id))];
    const post = await ask(`post/${ids[0]}`);
    this.posts = [post, ...this.posts.filter(other => other.post_id !== post.post_id)];
    this.focus = Math.max(0, post.questions.findIndex(question => keyOf(question) === keyOf(questions[0])));
    this.show();
  },
  async next(step) {
    if (step < 0) this.skipped = Math.max(0, this.skipped - 1);
    else this.skipped += 1;
    await (step < 0 ? this.open() : this.advance());
  },
  buttons: () => [...answerButtons(), ...mapButtons(), nextButton("Skip")],
};

const tags = {
  name: "tags", rows: [], total: 0, find: "", order: "audit", agreed: [],
  async open() {
    place(this.name);
    await delivered();
    const find = el("input", {type: "search", placeholder: "Find a tag", ariaLabel: "Find a tag", value: this.find,
      oninput: event => { this.find = event.target.value; this.load().catch(sayWhy); }});
    const order = el("select", {ariaLabel: "Order", onchange: event => { this.order = event.target.value; this.load().catch(sayWhy); }},
      new Option("as in the audit", "audit"), new Option("most open first", "open"), new Option("by name", "name"));
    order.value = this.order;
    byId("main").replaceChildren(el("div", {className: "overview"}, el("div", {className: "tools"}, find, order),
      el("div", {id: "rows"})));
    await this.load();
  },
  async load(more = false) {
    const {find, order} = this, offset = more ? this.rows.length : 0;
    const reply = await ask(`tags?limit=${TAGS}&offset=${offset}&order=${order}&find=${encodeURIComponent(find)}`);
    if (find !== this.find || order !== this.order || view !== this) return;
    this.rows = more ? [...this.rows, ...reply.tags] : reply.tags;
    const rest = reply.total - this.rows.length;
    byId("rows").replaceChildren(...[parts.agreement(reply.agreement),
      el("div", {className: "wide"}, parts.tagTable(this.rows, id => follow(`#one/${id}`))),
      rest > 0 ? el("button", {type: "button", onclick: () => this.load(true).catch(sayWhy)}, `${rest} more`) : null,
    ].filter(part => part !== null));
  },
  decide() {},
  async takeBack() { await this.open(); },
  next() {},
  buttons: () => [undoButton()],
};

const VIEWS = {one, grid, image, tags};

// The picture a question is about; where it is shown already it stays, so that it does not flicker.
function large(question) {
  let figure = document.querySelector(`.large[data-post="${question.post_id}"]`);
  if (!figure) {
    figure = el("figure", {className: "large", "data-post": question.post_id}, parts.picture(question.post_id));
    swipes(figure);
  }
  if (figure.dataset.map && figure.dataset.question !== keyOf(question)) hideMap(figure);
  figure.dataset.question = keyOf(question);
  return figure;
}

function hideMap(figure) {
  delete figure.dataset.map;
  figure.replaceChildren(parts.picture(figure.dataset.post));
}

// Show where the tagger sees the tag in question, or the picture again.
async function toggleMap() {
  const figure = document.querySelector(".large");
  if (!figure || !hasMaps()) return;
  if (figure.dataset.map) {
    say("");
    return hideMap(figure);
  }
  const [post, tag] = figure.dataset.question.split(" ");
  say("Looking where the tag is seen …");
  const reply = await fetch(`images/${post}/map/${tag}`);
  if (!reply.ok) throw new Error((await reply.json()).error);
  const map = el("img", {alt: `where post ${post} shows the tag`, draggable: false});
  map.src = URL.createObjectURL(await reply.blob());
  await map.decode();
  URL.revokeObjectURL(map.src);
  say("Bright: without these parts the tag would be less likely. The circle is the most important one.");
  figure.dataset.map = tag;
  figure.replaceChildren(map);
}

function showDone() {
  byId("main").replaceChildren(el("div", {className: "done"}, el("h1", {}, "Nothing is left to decide"),
    el("p", {className: "soft"}, "Every question has a decision. They are in the decisions file; "
      + "tools/apply_decisions.py brings them into the database.")));
}

function showDetails(place, question, quietly = false) {
  setTimeout(async () => {
    if (!place.isConnected) return;
    const [post, examples] = await Promise.all([ask(`post/${question.post_id}`),
      ask(`examples/${question.tag_id}?post=${question.post_id}`)]).catch(() => [null, null]);
    if (!post || !place.isConnected) return;
    place.replaceChildren(...[parts.examples(examples, question.tag), parts.labels(post.labels, question.tag),
      quietly ? null : parts.alsoAsked(post.questions, question)].filter(part => part !== null));
  }, GLANCE);
}

// ---- buttons, keys, swipes, addresses

const answerButtons = () => [
  parts.button("No", "N", "no", () => act(() => view.decide("no"))),
  parts.button("Unsure", "U", "unsure", () => act(() => view.decide("unsure"))),
  parts.button("Yes", "Y", "yes", () => act(() => view.decide("yes"))),
  undoButton(),
];
const undoLast = () => undo(questions => view.takeBack(questions));
const undoButton = () => parts.button("Undo", "Z", "plain", () => act(undoLast));
const mapButtons = () => hasMaps() ? [parts.button("Where", "M", "plain", () => act(toggleMap))] : [];
const nextButton = text => parts.button(text, "T", "plain", () => act(() => view.next(1)));

const KEYS = [
  ["Y or →", "yes"], ["N or ←", "no"], ["U or ↓", "unsure"], ["Z or Backspace", "undo; a whole grid at once"],
  ["T, Shift T", "next, previous tag; by image: skip"], ["1 2 3 4", "one by one, grid, by image, tags"],
  ["M", "where the tag is seen (with --maps)"], ["grid: arrows", "move"], ["grid: Space", "change a picture"], ["grid: A, X", "all yes, all no"],
  ["grid: Enter", "confirm all pictures shown"], ["?", "these keys"],
];

// Do one thing at a time: what is pressed while something loads would answer a question nobody has seen.
async function act(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (error) {
    sayWhy(error);
  } finally {
    busy = false;
  }
  if (address !== null) follow(address);
}

const sayWhy = error => say(error.message === "Failed to fetch" ? "The server does not answer." : error.message, true);

// A link is followed later where something loads: its address would be lost, for the page of what loads takes its place.
function follow(hash) {
  address = busy ? hash : null;
  if (!busy) act(() => goToAddress(hash));
}

const ACTIONS = {
  y: () => view.decide("yes"), ArrowRight: () => view.decide("yes"),
  n: () => view.decide("no"), ArrowLeft: () => view.decide("no"),
  u: () => view.decide("unsure"), ArrowDown: () => view.decide("unsure"),
  m: toggleMap, z: undoLast, Backspace: undoLast, t: () => view.next(1), T: () => view.next(-1),
  1: () => go("one"), 2: () => go("grid"), 3: () => go("image"), 4: () => go("tags"),
  "?": () => byId("keys").showModal(),
};
const IN_GRID = {
  ArrowLeft: key => grid.move(key), ArrowRight: key => grid.move(key),
  ArrowUp: key => grid.move(key), ArrowDown: key => grid.move(key),
  " ": () => grid.toggle(grid.focus), Enter: () => grid.confirm(),
  a: () => grid.all("yes"), x: () => grid.all("no"),
};

addEventListener("keydown", event => {
  if (event.metaKey || event.altKey || (event.ctrlKey && event.key !== "z")) return;
  if (event.target.matches("input, select") || byId("keys").open || !view) return;
  const key = event.key.length > 1 || event.key === "T" ? event.key : event.key.toLowerCase();
  const action = (view === grid && IN_GRID[key]) || (view === tags && key.startsWith("Arrow") ? null : ACTIONS[key]);
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || (view === grid && key.startsWith("Arrow"))) act(() => action(key));
});

function swipes(figure) {
  let start = null;
  figure.addEventListener("touchstart", event => { start = event.touches.length === 1 ? event.touches[0] : null; });
  figure.addEventListener("touchend", event => {
    const end = event.changedTouches[0];
    if (!start || Math.abs(end.clientX - start.clientX) < 70) return;
    if (Math.abs(end.clientY - start.clientY) < 50) act(() => view.decide(end.clientX > start.clientX ? "yes" : "no"));
  });
}

// Keep where we are in the address, so that a reload comes back to it.
function place(name, tagId) {
  history.replaceState(null, "", `#${name}${tagId === undefined ? "" : `/${tagId}`}`);
}

async function go(name, tagId = null) {
  if (tagId === null && view !== undefined && (name === "one" || name === "grid")) {
    tagId = view.near?.tag?.tag_id ?? one.tag?.tag_id ?? null;
  }
  view = VIEWS[name] ?? one;
  for (const link of byId("nav").children) link.classList.toggle("current", link.hash === `#${view.name}`);
  byId("actions").replaceChildren(...view.buttons());
  await view.open(tagId);
}

function goToAddress(hash) {
  const [name, tagId] = hash.slice(1).split("/");
  return go(name, tagId ? Number(tagId) : null);
}

async function start() {
  byId("keylist").replaceChildren(...KEYS.flatMap(([key, what]) => [el("dt", {}, key), el("dd", {}, what)]));
  byId("nav").append(el("button", {type: "button", ariaLabel: "Keys", onclick: () => byId("keys").showModal()}, "?"));
  await begin();
  await goToAddress(location.hash).catch(error => go("one").then(() => say(error.message, true)));
}

addEventListener("hashchange", () => follow(location.hash));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
act(start);
