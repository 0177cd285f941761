// The pictures of the page: what the server says of each, and what was changed by hand.

const AT_A_TIME = 6;  // requests; browsers make no more to one server
const TRIES = 5;  // where the server is busy
const LEAST = 0.05;  // of the sliders; tags below every threshold that can be set are not asked for

export async function get(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
}

export const isPicture = file => file.type.startsWith("image/");

export class Picture {
  constructor(file, path) {
    this.file = file;
    this.path = path;
    this.address = URL.createObjectURL(file);
    this.ranked = null;  // the tags that the server gives, once it has
    this.error = "";
    this.put = [];  // names by hand
    this.cut = new Set();  // names taken away by hand
    this.rated = null;  // a rating by hand
  }

  get rating() {
    return this.rated ?? this.answer?.rating ?? null;
  }

  get edits() {
    return [[...this.put], new Set(this.cut), this.rated];
  }

  set edits([put, cut, rated]) {
    [this.put, this.cut, this.rated] = [put, cut, rated];
  }
}

export class Sender {
  // onChange(picture) is called when a picture has its tags, or an error instead of them.
  constructor(onChange) {
    this.onChange = onChange;
    this.waiting = [];
    this.running = 0;
    this.generation = 0;  // of the model: what an earlier one says comes too late
  }

  setModel(name, tags) {
    this.generation += 1;
    this.model = name;
    this.tags = tags;
    const lowest = [...tags.categories.values()].map(thresholds => thresholds[0]);
    this.least = Math.min(LEAST, ...lowest);
    this.waiting = [];
  }

  add(pictures) {
    this.waiting.push(...pictures);
    while (this.running < AT_A_TIME && this.waiting.length) this.work();
  }

  async work() {
    this.running += 1;
    for (let picture; (picture = this.waiting.shift());) {
      if (picture.removed) continue;
      const {generation, tags} = this;
      const answer = await this.tagged(picture).catch(error => ({error: error.message}));
      if (generation !== this.generation) continue;
      picture.error = answer.error ?? "";
      picture.answer = answer.error ? null : answer;
      picture.ranked = answer.error ? null : tags.ranked(answer);
      this.onChange(picture);
    }
    this.running -= 1;
  }

  async tagged(picture) {
    const address = `tag?raw=1&threshold=${this.least}&model=${encodeURIComponent(this.model)}`;
    for (let attempt = 1; ; attempt++) {
      const headers = {"Content-Type": "application/octet-stream"};
      const reply = await fetch(address, {method: "POST", headers, body: picture.file})
        .catch(() => { throw new Error("The server does not answer"); });
      const content = await reply.json().catch(() => ({error: `The server answers ${reply.status}`}));
      if (reply.status !== 503 || attempt === TRIES) return content;
      await new Promise(done => setTimeout(done, 1000 * Number(reply.headers.get("Retry-After") ?? 1)));
    }
  }
}

// [[File, its path], ...] of what was dropped, with all that lies in folders.
export async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(entry => entry.isDirectory)) return [...transfer.files].map(file => [file, file.name]);
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return files;
}

async function walk(entry, files) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    files.push([file, entry.fullPath.replace(/^\//, "")]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {  // it gives a hundred at a time
    const portion = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!portion.length) return;
    for (const inner of portion) await walk(inner, files);
  }
}
