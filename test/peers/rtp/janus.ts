/** A real Janus on a free loopback port, spoken to by its REST API (janus.conf.meetecho.com/docs/rest). */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, systemClock } from "../../../src/core/clock.ts";

type Json = Readonly<Record<string, unknown>>;

export type Jsep = { readonly type: string; readonly sdp: string };

/** What a plugin says; Janus names everything in snake case. */
export interface PluginAnswer {
  readonly data: Json;
  readonly jsep?: Jsep;
}

export class Janus implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #url: string;
  #session = 0;

  private constructor(process: ChildProcess, folder: string, url: string) {
    this.#process = process;
    this.#folder = folder;
    this.#url = url;
  }

  static async start(): Promise<Janus> {
    const folder = await mkdtemp(join(tmpdir(), "tonetap-janus-"));
    const port = await freePort();
    const off = (kind: string, names: string): string =>
      `${kind}: { disable = "${names.split(" ").map((name) => `libjanus_${name}.so`)}" }\n`;
    const files = {
      "janus.jcfg":
        "general: { log_to_stdout = true }\n" +
        off("plugins", "sip streaming recordplay textroom videocall voicemail lua duktape nosip echotest") +
        off("transports", "rabbitmq pfunix mqtt nanomsg websockets"),
      "janus.transport.http.jcfg": `general: { http = true, port = ${port}, ip = "127.0.0.1", base_path = "/janus", https = false }\nadmin: { admin_http = false }\n`,
      "janus.plugin.videoroom.jcfg": "general: { }\n",
      "janus.plugin.audiobridge.jcfg": "general: { }\n",
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const child = spawn("janus", ["-F", folder], { stdio: "ignore" });
    const janus = new Janus(child, folder, `http://127.0.0.1:${port}/janus`);
    for (let tries = 0; !(await isUp(janus.#url)); tries++) {
      if (tries > 100 || child.exitCode !== null) throw new RangeError("Janus does not come up");
      await sleep(systemClock, 100);
    }
    const { data } = await janus.#post("", { janus: "create" });
    janus.#session = (data as { readonly id: number }).id;
    return janus;
  }

  /** @returns how to talk to one handle of a plugin */
  async attach(plugin: string): Promise<(body: Json, jsep?: Json) => Promise<PluginAnswer>> {
    const { data } = await this.#post(`/${this.#session}`, { janus: "attach", plugin });
    const handle = (data as { readonly id: number }).id;
    return async (body, jsep) => {
      const transaction = randomUUID();
      const request = { janus: "message", transaction, body, ...(jsep === undefined ? {} : { jsep }) };
      const answer = await this.#post(`/${this.#session}/${handle}`, request);
      const event = answer.janus === "ack" ? await this.#event(transaction) : answer;
      const { data: said } = event.plugindata as { readonly data: Json };
      if (said.error !== undefined) throw new RangeError(`${plugin}: ${said.error}`);
      const negotiated = event.jsep as PluginAnswer["jsep"];
      return { data: said, ...(negotiated === undefined ? {} : { jsep: negotiated }) };
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    if (this.#process.exitCode === null) await exited;
    await rm(this.#folder, { recursive: true });
  }

  /** Long polls until the event of this transaction comes; others (webrtcup, media) are no news here. */
  async #event(transaction: string): Promise<Json> {
    for (;;) {
      const response = await fetch(`${this.#url}/${this.#session}?maxev=1`);
      const event = (await response.json()) as Json;
      if (event.transaction === transaction && event.janus === "event") return event;
    }
  }

  async #post(path: string, body: Json): Promise<Json> {
    const response = await fetch(`${this.#url}${path}`, {
      method: "POST",
      body: JSON.stringify({ transaction: randomUUID(), ...body }),
    });
    const answer = (await response.json()) as Json;
    if (answer.janus === "error") throw new RangeError(JSON.stringify(answer.error));
    return answer;
  }
}

const isUp = (url: string): Promise<boolean> =>
  fetch(`${url}/info`).then(
    ({ ok }) => ok,
    () => false,
  );

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
