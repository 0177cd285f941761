// Parts of the page as elements; text from outside goes in as text only.
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

export const percent = share => `${(100 * share).toFixed(share > 0 && (share < 0.1 || share > 0.99) && share < 1 ? 1 : 0)}%`;
export const spaced = tag => tag.replaceAll("_", " ");
const number = value => value.toLocaleString("en");

export function button(text, key, kind, onclick) {
  return el("button", {type: "button", className: kind, onclick, title: `key ${key}`}, text, el("kbd", {}, key));
}

export function picture(post, small, alt = `post ${post}`) {
  const image = el("img", {src: `images/${post}${small ? "/small" : ""}`, alt, draggable: false});
  image.addEventListener("error", () => image.replaceWith(el("p", {className: "absent"}, `no image of post ${post}`)));
  return image;
}

// Asks about one tag on one or more posts.
export function heading(...questions) {
  const carried = questions.filter(question => question.carried).length;
  const posts = questions.length > 1 ? "These posts" : "The post", s = questions.length > 1 ? "" : "s";
  const carries = !carried ? `${posts} lack${s} this tag.` : carried === questions.length
    ? `${posts} ${s ? "carries" : "carry"} this tag.` : "Some of these posts carry this tag, some lack it.";
  return el("div", {className: "question"}, el("h1", {}, spaced(questions[0].tag)),
    el("p", {className: "soft"}, el("span", {className: "category"}, questions[0].category),
      ` ${carries} ${questions.length > 1 ? "Which pictures show it?" : "Does the picture show it?"}`));
}

export function probability(question) {
  if (question.probability === null) return null;
  return el("div", {className: "probability"},
    el("span", {}, "The model says"), el("meter", {value: question.probability, min: 0, max: 1}),
    el("b", {}, percent(question.probability)));
}

export function section(title, ...children) {
  return el("section", {}, el("h2", {}, title), ...children);
}

export function labels(tags, current) {
  if (!tags) return null;
  const chips = tags.map(({name, category}) =>
    el("li", {className: `chip ${category}${name === current ? " current" : ""}`, title: category}, spaced(name)));
  return section("Tags of the post", el("ul", {className: "chips"}, ...chips));
}

export function alsoAsked(questions, current) {
  const others = questions.filter(question => question.tag_id !== current.tag_id);
  if (!others.length) return null;
  const chips = others.map(question => el("li", {className: `chip ${question.stands ?? ""}`}, spaced(question.tag),
    el("small", {}, question.stands ?? (question.probability === null ? "?" : percent(question.probability)))));
  return section("Also asked about it", el("ul", {className: "chips"}, ...chips));
}

export function examples(reply, tag) {
  if (!reply.posts.length) return null;
  const title = reply.nearest ? `Similar posts with “${spaced(tag)}”` : `Posts with “${spaced(tag)}”`;
  return section(title, el("div", {className: "examples"}, ...reply.posts.map(post => picture(post, true))));
}

export function progressText(progress) {
  const clear = progress.yes + progress.no;
  return `${number(progress.decided)} of ${number(progress.questions)} decided`
    + (clear ? ` · ${percent(progress.yes / clear)} yes` : "");
}

// One row a tag; choose(tag_id) is called for a click beside the link, which leads to the same.
export function tagTable(rows, choose) {
  const head = ["tag", "decided", "of", "yes", "no", "unsure", "share of yes"].map(name => el("th", {}, name));
  const body = rows.map(row => {
    const clear = row.yes + row.no, link = el("a", {href: `#one/${row.tag_id}`}, spaced(row.name));
    const cells = [row.questions - row.open, row.questions, row.yes, row.no, row.unsure].map(value =>
      el("td", {}, number(value)));
    const share = clear ? [el("meter", {value: row.yes / clear}), el("span", {}, percent(row.yes / clear))] : ["–"];
    return el("tr", {className: row.open ? "" : "done", onclick: event => event.target === link || choose(row.tag_id)},
      el("td", {className: "name"}, link, el("small", {}, row.category)), ...cells,
      el("td", {className: "share"}, ...share));
  });
  return el("table", {className: "counts"}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}

export function agreement(rows) {
  if (!rows.length) return null;
  const head = ["reviewers", "both decided", "same answer", "Cohen's kappa"].map(name => el("th", {}, name));
  const body = rows.map(row => el("tr", {}, el("td", {className: "name"}, `${row.first} and ${row.second}`),
    el("td", {}, number(row.both)), el("td", {}, percent(row.same / row.both)),
    el("td", {}, row.kappa === null ? "–" : row.kappa.toFixed(2))));
  return section("Agreement",
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
}
