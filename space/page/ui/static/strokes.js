// What becomes of strokes. A stroke is two arrays of class ids: ``before`` it and ``after`` it.

const sameIds = (one, other) => one.every((id, i) => id === other[i]);

// Class ids with what a stroke changed, whatever they are elsewhere.
const withStroke = (ids, { before, after }) => ids.map((id, i) => (before[i] === after[i] ? id : after[i]));

// The steps of a map that is no part of a session: they are remembered here.
class LocalSteps {
  static MOST = 60;
  past = [];
  future = [];

  add({ before }) {
    this.past = [...this.past.slice(1 - LocalSteps.MOST), before];
    this.future = [];
  }

  // The ids to go back to, or none.
  undo(ids) {
    return this.#step(this.past, this.future, ids);
  }

  redo(ids) {
    return this.#step(this.future, this.past, ids);
  }

  #step(from, to, ids) {
    if (!from.length) return null;
    to.push(ids);
    return from.pop();
  }
}

// Strokes on their way to the session, which draws them and can undo them. Two at most wait for their answers, each to
// be a step of its own; those painted meanwhile are one stroke, which is sent when the first answer comes.
class Outbox {
  static AT_ONCE = 2;
  static KNOWN = 50;
  sent = [];
  waiting = null;
  number = 0;
  answered = 0;

  constructor(send) {
    this.send = send;
  }

  add({ before, after }) {
    this.waiting = { before: this.waiting?.before ?? before, after };
    this.#pass();
  }

  // Send what waits: something is to happen after it.
  flush() {
    if (!this.waiting) return;
    const stroke = { ...this.waiting, number: ++this.number };
    this.waiting = null;
    this.sent = [...this.sent.slice(1 - Outbox.KNOWN), stroke];
    this.send(stroke);
  }

  // The session has this stroke, and those before it.
  answer(number) {
    this.answered = number;
    this.#pass();
  }

  // Some stroke was refused, such as by a queue that is full: all that have no answer go with the next one.
  refuse() {
    const lost = this.since(this.answered);
    if (!lost.length) return;
    this.waiting = { before: lost[0].before, after: lost.at(-1).after };
    this.sent = this.sent.filter(({ number }) => number <= this.answered);
  }

  // The strokes after one of this number, the oldest first.
  since(number) {
    return [...this.sent.filter((stroke) => stroke.number > number), ...(this.waiting ? [this.waiting] : [])];
  }

  get busy() {
    return this.since(this.answered).length > 0;
  }

  #pass() {
    if (this.sent.filter(({ number }) => number > this.answered).length < Outbox.AT_ONCE) this.flush();
  }
}
