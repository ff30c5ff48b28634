/** The rules in force, as configuration and REST made them. Who is told of changes is insights.ts. */
import { TonetapError } from "../../core/errors.ts";
import { type AlertRule, parseAlertRule } from "./alert-rule.ts";

/** Each window is held against each rule that is about its voice. */
const MAX_RULES = 100;

export class AlertRules {
  readonly #labels: readonly string[];
  readonly #rules = new Map<string, AlertRule>();
  readonly #listeners = new Set<(ruleId: string) => void>();

  /**
   * @param labels of the model
   * @throws TonetapError invalid-argument for a rule that is wrong, conflict for an id given twice
   */
  constructor(labels: readonly string[], rules: readonly unknown[] = []) {
    this.#labels = labels;
    for (const rule of rules) this.add(rule);
  }

  list(): AlertRule[] {
    return [...this.#rules.values()];
  }

  /** @throws TonetapError not-found */
  get(ruleId: string): AlertRule {
    const rule = this.#rules.get(ruleId);
    if (rule === undefined) throw new TonetapError("not-found", "there is no such alert rule");
    return rule;
  }

  /** @throws TonetapError invalid-argument, conflict (the id is taken), overloaded (100 rules) */
  add(value: unknown): AlertRule {
    const rule = parseAlertRule(value, this.#labels);
    if (this.#rules.has(rule.id)) {
      throw new TonetapError("conflict", `there is an alert rule ${rule.id} already`);
    }
    this.#put(rule);
    return rule;
  }

  /**
   * Adds or replaces; alerts that the old rule raised are cleared.
   * @returns whether it was there
   * @throws TonetapError invalid-argument, overloaded
   */
  set(ruleId: string, value: unknown): { readonly rule: AlertRule; readonly existed: boolean } {
    const body = typeof value === "object" && value !== null ? { id: ruleId, ...value } : value;
    const rule = parseAlertRule(body, this.#labels);
    if (rule.id !== ruleId) {
      throw new TonetapError("invalid-argument", `alert rule: id must be ${ruleId}, as in the address`);
    }
    const existed = this.#rules.has(ruleId);
    this.#put(rule);
    return { rule, existed };
  }

  /** @throws TonetapError not-found */
  remove(ruleId: string): void {
    this.get(ruleId);
    this.#rules.delete(ruleId);
    this.#tell(ruleId);
  }

  /** @returns stops it */
  onChange(listener: (ruleId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #put(rule: AlertRule): void {
    if (!this.#rules.has(rule.id) && this.#rules.size >= MAX_RULES) {
      throw new TonetapError("overloaded", `there are at most ${MAX_RULES} alert rules`);
    }
    this.#rules.set(rule.id, rule);
    this.#tell(rule.id);
  }

  #tell(ruleId: string): void {
    for (const listener of this.#listeners) listener(ruleId);
  }
}
