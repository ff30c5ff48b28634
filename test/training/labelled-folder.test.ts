import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findCorpora, readLabelledFolder } from "../../training/labelled-folder.ts";
import { formatManifest, parseManifest } from "../../training/manifest.ts";

describe("a folder of labelled recordings", () => {
  let root = "";
  const put = async (...files: string[]): Promise<void> => {
    for (const file of files) {
      const path = join(root, file);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, file.endsWith("manifest.csv") ? "file,speaker,emotion\na.wav,s,sad\n" : "");
    }
  };
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "tonetap-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("labels 3 recordings of SAVEE by folder and name, names 1 it does not know and 1 that is there twice", async () => {
    await put(
      "AudioData/DC/a01.wav",
      "AudioData/DC/sa02.wav",
      "AudioData/JE/n16.flac",
      "AudioData/DC/a99.wav",
    );
    await put("DC_a01.opus", "Info.txt", "AudioData/DC/._a01.wav", ".cache/DC/a02.wav");
    const { corpus, labelledBy, rows, problems } = await readLabelledFolder(root);
    expect([corpus, labelledBy]).toEqual(["savee", "names"]);
    expect(rows.map(({ file, speaker, emotion }) => `${file} ${speaker} ${emotion}`)).toEqual([
      "AudioData/DC/a01.wav DC angry",
      "AudioData/DC/sa02.wav DC sad",
      "AudioData/JE/n16.flac JE neutral",
    ]);
    expect(problems).toEqual([
      { file: "AudioData/DC/a99.wav", reason: "its name is not one of SAVEE" },
      { file: "DC_a01.opus", reason: "it is the recording AudioData/DC/a01.wav again, by its name" },
    ]);
  });

  it("believes the manifest before 2 names that say RAVDESS", async () => {
    await put("manifest.csv", "03-01-05-01-01-01-01.wav", "03-01-05-01-01-02-01.wav");
    const { labelledBy, spec, rows, soundFiles } = await readLabelledFolder(root);
    expect([labelledBy, spec?.name, rows[0]?.emotion]).toEqual(["manifest", "ravdess", "sad"]);
    expect(soundFiles).toHaveLength(2);
  });

  it("refuses 2 sound files of no known naming, and says which namings there are", async () => {
    await put("x.wav", "y.wav");
    await expect(readLabelledFolder(root)).rejects.toThrow(
      /2 sound files but no manifest\.csv.*RAVDESS, CREMA-D, SAVEE, TESS, EMO-DB, EMOVO/,
    );
    await expect(readLabelledFolder(join(root, "gone"))).rejects.toThrow(/cannot read the folder .*gone/);
  });

  it("finds 1 corpus in actors' folders, 3 side by side, and keeps a folder that will be refused", async () => {
    await put("one/Actor_01/03-01-05-01-01-01-01.wav", "one/Actor_02/03-01-05-01-01-01-02.wav");
    await put(
      "many/savee/DC/a01.wav",
      "many/emovo/f1/dis-f1-b1.wav",
      "many/mine/manifest.csv",
      "many/docs/a.txt",
    );
    await put("unknown/x.wav");
    const folders = ["one", "many", "unknown"].map((name) => join(root, name));
    expect((await findCorpora(folders)).map((folder) => folder.slice(root.length + 1))).toEqual([
      "one",
      "many/emovo",
      "many/mine",
      "many/savee",
      "unknown",
    ]);
  });

  it("follows a link to 1 corpus and one to 1 recording, and not one that leads nowhere", async () => {
    await put("data/DC_a01.wav", "data/store/x");
    await mkdir(join(root, "linked"));
    await symlink(join(root, "data"), join(root, "linked", "savee"));
    await symlink(join(root, "gone"), join(root, "linked", "gone"));
    await symlink(join(root, "data", "store", "x"), join(root, "data", "JE_n01.wav"));
    const folders = await findCorpora([join(root, "linked")]);
    expect(folders).toEqual([join(root, "linked", "savee")]);
    const { rows } = await readLabelledFolder(folders[0] ?? "");
    expect(rows.map(({ file }) => file)).toEqual(["DC_a01.wav", "JE_n01.wav"]);
  });

  it("writes a manifest that says the same 2 things again", async () => {
    await put("f1/dis-f1-b1.wav", "m1/gio-m1-n1.wav");
    const { rows } = await readLabelledFolder(root);
    expect(parseManifest(formatManifest(rows), "x")).toEqual({ rows, problems: [] });
    const odd = [{ ...rows[0], file: 'a,"b".wav' }] as typeof rows;
    expect(parseManifest(formatManifest(odd), "x").rows).toEqual(odd);
  });
});
