/** A thread that writes a batch's results and then fails it. Of the next one it says, as its time, how many numbers of them are still there. */
import { parentPort } from "node:worker_threads";
import { letGo } from "../../src/inference/native-hold.ts";
import type { FromWorker, StreamingRequest, ToWorker } from "../../src/inference/worker-protocol.ts";

let streaming: StreamingRequest | undefined;
let batches = 0;
const reply = (message: FromWorker): void => parentPort?.postMessage(message);

parentPort?.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "load":
      streaming = message.streaming;
      letGo(message.hold);
      reply({ kind: "opened", engine: "half-done", provider: "cpu", device: "cpu", tried: [], threads: 1 });
      return;
    case "run": {
      const { slot } = message;
      const { states, embeddings, shape } = streaming ?? {};
      if (states === undefined || embeddings === undefined || shape === undefined) return;
      if (batches++ > 0) {
        const left = [states, embeddings.values, embeddings.scales].flatMap((floats) => [...floats]);
        reply({ kind: "done", slot, inferenceMs: left.filter((number) => number !== 0).length });
        return;
      }
      const first = slot * 2;
      const step = first * shape.steps;
      states.fill(7, first * shape.stateSize, (first + 1) * shape.stateSize);
      embeddings.values.fill(
        7,
        step * shape.embeddingChannels,
        (step + shape.steps) * shape.embeddingChannels,
      );
      embeddings.scales.fill(7, step, step + shape.steps);
      reply({ kind: "failed", slot, message: "half done" });
      return;
    }
    case "close":
      parentPort?.close();
      return;
    default:
  }
});
