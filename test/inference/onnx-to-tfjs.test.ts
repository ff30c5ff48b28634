import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { defaultModelDir, onnxToTfjs } from "../../src/inference/index.ts";
import { readOnnx } from "../../src/inference/tfjs/onnx-file.ts";
import { TINY_MODEL_DIR } from "./fixtures.ts";

const tiny = readFileSync(join(TINY_MODEL_DIR, "model.onnx"));
const bundled = readFileSync(join(defaultModelDir(), "model.onnx"));

// That the numbers are right, test/peers/tfjs shows with the real TensorFlow.js.
describe("onnxToTfjs()", () => {
  it("turns the 9 nodes of the small model into 1 convolution with its ReLU and 2 transposes at most", () => {
    const { modelTopology, weightSpecs, weightData } = onnxToTfjs(tiny);

    const ops = modelTopology.node.map(({ op }) => op).filter((op) => op !== "Const");
    expect(ops.filter((op) => op === "_FusedConv2D")).toHaveLength(1);
    expect(ops).not.toContain("Relu");
    expect(ops.filter((op) => op === "Transpose").length).toBeLessThanOrEqual(2);
    expect(modelTopology.node.filter(({ op }) => op === "Placeholder").map(({ name }) => name)).toEqual([
      "features",
      "mask",
    ]);
    expect(modelTopology.node.at(-1)).toMatchObject({ name: "logits", op: "Identity" });
    const numbers = weightSpecs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(weightData.byteLength).toBe(4 * numbers);
  });

  it("computes beforehand what the bundled model's export asks of shapes: 0 such nodes are left", () => {
    const { modelTopology } = onnxToTfjs(bundled);

    const ops = new Set(modelTopology.node.map(({ op }) => op));
    for (const gone of ["Shape", "Gather", "GatherV2", "OneHot", "Cast"]) expect(ops).not.toContain(gone);
    // A node's inputs come before it.
    const seen = new Set<string>();
    for (const { name, input } of modelTopology.node) {
      for (const one of input) expect(seen).toContain(one);
      seen.add(name);
    }
  });

  it("names the node and operator that it does not know: 1 of 9", () => {
    const changed = Buffer.from(tiny);
    changed.write("Rela", changed.indexOf("Relu"));

    expect(() => onnxToTfjs(changed)).toThrow(
      "tfjs cannot run this model: node active (Rela): the operator Rela is not known",
    );
  });
});

describe("readOnnx()", () => {
  it("reads opset 17, 9 nodes, 2 inputs [N, 85 or 1, 1, 300] and 1 output [N, 7]", () => {
    const { opset, nodes, inputs, outputs } = readOnnx(tiny);

    expect([opset, nodes.length]).toEqual([17, 9]);
    expect(inputs).toEqual([
      { name: "features", shape: [-1, 85, 1, 300] },
      { name: "mask", shape: [-1, 1, 1, 300] },
    ]);
    expect(outputs).toEqual([{ name: "logits", shape: [-1, 7] }]);
  });

  it("gives an error of ours, not a crash, for 300 files cut or changed anywhere", () => {
    fc.assert(
      fc.property(fc.nat(tiny.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
        const broken = cut ? tiny.subarray(0, at) : Buffer.from(tiny);
        if (!cut) broken[at] = byte;
        try {
          onnxToTfjs(broken);
        } catch (error) {
          expect(error).toBeInstanceOf(TonetapError);
          expect((error as TonetapError).code).toBe("invalid-argument");
        }
      }),
      { numRuns: 300 },
    );
  });
});
