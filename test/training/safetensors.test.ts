import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { FeatureFileWriter } from "../../training/safetensors.ts";

describe("FeatureFileWriter", () => {
  let folder = "";
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("writes 2 clips as one matrix that the safetensors header describes", async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-"));
    const path = join(folder, "f.safetensors");
    const writer = await FeatureFileWriter.create(path, 2);
    await writer.append(Float16Array.of(1, 2, 3, 4), Uint8Array.of(0, 1));
    await writer.append(Float16Array.of(5, 6), Uint8Array.of(1));
    await writer.close();

    const file = await readFile(path);
    const headerBytes = Number(file.readBigUInt64LE());
    const data = file.subarray(8 + headerBytes);
    expect(JSON.parse(file.subarray(8, 8 + headerBytes).toString())).toEqual({
      features: { dtype: "F16", shape: [3, 2], data_offsets: [0, 12] },
      speech: { dtype: "U8", shape: [3], data_offsets: [12, 15] },
    });
    expect([...new Float16Array(data.buffer.slice(data.byteOffset, data.byteOffset + 12))]).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect([...data.subarray(12)]).toEqual([0, 1, 1]);
  });

  it("refuses 3 features for 2 frames of 2", async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-"));
    const writer = await FeatureFileWriter.create(join(folder, "f.safetensors"), 2);
    await expect(writer.append(Float16Array.of(1, 2, 3), Uint8Array.of(0, 1))).rejects.toThrow(
      /do not fit 2/,
    );
    await writer.close();
  });
});
