// Decisions on their way. They stay in the tab's storage until the server has them on its disk, so that neither
// a reload nor a server that is away loses one. Messages carry a number, also when they are sent again: the
// server knows a copy by it, however late it comes. A new sender begins with each load of the page, because
// a tab that is duplicated has the storage of the first.
export class Outbox {
  // onReply(answers, reply) is called for every message that arrived, onTrouble(text) when one did not, and
  // with "" when all is well again.
  constructor(review, onReply, onTrouble) {
    this.place = `decisions of review ${review}`;
    this.sender = [...crypto.getRandomValues(new Uint32Array(4))].map(n => n.toString(36)).join("-");
    this.number = 0;
    // Before messages had numbers they were lists of answers.
    this.messages = JSON.parse(sessionStorage.getItem(this.place) || "[]")
      .map(message => Array.isArray(message) ? {answers: message} : message);
    this.onReply = onReply;
    this.onTrouble = onTrouble;
    this.sending = null;
    addEventListener("beforeunload", event => { if (this.messages.length) event.preventDefault(); });
    addEventListener("online", () => this.send());
  }

  get waiting() {
    return this.messages.flatMap(({answers}) => answers);
  }

  add(answers) {
    const sent = answers.map(({post_id, tag_id, decision}) => ({post_id, tag_id, decision}));
    this.number += 1;
    this.messages.push({answers: sent, sender: this.sender, number: this.number});
    this.keep();
    this.send();
  }

  keep() {
    sessionStorage.setItem(this.place, JSON.stringify(this.messages));
  }

  // Resolves when nothing is left to send.
  send() {
    this.sending ??= this.sendAll().finally(() => { this.sending = null; });
    return this.sending;
  }

  async sendAll() {
    for (let wait = 250, troubled = false; this.messages.length;) {
      const problem = await this.sendFirst();
      if (problem === "") {
        if (troubled) this.onTrouble("");
        [wait, troubled] = [250, false];
        continue;
      }
      troubled = true;
      const number = this.waiting.length;
      this.onTrouble(`${problem}. ${number} decision${number > 1 ? "s are" : " is"} kept here and sent again.`);
      await new Promise(done => setTimeout(done, wait));
      wait = Math.min(2 * wait, 4000);
    }
  }

  // Returns "" when the first message is dealt with, else what stands against it.
  async sendFirst() {
    const message = this.messages[0];
    let reply, content;
    try {
      reply = await fetch("api/decisions", {
        method: "POST", keepalive: true,
        headers: {"Content-Type": "application/json"}, body: JSON.stringify(message),
      });
      content = await reply.json();
    } catch {
      return "The server does not answer";
    }
    if (reply.status >= 500 || reply.status === 403) return content.error;
    this.messages.shift();
    this.keep();
    this.onReply(message.answers, content);
    return "";
  }
}
