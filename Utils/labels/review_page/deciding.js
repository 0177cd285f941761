// What the page knows of the review: what was decided in this tab, what is on its way, what the server says.
import {Outbox} from "./outbox.js";
import {progressText} from "./views.js";

const PORTION = 24;  // questions that are asked for at a time
const undoable = [];  // lists of answers, each decided at once in this tab since it was loaded
const answered = new Set();  // decided since the last portion was asked for
let state, outbox, loading = Promise.resolve();

export const byId = id => document.getElementById(id);
export const keyOf = ({post_id, tag_id}) => `${post_id} ${tag_id}`;

export async function ask(path) {
  const reply = await fetch(`api/${path}`), content = await reply.json();
  if (!reply.ok) throw new Error(content.error);
  return content;
}

export function say(text, isTrouble = false) {
  byId("status").textContent = text;
  byId("status").className = isTrouble ? "trouble" : "";
}

function showProgress() {
  byId("count").textContent = progressText(state.progress);
  byId("reviewer").textContent = state.reviewer;
  byId("bar").value = state.progress.decided / state.progress.questions;
}

// Decide questions at once; decide(question) says how.
export function record(questions, decide) {
  const answers = questions.map(question => ({...question, decision: decide(question)}));
  answers.forEach(answer => answered.add(keyOf(answer)));
  undoable.push(answers);
  say("");
  outbox.add(answers);
}

// Take the last decision back, or what was decided at once with it; takeBack(questions) shows them again.
export async function undo(takeBack) {
  if (!undoable.length) await outbox.send();  // then the server knows the last one
  const answers = undoable.pop() ?? state.last;
  if (!answers.length) return say("There is nothing to undo.");
  answers.forEach(answer => answered.delete(keyOf(answer)));
  outbox.add(answers.map(answer => ({...answer, decision: "undo"})));
  const back = answers.map(answer => ({...answer, stands: null, was: answer.decision ?? answer.stands}));
  await takeBack(back);
  say(back.length > 1 ? `Taken back: ${back.length} decisions.` : `Taken back: ${back[0].was}.`);
}

function onReply(answers, reply) {
  if (reply.error) return say(`Not recorded: ${reply.error}`, true);
  state = reply;
  showProgress();
  reply.answers.forEach(({recorded, stands}, at) => {
    if (recorded || !stands || stands === answers[at].decision) return;
    say(`It was decided before: ${stands}.`);  // in another tab: nothing of ours is there to undo
    const place = undoable.findIndex(batch => batch.some(answer => keyOf(answer) === keyOf(answers[at])));
    if (place >= 0) undoable[place] = undoable[place].filter(answer => keyOf(answer) !== keyOf(answers[at]));
    if (place >= 0 && !undoable[place].length) undoable.splice(place, 1);
  });
}

// Ask for open questions of a tag, or of the next one that has any; one request after the other.
export function portion(tagId) {
  loading = loading.catch(() => {}).then(async () => {
    for (;;) {
      await outbox.send();
      answered.clear();
      const reply = await ask(`questions?limit=${PORTION}${tagId === null ? "" : `&tag=${tagId}`}`);
      reply.questions = reply.questions.filter(question => !answered.has(keyOf(question)));
      if (reply.questions.length || reply.next === null) return reply;
      tagId = reply.next;
    }
  });
  return loading;
}

// Whether the server can show where a tag is seen.
export const hasMaps = () => state?.maps ?? false;

// Resolves when the server has every decision on its disk.
export const delivered = () => outbox.send();

export async function begin() {
  state = await ask("state");
  outbox = new Outbox(state.review, onReply, text => say(text, true));
  await delivered();
  showProgress();
}

// Other tabs may have decided meanwhile.
export async function refresh() {
  const before = state, now = before && await ask("state").catch(() => null);
  if (!now || state !== before) return;  // a decision has brought a newer one
  state = now;
  showProgress();
}
