import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { OPUS } from "../../src/core/rtp.ts";
import { kindOf, type TonetapEvent } from "../../src/events/index.ts";
import type { ModelStatus } from "../../src/inference/index.ts";
import { reloadModel } from "../../src/model-routes.ts";
import { Service } from "../../src/service.ts";
import { createRtpSender } from "../../src/transport/index.ts";
import { TINY_MODEL_DIR } from "../inference/fixtures.ts";
import { PATIENT_MODEL, recordedFrames, upTo } from "./support.ts";

let dir = "";
let service: Service | undefined;

/** Writes the small model into a folder of its own, with another version and other means. */
async function writeModel(name: string, version: string, shift = 0): Promise<string> {
  const folder = join(dir, name);
  await cp(TINY_MODEL_DIR, folder, { recursive: true });
  const manifest = JSON.parse(await readFile(join(TINY_MODEL_DIR, "model.json"), "utf8"));
  const mean = manifest.normalisation.mean.map((value: number) => value + shift);
  const changed = { ...manifest, version, normalisation: { ...manifest.normalisation, mean } };
  await writeFile(join(folder, "model.json"), JSON.stringify(changed));
  return folder;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tonetap-models-"));
  await writeModel("next", "0.0.2", 5);
});
afterEach(async () => {
  await service?.close();
  service = undefined;
});
afterAll(() => rm(dir, { recursive: true }));

async function open(model: string): Promise<Service> {
  service = await Service.open({
    service: { port: 0 },
    model: { ...PATIENT_MODEL, package: model, folder: dir },
  });
  return service;
}

async function call(
  method: string,
  path: string,
  json?: unknown,
): Promise<{ status: number; models: ModelStatus[]; detail: string }> {
  const response = await fetch(new URL(path, service?.url), {
    method,
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });
  return {
    status: response.status,
    ...((await response.json()) as { models: ModelStatus[]; detail: string }),
  };
}

const brief = (models: readonly ModelStatus[]) => models.map(({ id, mode, share }) => [id, mode, share]);

describe("models changed while people talk", () => {
  test("over a talk of 10.5 s each of the windows is judged, the first by one model, the last by the next, and no number is missing", async () => {
    const { engine, url } = await open(TINY_MODEL_DIR);
    const events: TonetapEvent[] = [];
    engine.events$.subscribe((event) => events.push(event));
    const opened = await fetch(new URL("/v1/rtp", url), {
      method: "POST",
      body: JSON.stringify({ callId: "c", participantId: "ada", consent: "granted" }),
    });
    const { port } = (await opened.json()) as { port: number };
    const sender = await createRtpSender({
      clock: systemClock,
      codec: OPUS,
      payloadType: 111,
      host: "127.0.0.1",
      port,
    });
    const frames = await recordedFrames("anna");
    const [before, talk] = [upTo(frames, 3_500), upTo(frames, 7_000)];
    await sender.play(before);

    const playing = sender.play(talk.slice(before.length));
    const answer = await call("POST", "/v1/models", { package: "next" });
    await playing;
    // However long the change took, more is said after it.
    await sender.play(before);
    await sender.close();
    await new Promise<void>((resolve) => {
      engine.events$.subscribe((event) => {
        if (kindOf(event) === "participant.left") resolve();
      });
    });

    expect([answer.status, brief(answer.models)]).toEqual([200, [["tiny@0.0.2", "live", 1]]]);
    const said = events.flatMap((event) =>
      kindOf(event) === "emotion" && "model" in event.data && "index" in event.data
        ? [{ model: event.data.model, index: event.data.index }]
        : [],
    );
    expect(said.at(0)?.model).toBe("tiny@0.0.1");
    expect(said.at(-1)?.model).toBe("tiny@0.0.2");
    const left = events.find((event) => kindOf(event) === "participant.left");
    expect(left?.data).toMatchObject({ windows: { dropped: 0 } });
    expect(engine.batcherStats).toMatchObject({ submitted: said.length, estimated: said.length });
    // A talk-spurt's windows lie a hop apart, across the change too.
    for (const [i, { index }] of said.entries()) expect(index).toBeGreaterThan(said[i - 1]?.index ?? -1);
  });

  test("a canary of 25 % is shown, becomes a shadow, is let go, and what is no name is refused: 5 requests", async () => {
    await open(TINY_MODEL_DIR);

    const canary = await call("POST", "/v1/models", { package: "next", mode: "canary", share: 0.25 });
    const shadow = await call("POST", "/v1/models", { package: "next", mode: "shadow" });
    const gone = await call("DELETE", "/v1/models/tiny@0.0.2");
    const path = await call("POST", "/v1/models", { package: "../next" });
    const unknown = await call("POST", "/v1/models", { package: "nothing" });

    expect(brief(canary.models)).toEqual([
      ["tiny@0.0.1", "live", 0.75],
      ["tiny@0.0.2", "canary", 0.25],
    ]);
    expect(shadow.models[1]).toMatchObject({ mode: "shadow", comparison: { compared: 0 } });
    expect(brief(gone.models)).toEqual([["tiny@0.0.1", "live", 1]]);
    expect([path.status, unknown.status]).toEqual([400, 404]);
    expect(path.detail).toContain("package: must be the name of a bundled model or of one in model.folder");
    expect(brief((await call("GET", "/v1/models")).models)).toEqual([["tiny@0.0.1", "live", 1]]);
  });

  test("a service told to read its folder anew takes the 1 new version in it, and says when there is none", async () => {
    const folder = await writeModel("own", "1.0.0");
    const { engine } = await open(folder);

    expect(await reloadModel(engine)).toBe("tiny@1.0.0 is in force already");
    await writeModel("own", "1.1.0");

    expect(await reloadModel(engine)).toBe("tiny@1.1.0 is in force");
    expect(engine.models.id).toBe("tiny@1.1.0");
  });
});
