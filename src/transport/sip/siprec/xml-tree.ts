/**
 * Reads a small XML document into a tree, strictly and within bounds: no DTD, so that there are no entities to expand and
 * nothing is fetched. What its elements mean is recording-metadata.ts.
 */
import { type SaxesAttributeNS, SaxesParser } from "saxes";
import { TonetapError } from "../../../core/errors.ts";

/** Elements within each other. RFC 7865 needs five. */
const MAX_DEPTH = 16;
/** Elements of one document. */
const MAX_ELEMENTS = 2_048;

export interface XmlElement {
  /** Without a prefix. */
  readonly name: string;
  /** Its namespace; may be empty. */
  readonly namespace: string;
  /** By name without a prefix, of attributes that are in no namespace. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** All text right within it, without white space around it. */
  readonly text: string;
}

interface OpenElement {
  readonly name: string;
  readonly namespace: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: XmlElement[];
  text: string;
}

/** @returns the root, or a sentence that says why there is none. Never throws. */
export function readXml(text: string): XmlElement | string {
  // RFC 7865's examples, and vendors, have line ends before the declaration, where XML allows nothing.
  const document = text.trim();
  const open: OpenElement[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  const parser = new SaxesParser({ xmlns: true });
  parser.on("doctype", () => refuse("a DTD is not taken"));
  parser.on("error", (error) => refuse(error.message));
  parser.on("opentag", ({ local, uri, attributes }) => {
    if (open.length === MAX_DEPTH) refuse(`more than ${MAX_DEPTH} elements stand within each other`);
    if (++elements > MAX_ELEMENTS) refuse(`there are more than ${MAX_ELEMENTS} elements`);
    open.push({ name: local, namespace: uri, attributes: plain(attributes), children: [], text: "" });
  });
  const addText = (piece: string): void => {
    const element = open.at(-1);
    if (element !== undefined) element.text += piece;
  };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("closetag", () => {
    const closed = open.pop();
    if (closed === undefined) return;
    const element = { ...closed, text: closed.text.trim() };
    const parent = open.at(-1);
    if (parent === undefined) root = element;
    else parent.children.push(element);
  });
  try {
    parser.write(document).close();
  } catch (error) {
    // Only what refuse() throws comes from the document; the parser itself reports by its error event.
    return TonetapError.from(error).message;
  }
  return root ?? "there is no element";
}

/** The parser goes on after an error: only an exception ends it. */
function refuse(why: string): never {
  throw new TonetapError("protocol", why);
}

function plain(attributes: Readonly<Record<string, SaxesAttributeNS>>): ReadonlyMap<string, string> {
  const own = Object.values(attributes).filter(({ prefix, local }) => prefix === "" && local !== "xmlns");
  return new Map(own.map(({ local, value }) => [local, value]));
}
