/** sipp as a caller: runs scenarios. Whether it is installed is system-peers.ts. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SippRun {
  readonly scenario: string;
  /** `u1`: UDP, one socket; `t1`: TCP, one connection; `tn`: TCP, one a call. */
  readonly transport: "u1" | "t1" | "tn";
  readonly port: number;
  /** Default 1. */
  readonly calls?: number;
  /** Share of SIP messages that sipp loses, each way. Default 0. */
  readonly lossPercent?: number;
  /** Raw µ-law, or a pcap, that scenarios name as [voice]. */
  readonly voice?: Uint8Array;
  /** Where both sides are. Default 127.0.0.1. */
  readonly host?: "127.0.0.1" | "::1";
  /** What [authentication] says. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/** Runs a scenario; 0 is success of every call. `log` says what sipp did not expect. */
export async function runSipp(run: SippRun): Promise<{ readonly code: number; readonly log: string }> {
  const folder = await mkdtemp(join(tmpdir(), "tonetap-sipp-"));
  try {
    const voice = join(folder, run.scenario.includes("play_pcap") ? "voice.pcap" : "voice.ul");
    const scenario = join(folder, "scenario.xml");
    await writeFile(voice, run.voice ?? new Uint8Array(0));
    await writeFile(scenario, run.scenario.replaceAll("[voice]", voice));
    const { calls = 1, host = "127.0.0.1", credentials, lossPercent = 0 } = run;
    const remote = host === "::1" ? `[::1]:${run.port}` : `${host}:${run.port}`;
    const child = spawn(
      "sipp",
      [
        ...["-sf", scenario, "-t", run.transport, "-i", host, "-mi", host],
        ...(credentials === undefined ? [] : ["-au", credentials.user, "-ap", credentials.password]),
        ...(lossPercent === 0 ? [] : ["-lost", String(lossPercent)]),
        ...["-m", String(calls), "-l", String(calls), "-r", "200"],
        ...["-max_socket", "1000", "-nostdin", "-timeout", "120s"],
        ...["-trace_err", "-error_file", join(folder, "errors.log"), remote],
      ],
      { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
    );
    let log = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        log = (log + text).slice(-8_000);
      });
    }
    const code = await new Promise<number>((resolve) => child.on("exit", (status) => resolve(status ?? 1)));
    return { code, log };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface CallScenario {
  readonly headers?: readonly string[];
  /** Payload types of the offer, with their lines. Default PCMU. */
  readonly media?: string;
  readonly lines?: readonly string[];
  /** sipp plays [voice]: as PCMU, or the packets of a pcap as they are (that takes raw sockets: root). */
  readonly plays?: boolean | "pcap";
  /** The first INVITE is answered 401, the second has credentials. */
  readonly challenged?: boolean;
  /** A body instead of an offer; `[rtpstream_audio_port]` is the port that sipp plays from. */
  readonly body?: { readonly type: string; readonly text: string };
  /** A file for the ports of the first two audio sections of the answer. */
  readonly tellsPorts?: string;
  /** From ACK to BYE, ms; `hung-up`: the other side says BYE. */
  readonly lengthMs: number | "hung-up";
}

const VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]";
/** sipp's branches count the steps of a scenario: that of the step so many steps before. */
const viaOf = (stepsBefore: number): string => VIA.replace("[branch]", `[branch-${stepsBefore}]`);
const FROM = "From: Anna <sip:anna@[local_ip]:[local_port]>;tag=[pid]t[call_number]";

/** A caller: INVITE with an offer, ACK, a while of talk, BYE. */
export function callScenario(scenario: CallScenario): string {
  const { headers = [], media = "RTP/AVP 0", lines = ["a=rtpmap:0 PCMU/8000"], lengthMs } = scenario;
  const port = scenario.plays === true ? "[rtpstream_audio_port]" : "[media_port]";
  const sdp = scenario.body?.text.split(/\r?\n/) ?? offerLines(media, lines, port);
  const { tellsPorts } = scenario;
  return xml([
    send([...inviteLines(headers, 1, scenario.body?.type), "", ...sdp], true),
    ...(scenario.challenged === true
      ? [
          '<recv response="401" auth="true"/>',
          send(ackOfRefusal(), false),
          send([...inviteLines([...headers, "[authentication]"], 2), "", ...sdp], true),
        ]
      : []),
    '<recv response="100" optional="true"/>',
    ...(tellsPorts === undefined ? ['<recv response="200" rrs="true"/>'] : recvWithPorts(tellsPorts)),
    send(inDialog("ACK", "[cseq]"), false),
    scenario.plays === true ? '<nop><action><exec rtp_stream="[voice],1,0,PCMU/8000"/></action></nop>' : "",
    scenario.plays === "pcap" ? '<nop><action><exec play_pcap_audio="[voice]"/></action></nop>' : "",
    ...(lengthMs === "hung-up"
      ? ['<recv request="BYE"/>', send(OK, false)]
      : [
          `<pause milliseconds="${lengthMs}"/>`,
          send(inDialog("BYE", "[cseq]"), true),
          '<recv response="200"/>',
        ]),
  ]);
}

