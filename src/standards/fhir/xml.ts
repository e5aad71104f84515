/**
 * FHIR XML (R4 xml.html) to the JSON form and back, by the library `fhir`, guarded: no document type and so no entities, no processing instructions,
 * bounded depth, and nothing lost. The library reads the elements it knows and passes over the rest in silence, so what it read is written again and
 * compared: a document of which something would be dropped is refused.
 */
import { readShape } from './xml-shape.ts';

export interface XmlLimits { readonly depth: number; readonly elements: number }
export const defaultXmlLimits: XmlLimits = { depth: 64, elements: 200_000 };

/** `text` names the fault without quoting the content. */
export class FhirXmlError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'FhirXmlError';
  }
}

interface Converter { xmlToJson(xml: string): string | undefined; objToXml(resource: object): string }
let converter: Promise<Converter> | undefined;
/** Its tables take 40 MB: loaded when the first XML comes. */
const load = (): Promise<Converter> => (converter ??= import('fhir').then(({ Fhir }) => new Fhir() as unknown as Converter));

/** One resource. Throws FhirXmlError for everything else. */
export async function parseFhirXml(bytes: Uint8Array, limits: XmlLimits = defaultXmlLimits): Promise<Record<string, unknown>> {
  const text = decoded(bytes);
  const shape = readShape(text, limits);
  if ('problem' in shape) throw new FhirXmlError(shape.problem);
  const library = await load();
  let resource: Record<string, unknown>, again: ReturnType<typeof readShape>;
  try {
    // By way of JSON text: as an object the library leaves decimals as strings. It takes nothing beside the root, not even a comment.
    resource = JSON.parse(library.xmlToJson(text.replaceAll(/<!--[\s\S]*?-->/g, '')) ?? '') as Record<string, unknown>;
    again = readShape(library.objToXml(resource), limits);
  } catch {
    throw new FhirXmlError('The message is no resource of FHIR R4 in XML.');
  }
  const lost = 'problem' in again ? 'its root' : shape.lostIn(again);
  if (lost !== undefined) throw new FhirXmlError(`The message holds ${lost}, which FHIR R4 does not have at this place.`);
  return resource;
}

/** With XML declaration. Throws for a resource type that is not of R4. */
export async function writeFhirXml(resource: Readonly<Record<string, unknown>>): Promise<string> {
  return (await load()).objToXml(resource);
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FhirXmlError('The message is not UTF-8 (FHIR R4 xml.html requires it).');
  }
}
