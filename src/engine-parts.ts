/** What an engine is made of, opened in order. What it does with it is engine.ts. */
import type { Config } from "./config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { CloseStack } from "./core/lifecycle.ts";
import { AlertRules } from "./events/index.ts";
import { findModel, loadModelPackage, ModelHost } from "./inference/index.ts";
import type { MediaHost } from "./media-host.ts";
import { modelOptions } from "./model-options.ts";
import type { NoticeHook, NoticeTerms } from "./notice/index.ts";
import { noticeTerms } from "./notice-terms.ts";
import { openMediaHost } from "./shard-options.ts";

export interface EngineOptions {
  readonly clock?: Clock;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
  /**
   * Tells people that they are analysed, and gives the proof: instead of what `notice` of the configuration says. Under
   * policy `eu` nobody is analysed before it.
   */
  readonly notice?: NoticeHook;
}

export interface EngineParts {
  readonly clock: Clock;
  readonly models: ModelHost;
  readonly media: MediaHost;
  readonly rules: AlertRules;
  readonly notice: NoticeTerms | undefined;
  /** Closes what was opened. */
  readonly resources: CloseStack;
}

/** @throws TonetapError as createEngine() */
export async function openEngineParts(config: Config, options: EngineOptions): Promise<EngineParts> {
  const { clock = systemClock, signal } = options;
  const notice = noticeTerms(config, clock, options.notice);
  const model = await loadModelPackage(await findModel(config.model.package), signal);
  const rules = new AlertRules(model.manifest.labels, config.alerts.rules);
  const resources = new CloseStack();
  try {
    const opened = await ModelHost.open(model, await modelOptions(config), { clock, signal });
    const models = resources.use("models", opened);
    const media = resources.use("shards", await openMediaHost(config, models, clock, signal));
    return { clock, models, media, rules, notice, resources };
  } catch (error) {
    await resources.close();
    throw error;
  }
}