/** A 200 whose first two audio ports are written into a file. */
const recvWithPorts = (file: string): string[] => [
  '<recv response="200" rrs="true"><action>',
  '<ereg regexp="m=audio ([0-9]+).*m=audio ([0-9]+)" search_in="body" check_it="true" assign_to="all,first,second"/>',
  `<exec command="echo '[$first] [$second]' > ${file}"/>`,
  "</action></recv>",
  // sipp takes a variable that is not used for a mistake.
  '<Reference variables="all"/>',
];

/** A caller that is refused with `status`. */
export function refusedScenario(status: number, media: string): string {
  return xml([
    send([...inviteLines([]), "", ...offerLines(media, [], "[media_port]")], true),
    '<recv response="100" optional="true"/>',
    `<recv response="${status}"/>`,
    send(ackOfRefusal(), false),
  ]);
}

/** A caller whose credentials are wrong. */
export function wrongPasswordScenario(): string {
  const sdp = offerLines("RTP/AVP 0", [], "[media_port]");
  return xml([
    send([...inviteLines([]), "", ...sdp], true),
    '<recv response="401" auth="true"/>',
    send(ackOfRefusal(), false),
    send([...inviteLines(["[authentication]"], 2), "", ...sdp], true),
    '<recv response="401"/>',
    send(ackOfRefusal(), false),
  ]);
}

/** A caller that changes its mind while the other side has not decided. */
export function cancelScenario(): string {
  const cancel = [
    "CANCEL sip:tonetap@[remote_ip]:[remote_port] SIP/2.0",
    viaOf(2),
    FROM,
    "To: <sip:tonetap@[remote_ip]:[remote_port]>",
    "Call-ID: [call_id]",
    "CSeq: 1 CANCEL",
    "Max-Forwards: 70",
    "Content-Length: 0",
  ];
  return xml([
    send([...inviteLines([]), "", ...offerLines("RTP/AVP 0", [], "[media_port]")], true),
    '<recv response="100"/>',
    send(cancel, true),
    '<recv response="200"/>',
    '<recv response="487"/>',
    send(ackOfRefusal(), false),
  ]);
}

function inviteLines(headers: readonly string[], cseq = 1, type = "application/sdp"): string[] {
  return [
    "INVITE sip:tonetap@[remote_ip]:[remote_port] SIP/2.0",
    VIA,
    FROM,
    "To: <sip:tonetap@[remote_ip]:[remote_port]>",
    "Call-ID: [call_id]",
    `CSeq: ${cseq} INVITE`,
    "Contact: <sip:anna@[local_ip]:[local_port];transport=[transport]>",
    "Max-Forwards: 70",
    ...headers,
    `Content-Type: ${type}`,
    "Content-Length: [len]",
  ];
}

function offerLines(media: string, lines: readonly string[], port: string): string[] {
  return [
    "v=0",
    "o=sipp 1 1 IN IP[local_ip_type] [local_ip]",
    "s=-",
    "c=IN IP[media_ip_type] [media_ip]",
    "t=0 0",
    `m=audio ${port} ${media}`,
    ...lines,
  ];
}

function inDialog(method: string, cseq: string): string[] {
  return [
    `${method} [next_url] SIP/2.0`,
    VIA,
    "[routes]",
    FROM,
    "To: <sip:tonetap@[remote_ip]:[remote_port]>[peer_tag_param]",
    "Call-ID: [call_id]",
    `CSeq: ${cseq} ${method}`,
    "Max-Forwards: 70",
    "Content-Length: 0",
  ];
}

const OK = [
  "SIP/2.0 200 OK",
  "[last_Via:]",
  "[last_From:]",
  "[last_To:]",
  "[last_Call-ID:]",
  "[last_CSeq:]",
  "Content-Length: 0",
];

const ackOfRefusal = (): string[] => [
  "ACK sip:tonetap@[remote_ip]:[remote_port] SIP/2.0",
  "[last_Via:]",
  FROM,
  "[last_To:]",
  "Call-ID: [call_id]",
  "CSeq: 1 ACK",
  "Max-Forwards: 70",
  "Content-Length: 0",
];

const send = (lines: readonly string[], repeats: boolean): string =>
  `<send${repeats ? ' retrans="500"' : ""}><![CDATA[\n${lines.join("\n")}\n\n]]></send>`;

const xml = (steps: readonly string[]): string =>
  `<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="tonetap">\n${steps.join("\n")}\n</scenario>\n`;
