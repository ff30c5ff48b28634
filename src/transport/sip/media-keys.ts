/** The SRTP keys of one call (RFC 4568): the peer's, which its media is opened with, and ours, which an answer must name. */
import { createSdes, type SdesCrypto, type SrtpMasterKey, type SrtpSuite } from "../srtp/index.ts";

/** What we offer where SRTP is required: what every telephone has, and the faster one. */
const OFFERED_SUITES: readonly SrtpSuite[] = ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"];

export class MediaKeys {
  /** Ours. Nothing is sent with them: a peer merely expects to read them. */
  #local: readonly SdesCrypto[] = [];
  #remote: SdesCrypto | undefined;
  /** The peer's media is to be opened with this, and is not yet. */
  #new: SrtpMasterKey | undefined;

  /** Media is protected: it stays so. */
  get secured(): boolean {
    return this.#remote !== undefined;
  }

  /** The peer's choice in its offer; gives our key for the answer (§5.1.2: same tag, same suite). */
  answer(remote: SdesCrypto | undefined): readonly SdesCrypto[] {
    if (remote === undefined) return [];
    const [ours] = this.#local;
    if (this.#local.length !== 1 || ours?.tag !== remote.tag || ours.suite !== remote.suite) {
      this.#local = [createSdes(remote.tag, remote.suite)];
    }
    this.#open(remote);
    return this.#local;
  }

  /** Keys of ours to choose from. */
  offer(): readonly SdesCrypto[] {
    if (this.#local.length === 0) {
      this.#local = OFFERED_SUITES.map((suite, index) => createSdes(index + 1, suite));
    }
    return this.#local;
  }

  /** The peer's answer; false if it is not one of those that were offered, or there is none though there must be. */
  answered(remote: SdesCrypto | undefined): boolean {
    if (remote === undefined) return this.#local.length === 0 && !this.secured;
    if (!this.#local.some(({ tag, suite }) => tag === remote.tag && suite === remote.suite)) return false;
    this.#open(remote);
    return true;
  }

  /** The peer's key where it is another than before; once. */
  takeNew(): SrtpMasterKey | undefined {
    const key = this.#new;
    this.#new = undefined;
    return key;
  }

  /** A key that stays the same stays in use: a new context would take again what it has had. */
  #open(remote: SdesCrypto): void {
    const known = this.#remote;
    this.#remote = remote;
    if (known === undefined || !sameKey(known, remote)) this.#new = masterKeyOf(remote);
  }
}

/** What opens the media, without what only its SDP needs. */
function masterKeyOf({ suite, key, salt, mki }: SdesCrypto): SrtpMasterKey {
  return { suite, key, salt, ...(mki === undefined ? {} : { mki }) };
}

function sameKey(one: SdesCrypto, other: SdesCrypto): boolean {
  const bytes = ({ key, salt, mki = new Uint8Array(0) }: SdesCrypto) => Buffer.concat([key, salt, mki]);
  return one.suite === other.suite && bytes(one).equals(bytes(other));
}
