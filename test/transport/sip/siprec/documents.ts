/** Metadata and bodies of recording sessions for tests: the examples of RFC 7865 and RFC 7866, Oracle's form, and short ones. */

export const NAMESPACE = "urn:ietf:params:xml:ns:recording:1";

export const ALICE = "srfBElmCRp2QB23b7Mpk0w==";
export const BOB = "zSfPoSvdSDCmU3A3TRDxAw==";
export const SESSION = "hVpd7YQgRW2nD22h7q60JQ==";

/** After the complete example of RFC 7865: Alice sends audio 96 and video 97, Bob audio 98 and video 99. */
export const RFC_COMPLETE = `<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='${NAMESPACE}'>
  <datamode>complete</datamode>
  <group group_id="7+OTCyoxTmqmqyA/1weDAg==">
    <associate-time>2010-12-16T23:41:07Z</associate-time>
    <!-- Standardized extension -->
    <call-center xmlns='urn:ietf:params:xml:ns:callcenter'>
      <supervisor>sip:alice@atlanta.com</supervisor>
    </call-center>
    <mydata xmlns='http://example.com/my'><structure>structure!</structure></mydata>
  </group>
  <session session_id="${SESSION}">
    <sipSessionID>ab30317f1a784dc48ff824d0d3715d86;
                  remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
    <group-ref>7+OTCyoxTmqmqyA/1weDAg==</group-ref>
  </session>
  <participant participant_id="${ALICE}">
    <nameID aor="sip:alice@atlanta.com"><name xml:lang="it">Alice</name></nameID>
    <mydata xmlns='http://example.com/my'><structure>FOO!</structure></mydata>
  </participant>
  <participant participant_id="${BOB}">
    <nameID aor="sip:bob@biloxi.com"><name xml:lang="it">Bob</name></nameID>
  </participant>
  <stream stream_id="UAAMm5GRQKSCMVvLyl4rFw==" session_id="${SESSION}"><label>96</label></stream>
  <stream stream_id="i1Pz3to5hGk8fuXl+PbwCw==" session_id="${SESSION}"><label>97</label></stream>
  <stream stream_id="8zc6e0lYTlWIINA6GR+3ag==" session_id="${SESSION}"><label>98</label></stream>
  <stream stream_id="EiXGlc+4TruqqoDaNE76ag==" session_id="${SESSION}"><label>99</label></stream>
  <sessionrecordingassoc session_id="${SESSION}">
    <associate-time>2010-12-16T23:41:07Z</associate-time>
  </sessionrecordingassoc>
  <participantsessionassoc participant_id="${ALICE}" session_id="${SESSION}">
    <associate-time>2010-12-16T23:41:07Z</associate-time>
  </participantsessionassoc>
  <participantsessionassoc participant_id="${BOB}" session_id="${SESSION}">
    <associate-time>2010-12-16T23:41:07Z</associate-time>
  </participantsessionassoc>
  <participantstreamassoc participant_id="${ALICE}">
    <send>i1Pz3to5hGk8fuXl+PbwCw==</send>
    <send>UAAMm5GRQKSCMVvLyl4rFw==</send>
    <recv>8zc6e0lYTlWIINA6GR+3ag==</recv>
    <recv>EiXGlc+4TruqqoDaNE76ag==</recv>
  </participantstreamassoc>
  <participantstreamassoc participant_id="${BOB}">
    <send>8zc6e0lYTlWIINA6GR+3ag==</send>
    <send>EiXGlc+4TruqqoDaNE76ag==</send>
    <recv>UAAMm5GRQKSCMVvLyl4rFw==</recv>
    <recv>i1Pz3to5hGk8fuXl+PbwCw==</recv>
  </participantstreamassoc>
</recording>
`;

/** RFC 7865: Bob puts Alice on hold, and she sends nothing any more. */
export const RFC_HOLD = `<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='${NAMESPACE}'>
  <datamode>partial</datamode>
  <participantstreamassoc participant_id="${ALICE}">
    <recv>8zc6e0lYTlWIINA6GR+3ag==</recv>
    <recv>EiXGlc+4TruqqoDaNE76ag==</recv>
  </participantstreamassoc>
  <participantstreamassoc participant_id="${BOB}">
    <send>8zc6e0lYTlWIINA6GR+3ag==</send>
    <send>EiXGlc+4TruqqoDaNE76ag==</send>
  </participantstreamassoc>
</recording>
`;

/** RFC 7865: the call is resumed. */
export const RFC_RESUME = `<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='${NAMESPACE}'>
  <datamode>partial</datamode>
  <participantstreamassoc participant_id="${ALICE}">
    <send>i1Pz3to5hGk8fuXl+PbwCw==</send>
    <send>UAAMm5GRQKSCMVvLyl4rFw==</send>
    <recv>8zc6e0lYTlWIINA6GR+3ag==</recv>
  </participantstreamassoc>
</recording>
`;

