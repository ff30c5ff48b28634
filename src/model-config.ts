/** The options of the model and its batches. The schema that they are part of is config.ts. */
import { z } from "zod";
import { number, numbers, secret, section, text, whole } from "./config-fields.ts";

export const modelSection = section("The model and its batches", {
  package: text("tonetap-base", "Model package: a bundled name or a folder with model.json."),
  folder: text("", "Folder whose packages POST /v1/models may load by name, besides the bundled ones."),
  backend: z
    .enum(["onnx", "tfjs", "kserve"])
    .default("onnx")
    .describe(
      "What runs the model: ONNX Runtime, TensorFlow.js packages that you install, or an inference server (KServe v2, Triton).",
    ),
  url: text(
    "http://127.0.0.1:8000",
    "The inference server: http://, https://, grpc:// or grpcs:// with its port; kserve only.",
  ),
  remoteName: text("", "The model's name on the inference server; none: the package's."),
  token: secret(text("", "Bearer token for the inference server; none by default. A secret.")),
  caFile: text(
    "",
    "PEM file of who vouches for the inference server's certificate; none: the usual authorities.",
  ),
  device: z
    .enum(["auto", "cpu", "cuda", "webgpu", "tensorrt", "wasm"])
    .default("auto")
    .describe(
      "Where the model runs; auto tries a GPU first and says what it got. webgpu and tensorrt: onnx only; wasm: tfjs only.",
    ),
  deviceIds: numbers(0, 63, "GPUs to use, each with its own workers; none: the first."),
  workers: whole(1, 64, 1, "Inference worker threads a device, or requests at once to the server."),
  maxBatch: whole(1, 512, 32, "Windows in one batch at most."),
  preferredBatches: numbers(1, 512, "Batch sizes that go out without waiting for more."),
  maxDelayMs: number(0, 50, 5, "ms that the oldest window waits for batch-mates; 0 sends at once, always."),
  busyDelayMs: number(
    0,
    50,
    20,
    "The same where the busiest thread works 60 % of its time; from 30 % on the wait grows towards it. Less than maxDelayMs: as that.",
  ),
  latencyTargetMs: number(
    0,
    60_000,
    0,
    "ms from a window to its answer: batch size and delay are chosen for it by measuring the device; 0 leaves them.",
  ),
  deadlineMs: number(10, 60_000, 1_000, "ms after which a waiting window is dropped rather than sent stale."),
  queueLimit: whole(
    1,
    65_536,
    2_048,
    "Windows waiting at most, about 0.1 MB each; beyond it a call with more than its share loses its oldest.",
  ),
  incremental: z
    .enum(["auto", "off"])
    .default("auto")
    .describe("auto: windows are judged by their new frames where package, backend and hop allow it."),
  tenantWeights: z
    .array(z.string().regex(/^.+=[1-9]\d{0,2}$/, "must be tenant=weight, weight 1–999"))
    .default([])
    .describe("Windows of a tenant's turn when they queue, as tenant=weight; 1 for the others."),
});
