/**
 * Debian's headless Firefox for tests, by WebDriver BiDi (whether it is installed is system-peers.ts): playwright-core speaks to its own Firefox only. As much of the
 * protocol as a page with a microphone needs, and a sound card without sound: Firefox's AudioContext stands still
 * where there is none.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { CloseStack } from "../../src/core/lifecycle.ts";

const PREFERENCES = {
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  // No download, no telemetry, no first-run page.
  "app.update.auto": false,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "media.gmp-manager.url": "",
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "",
  "toolkit.telemetry.server": "",
} as const;

export class Firefox implements AsyncDisposable {
  readonly #resources: CloseStack;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #nextId = 1;
  #version = "";

  private constructor(socket: WebSocket, resources: CloseStack) {
    this.#socket = socket;
    this.#resources = resources;
    socket.on("message", (text) => {
      const { id, type, result, message } = JSON.parse(String(text));
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (type === "success") waiting?.resolve(result as never);
      else waiting?.reject(new Error(message));
    });
  }

  /** @param preload runs in every page before its own scripts. */
  static async launch(preload: string): Promise<Firefox> {
    const resources = new CloseStack();
    try {
      const folder = await mkdtemp(join(tmpdir(), "tonetap-firefox-"));
      resources.defer("folder", () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
      const firefox = new Firefox(await connect(folder, resources), resources);
      const { capabilities } = await firefox.#send<{ capabilities: { browserVersion: string } }>(
        "session.new",
        { capabilities: {} },
      );
      firefox.#version = capabilities.browserVersion;
      await firefox.#send("script.addPreloadScript", { functionDeclaration: `() => { ${preload} }` });
      return firefox;
    } catch (error) {
      await resources.close();
      throw error;
    }
  }

  get version(): string {
    return this.#version;
  }

  /** Opens a page; resolves when it has loaded. */
  async open(url: string): Promise<FirefoxPage> {
    const { context } = await this.#send<{ context: string }>("browsingContext.create", { type: "tab" });
    await this.#send("browsingContext.navigate", { context, url, wait: "complete" });
    return {
      /** Awaits promises; gives numbers, texts and the like. */
      evaluate: async (expression) => {
        const { type, result, exceptionDetails } = await this.#send<{
          type: string;
          result: { value: unknown };
          exceptionDetails: { text: string };
        }>("script.evaluate", {
          expression,
          target: { context },
          awaitPromise: true,
          userActivation: true,
        });
        if (type !== "success") throw new Error(`Firefox: ${exceptionDetails.text}`);
        return result.value;
      },
      close: async () => {
        await this.#send("browsingContext.close", { context });
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.close();
  }

  #send<R>(method: string, params: object): Promise<R> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

export interface FirefoxPage {
  evaluate(expression: string): Promise<unknown>;
  close(): Promise<void>;
}

/** Starts the sound card, then the browser; connects to it. */
async function connect(folder: string, resources: CloseStack): Promise<WebSocket> {
  const profile = join(folder, "profile");
  await mkdir(profile);
  const preferences = Object.entries(PREFERENCES).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  await writeFile(join(profile, "user.js"), preferences.join(""));
  const sound = join(folder, "sound");
  const env = { ...process.env, XDG_RUNTIME_DIR: folder, PULSE_SERVER: `unix:${sound}` };
  const pulseaudio = [
    "-n",
    "--daemonize=no",
    "--exit-idle-time=-1",
    "--use-pid-file=no",
    "--log-level=error",
  ];
  pulseaudio.push("--load=module-null-sink", `--load=module-native-protocol-unix socket=${sound}`);
  start("pulseaudio", pulseaudio, env, resources);
  for (let tries = 0; !existsSync(sound); tries++) {
    if (tries === 100) throw new Error("pulseaudio does not come up");
    await sleep(systemClock, 50);
  }
  const browser = start(
    "firefox-esr",
    ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
    env,
    resources,
  );
  const socket = new WebSocket(`${await listening(browser)}/session`);
  resources.defer("WebSocket", () => socket.close());
  await once(socket, "open");
  return socket;
}

function start(command: string, args: string[], env: NodeJS.ProcessEnv, resources: CloseStack): ChildProcess {
  const child = spawn(command, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  resources.defer(command, async () => {
    if (child.exitCode !== null || !child.kill()) return;
    await once(child, "exit");
  });
  return child;
}

/** The address that Firefox says it listens on. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`Firefox ended with ${code} before it listened`)));
    if (child.stderr === null) return;
    createInterface({ input: child.stderr }).on("line", (line) => {
      const url = /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}