/** Bob hands the call over to Carol, who is heard in his stream. */
export const TRANSFER = `<recording xmlns='${NAMESPACE}'>
  <datamode>partial</datamode>
  <participantsessionassoc participant_id="${BOB}" session_id="${SESSION}">
    <disassociate-time>2010-12-16T23:51:07Z</disassociate-time>
  </participantsessionassoc>
  <participant participant_id="Atnm1ZRnOC6Pm5MApkrDzQ==">
    <nameID aor="sip:carol@chicago.com"><name>Carol</name></nameID>
  </participant>
  <participantstreamassoc participant_id="Atnm1ZRnOC6Pm5MApkrDzQ==">
    <send>8zc6e0lYTlWIINA6GR+3ag==</send>
  </participantstreamassoc>
</recording>
`;

/** The drafts' form, as Oracle's SBC sends it. */
export const ORACLE = `<?xml version='1.0' encoding='UTF-8'?>
<recording xmlns='urn:ietf:params:xml:ns:recording'>
<datamode>complete</datamode>
<session id="KaN/G7StRcxaeBcmQo4f5w==">
  <associate-time>2026-02-13T11:39:08</associate-time>
  <extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata"><apkt:callerOrig>true</apkt:callerOrig></extensiondata>
</session>
<participant id="Xe/H7yetSK5+rgO5w1ZqMg==" session="KaN/G7StRcxaeBcmQo4f5w==">
  <nameID aor="sip:4075550100@192.0.2.15"><name>"WIRELESS CALLER"</name></nameID>
  <send>MQk402CcRc1fZeyhuGCFFg==</send>
</participant>
<participant id="OPqY7Pz+S1RdYbmtYJuQpg==" session="KaN/G7StRcxaeBcmQo4f5w==">
  <nameID aor="sip:4075550277@192.0.2.2"><name>4075550277</name></nameID>
  <send>zfbJ3As/TeNcB0931nNCeA==</send>
</participant>
<stream id="MQk402CcRc1fZeyhuGCFFg==" session="KaN/G7StRcxaeBcmQo4f5w=="><label>96</label><mode>separate</mode></stream>
<stream id="zfbJ3As/TeNcB0931nNCeA==" session="KaN/G7StRcxaeBcmQo4f5w=="><label>98</label><mode>separate</mode></stream>
</recording>
`;

export interface Person {
  readonly id: string;
  readonly aor?: string;
  readonly name?: string;
  /** Labels of the streams with its voice. */
  readonly sends?: readonly string[];
  /** Further elements of its participant. */
  readonly extra?: string;
}

/** A document of these people; each label is a stream of that id. */
export function metadata(people: readonly Person[], datamode: "complete" | "partial" = "complete"): string {
  const labels = new Set(people.flatMap(({ sends = [] }) => sends));
  return [
    `<recording xmlns="${NAMESPACE}"><datamode>${datamode}</datamode>`,
    datamode === "complete" ? `<session session_id="${SESSION}"/>` : "",
    ...people.map(
      ({ id, aor = `sip:${id}@example.com`, name = id, extra = "" }) =>
        `<participant participant_id="${id}"><nameID aor="${aor}"><name>${name}</name></nameID>${extra}</participant>`,
    ),
    ...[...labels].map((label) => `<stream stream_id="s-${label}"><label>${label}</label></stream>`),
    ...people
      .filter(({ sends }) => sends !== undefined)
      .map(
        ({ id, sends = [] }) =>
          `<participantstreamassoc participant_id="${id}">${sends.map((label) => `<send>s-${label}</send>`).join("")}</participantstreamassoc>`,
      ),
    "</recording>",
  ].join("\n");
}

export interface OfferedStream {
  readonly label?: string;
  /** sipp's placeholders are ports too. */
  readonly port?: number | string;
  readonly direction?: string;
  readonly kind?: "audio" | "video";
  readonly media?: string;
  readonly lines?: readonly string[];
}

/** A recorder's offer of these streams. */
export function streamsOffer(streams: readonly OfferedStream[]): string {
  return [
    "v=0",
    "o=SRC 2890844526 2890844526 IN IP4 127.0.0.1",
    "s=-",
    "c=IN IP4 127.0.0.1",
    "t=0 0",
    ...streams.flatMap(
      ({ label, port, direction = "sendonly", kind = "audio", media = "RTP/AVP 0", lines = [] }, index) => [
        `m=${kind} ${port ?? 12_240 + 2 * index} ${kind === "video" ? "RTP/AVP 98" : media}`,
        ...lines,
        ...(label === undefined ? [] : [`a=label:${label}`]),
        `a=${direction}`,
      ],
    ),
    "",
  ].join("\r\n");
}

/** The streams of RFC 7865's example: audio and video of two people. */
export const RFC_OFFER = streamsOffer([
  { label: "96" },
  { label: "97", kind: "video" },
  { label: "98" },
  { label: "99", kind: "video" },
]);

export const MIXED_TYPE = "multipart/mixed;boundary=foobar";

/** RFC 7866 §9.1: SDP and metadata in one body. */
export const multipart = (sdp: string, xml: string): string =>
  [
    "--foobar",
    "Content-Type: application/sdp",
    "",
    `${sdp.replace(/\r\n$/, "")}`,
    "--foobar",
    "Content-Type: application/rs-metadata+xml",
    "Content-Disposition: recording-session",
    "",
    xml,
    "--foobar--",
    "",
  ].join("\r\n");
