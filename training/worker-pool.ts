/** Threads that do one kind of job. Answers come in the order of the jobs. What a job is, its script says. */
import { Worker } from "node:worker_threads";
import { TonetapError } from "../src/core/errors.ts";

/** Jobs sent or waiting for an earlier one's answer, for each thread. */
const AHEAD = 8;

/** An answer carries its job's id; a job that failed has a reason instead of a result. */
export interface JobAnswer {
  readonly id: number;
  readonly reason?: string;
}

/** One thread, one job at a time. A job that kills its thread fails alone: the next one gets a new thread. */
class JobThread<Job extends { readonly id: number }, Answer extends JobAnswer> {
  readonly #script: URL;
  #worker: Worker | undefined;
  /** Done when the last job that was sent is. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(script: URL) {
    this.#script = script;
  }

  run(job: Job): Promise<Answer | JobAnswer> {
    const answer = this.#last.then(() => this.#send(job));
    this.#last = answer;
    return answer;
  }

  #send(job: Job): Promise<Answer | JobAnswer> {
    const worker = this.#worker ?? new Worker(this.#script);
    this.#worker = worker;
    return new Promise((resolve) => {
      const settle = (answer: Answer | JobAnswer): void => {
        // One by one: removeAllListeners would take away Node's own, and the worker would fall silent.
        worker.off("message", settle).off("error", onError).off("exit", onExit);
        resolve(answer);
      };
      const lost = (reason: string): void => {
        this.#worker = undefined;
        settle({ id: job.id, reason });
      };
      const onError = (error: unknown): void => lost(`its thread died: ${TonetapError.from(error).message}`);
      const onExit = (code: number): void => lost(`its thread ended with ${code}`);
      worker.on("message", settle).on("error", onError).on("exit", onExit);
      worker.postMessage(job);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }
}

export class WorkerPool<Job extends { readonly id: number }, Answer extends JobAnswer> {
  readonly #threads: JobThread<Job, Answer>[];

  /** @param script answers each message, a Job, with one message, an Answer. */
  constructor(script: URL, threads: number) {
    this.#threads = Array.from({ length: threads }, () => new JobThread<Job, Answer>(script));
  }

  /** Whichever thread is faster, the order is the jobs'. Jobs are taken as answers are: memory stays bounded. */
  async *run(jobs: Iterable<Job>): AsyncGenerator<Answer | JobAnswer> {
    const inFlight: Promise<Answer | JobAnswer>[] = [];
    let sent = 0;
    for (const job of jobs) {
      const thread = this.#threads[sent++ % this.#threads.length];
      if (thread !== undefined) inFlight.push(thread.run(job));
      if (inFlight.length >= AHEAD * this.#threads.length) {
        const first = inFlight.shift();
        if (first !== undefined) yield await first;
      }
    }
    for (const answer of inFlight) yield await answer;
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}
