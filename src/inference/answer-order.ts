/** Gives answers out in the order of the questions, key by key, whatever order they become known in. */

/** One question that waits for its answer. */
export interface Question<A> {
  readonly key: string;
  readonly resolve: (answer: A) => void;
  /** Known, but held until the questions before it are answered. */
  answer: A | undefined;
}

export class AnswerOrder<A extends object> {
  /** Unanswered questions of each key, oldest first. */
  readonly #lines = new Map<string, Question<A>[]>();

  ask(key: string): { readonly question: Question<A>; readonly answer: Promise<A> } {
    const { promise, resolve } = Promise.withResolvers<A>();
    const question: Question<A> = { key, resolve, answer: undefined };
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, [question]);
    else line.push(question);
    return { question, answer: promise };
  }

  /** Call once a question. */
  answer(question: Question<A>, answer: A): void {
    question.answer = answer;
    const line = this.#lines.get(question.key);
    if (line === undefined) return;
    for (let head = line[0]; head?.answer !== undefined; head = line[0]) {
      line.shift();
      head.resolve(head.answer);
    }
    if (line.length === 0) this.#lines.delete(question.key);
  }
}
