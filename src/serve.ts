/** `tonetap serve`: the service until it is told to stop. */
import type { Writable } from "node:stream";
import type { Config } from "./config.ts";
import { TonetapError } from "./core/errors.ts";
import type { Engine } from "./engine.ts";
import { relaxHeapLimit } from "./heap-limit.ts";
import type { BatchPlan } from "./inference/index.ts";
import { reloadModel } from "./model-routes.ts";
import { createLog, type Logger, logCalls, logDefect } from "./observability/index.ts";
import { Service } from "./service.ts";
import { isLoopback } from "./service-access.ts";

export interface ServeOptions {
  readonly config: Config;
  readonly out: Writable;
  readonly signal: AbortSignal;
  /** Told of defects, instead of `out`. */
  readonly log?: Logger;
}

export interface RunOptions extends ServeOptions {
  /** Where the log goes. */
  readonly logTo: Writable;
  /** Calls the task when the model is to be read anew. @returns takes it back */
  readonly onReload?: (task: () => void) => () => void;
}

/** @returns the exit code */
export async function runService({ config, out, logTo, signal, onReload }: RunOptions): Promise<number> {
  const log = createLog({ ...config.log, out: logTo });
  await using service = await openService({ config, out, signal, log });
  // Ends with the engine: that everyone left is the last that it says.
  logCalls(service.engine, log);
  out.write(`Events  ${new URL("v1/events", service.url).href.replace(/^http/, "ws")}\n`);
  out.write(`WHIP    ${new URL("whip", service.url).href}\n`);
  const mediaUrl = new URL("v1/media/", service.url).href.replace(/^http/, "ws");
  out.write(`Media   ${mediaUrl}{twilio,audiohook,jitsi}\n`);
  const audioSocket = service.audioSocket?.address;
  if (audioSocket !== undefined) out.write(`AudioSocket ${audioSocket.host}:${audioSocket.port}\n`);
  for (const [transport, { host, port }] of service.sip?.addresses ?? []) {
    out.write(`SIP     ${transport} ${host}:${port}\n`);
  }
  const unwatch = onReload?.(() => {
    reloadModel(service.engine).then(
      (outcome) => out.write(`Model   ${outcome}\n`),
      (error: unknown) => out.write(`Model   not changed: ${TonetapError.from(error).message}\n`),
    );
    service.renewCertificate().then(
      (has) => has && out.write("TLS     the certificate is read again\n"),
      (error: unknown) => out.write(`TLS     not changed: ${TonetapError.from(error).message}\n`),
    );
  });
  await aborted(signal);
  unwatch?.();
  out.write("Closing: everyone is detached, last windows are answered …\n");
  return 0;
}

/** Opens the service and says where it is and what runs the model. */
export async function openService({ config, out, signal, log }: ServeOptions): Promise<Service> {
  relaxHeapLimit();
  const service = await Service.open(config, {
    signal,
    onError: (error: TonetapError) => {
      if (log === undefined) out.write(`defect: ${error.stack ?? error.message}\n`);
      else logDefect(log, error);
    },
  }).catch((error: unknown) => {
    throw error instanceof TonetapError && error.code === "conflict"
      ? new TonetapError("conflict", `${error.message}; --service-port takes another, 0 any that is free`, {
          cause: error,
        })
      : error;
  });
  out.write(`Tonetap ${service.url.href}\n`);
  if (!isLoopback(config.service.host) && config.auth.anonymous === "anyone") {
    out.write(
      "Warning Nobody is asked who they are: whoever reaches this address can listen, attach and detach.\n",
    );
  }
  if (!isLoopback(config.service.host) && config.service.tlsCertFile === "") {
    out.write(
      "Warning Keys and events travel in the clear: see service.tlsCertFile, or put a proxy that ends TLS in front.\n",
    );
  }
  const { sip } = config;
  const anyoneMayCall = sip.allowedPeers.length === 0 && sip.usersFile === "";
  if (service.sip !== undefined && !isLoopback(sip.host) && anyoneMayCall) {
    out.write("Warning Whoever reaches the SIP port can call: see sip.allowedPeers and sip.usersFile.\n");
  }
  if (service.audioSocket !== undefined && !isLoopback(config.audioSocket.host)) {
    out.write("Warning AudioSocket has no login: whoever reaches its port can send a call.\n");
  }
  out.write(`Model   ${describeModel(service.engine)}\n`);
  const shards = service.engine.media.shards.length;
  if (shards > 0) out.write(`Shards  ${shards} thread(s) receive, decode and make features\n`);
  return service;
}

function describeModel(engine: Engine): string {
  const backends = engine.describeBackends();
  const [first] = backends;
  if (first === undefined) return "none";
  const tried = first.tried.map(({ provider, reason }) => `; not ${provider}: ${reason}`).join("");
  const [live] = engine.models.describe();
  return `${first.model} on ${first.engine}, ${first.provider}, ${backends.length} worker(s)${planOf(live?.plan)}${tried}`;
}

/** What measuring the device led to, where a target was set. */
function planOf(plan: BatchPlan | undefined): string {
  if (plan === undefined) return "";
  const { maxBatch, maxDelayMs, longestMs, meetsTarget } = plan;
  const within = `${longestMs.toFixed(1)} ms${meetsTarget ? "" : ", more than model.latencyTargetMs"}`;
  return `, batches of ${maxBatch} that wait ${maxDelayMs.toFixed(1)} ms at most: answers within ${within}`;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A pending promise keeps no process alive; the listening server does.
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
