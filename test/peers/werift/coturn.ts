/** Debian's coturn on 127.0.0.1, with a secret that makes credentials which expire. */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Coturn implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;
  #log = "";

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
    child.stdout?.on("data", (text: Buffer) => {
      this.#log += text;
    });
  }

  static async start(secret: string): Promise<Coturn> {
    const probe = createSocket("udp4").bind(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    const folder = await mkdtemp(join(tmpdir(), "tonetap-coturn-"));
    const options = [
      ["listening-ip", "127.0.0.1"],
      ["listening-port", String(port)],
      ["relay-ip", "127.0.0.1"],
      ["realm", "tonetap.test"],
      ["static-auth-secret", secret],
      ["userdb", join(folder, "turndb")],
      ["pidfile", join(folder, "pid")],
      ["log-file", "stdout"],
      ["use-auth-secret"],
      ["allow-loopback-peers"],
      ["no-tls"],
      ["no-dtls"],
      ["no-cli"],
      ["verbose"],
    ].map(([name, value]) => (value === undefined ? `--${name}` : `--${name}=${value}`));
    const child = spawn("turnserver", ["-n", ...options], { stdio: ["ignore", "pipe", "inherit"] });
    const coturn = new Coturn(`turn:127.0.0.1:${port}?transport=udp`, child, folder);
    for (let tries = 0; !coturn.#log.includes("listener opened"); tries++) {
      if (tries === 100 || child.exitCode !== null)
        throw new Error(`coturn does not come up: ${coturn.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return coturn;
  }

  /** Users that took a relay so far. */
  get allocations(): string[] {
    return [...this.#log.matchAll(/user <([^>]*)>: incoming packet ALLOCATE processed, success/g)].map(
      ([, user]) => user ?? "",
    );
  }

  get log(): string {
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await once(this.#child, "exit");
    await rm(this.#folder, { recursive: true, force: true });
  }
}
