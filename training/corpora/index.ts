/** The corpora whose folders are known by their own file naming. */
import type { CorpusSpec } from "./corpus-spec.ts";
import { CREMA_D } from "./crema-d.ts";
import { EMO_DB } from "./emo-db.ts";
import { EMOVO } from "./emovo.ts";
import { RAVDESS } from "./ravdess.ts";
import { SAVEE } from "./savee.ts";
import { TESS } from "./tess.ts";

export { type CorpusSpec, type NamedClip, officialFiles, type UnusableClip } from "./corpus-spec.ts";

export const PUBLISHED_CORPORA: readonly CorpusSpec[] = [RAVDESS, CREMA_D, SAVEE, TESS, EMO_DB, EMOVO];

/** Of a folder's sound files this share must bear names of a corpus. BanglaSER names a third of its files as RAVDESS would. */
const LEAST_SHARE = 0.5;

/** The corpus that most of these names are of. */
export function detectCorpus(paths: readonly string[]): CorpusSpec | undefined {
  const counted = PUBLISHED_CORPORA.map((spec) => ({
    spec,
    named: paths.filter((path) => spec.parse(path) !== undefined).length,
  }));
  const best = counted.reduce((a, b) => (b.named > a.named ? b : a));
  return best.named > LEAST_SHARE * paths.length ? best.spec : undefined;
}
