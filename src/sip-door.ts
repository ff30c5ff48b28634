/**
 * SIP in the service: its options off the configuration, its secrets off files, each call attached to the engine. What SIP
 * does is transport/sip.
 */
import { readFile } from "node:fs/promises";
import { callIdOf } from "./admission.ts";
import type { ParticipantInfo } from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import type { Engine } from "./engine.ts";
import {
  createSipServer,
  type DigestAlgorithm,
  type DigestOptions,
  type RegistrationOptions,
  type SipServer,
  type SipTransportName,
} from "./transport/sip/index.ts";

type SipConfig = Engine["config"]["sip"];

/**
 * Takes calls, if the configuration names a transport.
 * @throws TonetapError invalid-argument for a wrong option or an unreadable file, unavailable when a port is taken
 */
export async function openSipDoor(
  engine: Engine,
  onError?: (error: TonetapError) => void,
  onRefused?: (error: TonetapError, host: string) => void,
): Promise<SipServer | undefined> {
  const { sip } = engine.config;
  const transports = sip.transports as readonly SipTransportName[];
  if (transports.length === 0) return undefined;
  const users = sip.usersFile === "" ? undefined : await readUsers(sip.usersFile);
  const ofTenant = (participant: ParticipantInfo): ParticipantInfo =>
    sip.tenant === "" ? participant : { ...participant, tenant: sip.tenant };
  return createSipServer({
    clock: engine.clock,
    openReception: engine.media.openSip,
    transports,
    host: sip.host,
    port: sip.port,
    ...(transports.includes("tls") ? { tls: await readIdentity(sip) } : {}),
    ...(sip.announcedHost === "" ? {} : { announcedHost: sip.announcedHost }),
    ...(sip.rtpPortMin === 0 ? {} : { rtpPorts: [sip.rtpPortMin, sip.rtpPortMax] as const }),
    allowedPeers: sip.allowedPeers,
    ...(users === undefined ? {} : { digest: digestOf(sip, users) }),
    participantDefaults: { role: sip.defaultRole, consent: sip.defaultConsent },
    recordingRoles: sip.recordingRoles,
    mediaPeer: sip.mediaPeer,
    srtp: sip.srtp,
    inactivityMs: sip.inactivityMs,
    sessionExpiresS: sip.sessionExpiresS,
    maxCalls: sip.maxCalls,
    ...(sip.registerAs === "" ? {} : { register: registrationOf(sip) }),
    onCall: async (source, { participant, origin }) => {
      try {
        return await engine.attach(source, ofTenant(participant));
      } catch (error) {
        onRefused?.(TonetapError.from(error), origin.host);
        throw error;
      }
    },
    onConsent: (participant) => {
      const { participantId, consent = "pending" } = participant;
      const heard = engine.participant(callIdOf(ofTenant(participant)), participantId);
      // Whoever withdrew it must give it again: a recorder's metadata may only repeat what it knew before.
      if (heard.consent === "withdrawn" && heard.consentBy !== RECORDER) return undefined;
      return heard.setConsent(consent, RECORDER);
    },
    ...(onRefused === undefined ? {} : { onRefused }),
    ...(onError === undefined ? {} : { onError }),
  });
}

/** Who changes consent by metadata, for events and the audit log. */
const RECORDER = "SIPREC";

function digestOf({ realm, digestAlgorithms }: SipConfig, users: ReadonlyMap<string, string>): DigestOptions {
  if (digestAlgorithms.length === 0) return { users, realm };
  return { users, realm, algorithms: digestAlgorithms as readonly DigestAlgorithm[] };
}

function registrationOf(sip: SipConfig): RegistrationOptions {
  return {
    addressOfRecord: sip.registerAs,
    ...(sip.registrar === "" ? {} : { registrar: sip.registrar }),
    ...(sip.registerUser === "" ? {} : { username: sip.registerUser }),
    ...(sip.registerPassword === "" ? {} : { password: sip.registerPassword }),
  };
}

async function readIdentity(sip: SipConfig) {
  const cert = await readText("sip.tlsCertFile", sip.tlsCertFile);
  return { cert, key: await readText("sip.tlsKeyFile", sip.tlsKeyFile), port: sip.tlsPort };
}

/** `name:password` a line; empty lines and those that begin with # say nothing. */
async function readUsers(path: string): Promise<Map<string, string>> {
  const users = new Map<string, string>();
  const lines = (await readText("sip.usersFile", path)).split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    // What stands there may be a password: it is not repeated.
    if (colon < 1)
      throw wrong("sip.usersFile", `must have name:password in each line, unlike line ${index + 1}`);
    users.set(line.slice(0, colon), line.slice(colon + 1));
  }
  if (users.size === 0) throw wrong("sip.usersFile", "must name at least one caller");
  return users;
}

async function readText(option: string, path: string): Promise<string> {
  if (path === "") throw wrong(option, "must be a file");
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw wrong(option, `must be a readable file, got ${JSON.stringify(path)}`, error);
  }
}

const wrong = (option: string, want: string, cause?: unknown): TonetapError =>
  new TonetapError("invalid-argument", `${option} ${want}`, { cause });
