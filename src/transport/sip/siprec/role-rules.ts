/** Which addresses are agents, which are customers: rules of the owner, read once, looked at for each person in a recording. */
import { PARTICIPANT_ROLES, type ParticipantRole } from "../../../core/audio-source.ts";
import { TonetapError } from "../../../core/errors.ts";

interface Rule {
  readonly pattern: string;
  readonly role: ParticipantRole;
}

export class RoleRules {
  readonly #rules: readonly Rule[];

  /**
   * @param rules `PATTERN=ROLE`, the first that fits counts. `*` stands for any characters, `?` for one. A pattern with a
   * scheme (`sip:*@agents.example`) is held against the whole address, one with `@` against what follows the scheme, another
   * against the user part (`1???`, `+*`). Case does not matter.
   * @throws TonetapError invalid-argument naming the rule
   */
  constructor(rules: readonly string[]) {
    this.#rules = rules.map((text) => {
      const [, pattern, name] = /^\s*(\S+?)\s*=\s*([a-z]+)\s*$/.exec(text) ?? [];
      const role = PARTICIPANT_ROLES.find((candidate) => candidate === name);
      if (pattern === undefined || role === undefined) {
        throw new TonetapError(
          "invalid-argument",
          `sip recordingRoles must be PATTERN=ROLE with a role of ${PARTICIPANT_ROLES.join(", ")}, got ${JSON.stringify(text)}`,
        );
      }
      return { pattern: pattern.toLowerCase(), role };
    });
  }

  /** Undefined: no rule fits. */
  roleOf(aor: string): ParticipantRole | undefined {
    // Parameters (`;user=phone`) are no part of who it is.
    const whole = aor.toLowerCase().replace(/[;?].*$/, "");
    const rest = whole.replace(/^[a-z][a-z0-9+.-]*:/, "");
    const user = rest.replace(/@.*$/, "");
    return this.#rules.find(({ pattern }) =>
      fits(pattern, pattern.includes(":") ? whole : pattern.includes("@") ? rest : user),
    )?.role;
  }
}

/** Without backtracking into the past: at most pattern times text steps, whatever a peer names itself. */
function fits(pattern: string, text: string): boolean {
  let at = 0;
  let inPattern = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    const wanted = pattern[inPattern];
    if (wanted === "*") {
      star = inPattern++;
      resume = at;
    } else if (wanted === "?" || wanted === text[at]) {
      inPattern++;
      at++;
    } else if (star >= 0) {
      inPattern = star + 1;
      at = ++resume;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(inPattern));
}
