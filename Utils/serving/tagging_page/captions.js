// What a caption says: the tags above their thresholds, edited as the server's options say and by hand, and
// spelled. The rules are those of tag_images.py: Utils/serving/tag_selection.py, tag_edits.py, Utils/tags/sidecars.py.

const COMPARED = (one, other) => other.probability - one.probability || one.row - other.row;

// The model: its tag list by name, and the rules of the server.
export class Tags {
  constructor(list, rules) {
    this.rules = rules;
    this.byName = new Map(list.map((tag, row) => [tag.name, {...tag, row}]));
    this.byKey = new Map([...this.byName.keys()].map(name => [keyOf(name), name]));
    this.categories = new Map();  // name -> thresholds of its tags, rising
    for (const {category, threshold} of list) {
      if (threshold === null) continue;  // a rating
      if (!this.categories.has(category)) this.categories.set(category, []);
      this.categories.get(category).push(threshold);
    }
    for (const thresholds of this.categories.values()) thresholds.sort((one, other) => one - other);
  }

  // All tags of a reply of the server, as a list, the most probable first.
  ranked(answer) {
    return Object.entries(answer.tags).flatMap(([category, tags]) => Object.entries(tags).map(([name, probability]) => (
      {name, category, probability, row: this.byName.get(name)?.row ?? Infinity}))).sort(COMPARED);
  }

  // Those above their thresholds; limits: Map of a category's own threshold, where a slider was moved.
  selected(ranked, limits) {
    const above = ranked.filter(({name, category, probability}) =>
      probability > (limits.get(category) ?? this.byName.get(name)?.threshold ?? 1));
    return this.edited(above.slice(0, this.rules.max_tags ?? above.length));
  }

  edited(tags) {
    const {aliases, implications} = this.rules, renamed = new Map(), all = new Map();
    const named = (tag, name) => ({...tag, name, category: this.byName.get(name)?.category ?? tag.category});
    for (const tag of tags) {
      const name = aliases[tag.name] ?? tag.name;
      if (!renamed.has(name)) renamed.set(name, named(tag, name));
    }
    for (const [name, tag] of renamed) {
      if (!all.has(name)) all.set(name, tag);
      for (const implied of implications[name] ?? [])
        if (!renamed.has(implied) && !all.has(implied)) all.set(implied, named(tag, implied));
    }
    return [...all.values()];
  }

  // The name of a tag as somebody types it, else the words as they were typed.
  nameOf(typed) {
    return this.byKey.get(keyOf(typed)) ?? typed;
  }

  spelled({name, byHand}, style) {
    if (byHand && !this.byName.has(name)) return name;  // as it was typed
    const text = style.spaces && !isEmoticon(name) ? name.replaceAll("_", " ") : name;
    return style.escape ? text.replace(/[\\()]/g, "\\$&") : text;
  }
}

const isEmoticon = name => name.split("_").every(part => (part.match(/[\p{L}\p{N}]/gu) ?? []).length <= 1);
// What all spellings of a tag have in common.
export const keyOf = word => word.replace(/\\([\\()])/g, "$1").replaceAll(" ", "_").toLowerCase();
// Words that a caption is typed of, each once. A name with a comma would be two.
export const words = text => [...new Set(text.split(/[,\t\n]/).map(word => word.trim()).filter(Boolean))];
export const isSeparable = name => !/[,\n]/.test(name);

// Map of pictures' paths to their captions': a.txt, but a.png.txt where a.jpg has a.txt.
export function captionNames(paths) {
  const lower = new Set(paths.map(path => path.toLowerCase())), taken = new Set(), names = new Map();
  for (const path of [...paths].sort()) {
    const stem = path.replace(/(?<=[^/])\.[^./]*$/, ""), key = stem.toLowerCase();
    names.set(path, `${taken.has(key) || (lower.has(key) && stem !== path) ? path : stem}.txt`);
    taken.add(key);
  }
  return names;
}
