/** What a participant's own line says beside its audio: consent, and keys that were pressed. Acting on it is participant.ts. */

/** Consent as a line can say it: who has said nothing is pending already. */
export const LINE_CONSENTS = ["granted", "withdrawn"] as const;
export type LineConsent = (typeof LINE_CONSENTS)[number];

export type LineSignal =
  | {
      readonly kind: "consent";
      readonly consent: LineConsent;
      /** By which way it came, for events and the audit log: `SIP INFO`, `WHIP`, … */
      readonly by: string;
      /**
       * `act`: somebody did this now. `repeated`: header fields and metadata that are sent again and again; they can
       * grant again only what they withdrew themselves, since an old one may come after the person has said no.
       */
      readonly nature: "act" | "repeated";
    }
  | {
      readonly kind: "key";
      /** One of `0`–`9`, `*`, `#`, `A`–`D`. */
      readonly key: string;
    };

/** Keys of a telephone, as a regular expression's class has them. */
const KEY = /^[0-9*#A-D]$/;

/** @returns the key in our writing; undefined for what is none */
export function telephoneKey(text: string): string | undefined {
  const key = text.trim().toUpperCase();
  return KEY.test(key) ? key : undefined;
}
