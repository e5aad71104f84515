/** The messages a RIS sends: ADT^A04 (register), A08 (update), A40 (merge) and ORM^O01, as HL7 v2.5.1 text in UTF-8. */

export interface SimulatedPatient {
  readonly patientId: string; readonly assigningAuthority: string;
  readonly familyName: string; readonly givenName: string; readonly middleName?: string;
  /** 'family^given', for DICOM (PS3.5 H). */
  readonly ideographicName?: string; readonly phoneticName?: string;
  /** YYYYMMDD */
  readonly birthDate: string;
  readonly sex: 'M' | 'F' | 'O' | 'U';
  readonly allergies?: readonly { readonly code: string; readonly text: string; readonly severity: 'SV' | 'MO' | 'MI' }[];
  readonly diagnoses?: readonly { readonly code: string; readonly text: string }[];
}
export interface SimulatedOrder {
  readonly placerOrderNumber: string; readonly fillerOrderNumber: string; readonly accessionNumber: string;
  readonly procedureCode: string; readonly procedureDescription: string; readonly codingSystem: string;
  readonly modality: string; readonly studyInstanceUid?: string;
  /** HL7 table 0485 / TQ1-9: S stat, A asap, R routine. */
  readonly priority: 'S' | 'A' | 'R';
  readonly reason: string; readonly requestingPhysician: { readonly id: string; readonly familyName: string; readonly givenName: string };
}
export interface MessageEnvelope { readonly controlId: string; readonly sendingApplication: string; readonly sendingFacility: string; readonly at: Date }

export function registrationMessage(event: 'A01' | 'A04' | 'A08', patient: SimulatedPatient, envelope: MessageEnvelope): Buffer {
  return messageOf([
    header(`ADT^${event}^ADT_${event === 'A08' ? 'A01' : event === 'A04' ? 'A01' : event}`, envelope),
    `EVN|${event}|${timestamp(envelope.at)}`,
    patientSegment(patient),
    'PV1|1|O|RAD^^^NORTH||||1234^Welby^Marcus|5678^House^Gregory||||||||||||V' + envelope.controlId,
    ...(patient.allergies ?? []).map((allergy, index) => `AL1|${index + 1}|DA|${escape(allergy.code)}^${escape(allergy.text)}^L|${allergy.severity}`),
    ...(patient.diagnoses ?? []).map((diagnosis, index) => `DG1|${index + 1}||${escape(diagnosis.code)}^${escape(diagnosis.text)}^I10|||A`),
  ]);
}

/** The prior identifier is merged into the patient (ch. 3.3.40). */
export function mergeMessage(patient: SimulatedPatient, priorPatientId: string, envelope: MessageEnvelope): Buffer {
  return messageOf([
    header('ADT^A40^ADT_A39', envelope), `EVN|A40|${timestamp(envelope.at)}`, patientSegment(patient),
    `MRG|${identifier(priorPatientId, patient.assigningAuthority)}`,
  ]);
}

/** `control` is ORC-1: NW new, XO change, CA cancel. */
export function orderMessage(control: 'NW' | 'XO' | 'CA', patient: SimulatedPatient, order: SimulatedOrder, envelope: MessageEnvelope): Buffer {
  const service = `${escape(order.procedureCode)}^${escape(order.procedureDescription)}^${escape(order.codingSystem)}`;
  const { id, familyName, givenName } = order.requestingPhysician;
  const physician = [id, familyName, givenName].map(escape).join('^');
  const status = control === 'CA' ? 'CA' : 'SC';
  const observation: Record<number, string> = {
    1: '1', 2: escape(order.placerOrderNumber), 3: escape(order.fillerOrderNumber), 4: service, 5: order.priority, 16: physician,
    18: escape(order.accessionNumber), 24: escape(order.modality), 27: `1^^^${timestamp(envelope.at)}^^${order.priority}`, 31: `^${escape(order.reason)}`,
  };
  return messageOf([
    header('ORM^O01^ORM_O01', envelope), patientSegment(patient), 'PV1|1|O|RAD^^^NORTH',
    `ORC|${control}|${escape(order.placerOrderNumber)}|${escape(order.fillerOrderNumber)}||${status}||1^^^${timestamp(envelope.at)}^^${order.priority}||${timestamp(envelope.at)}|||${physician}`,
    segment('OBR', observation),
    ...(order.studyInstanceUid === undefined ? [] : [`ZDS|${order.studyInstanceUid}^MEDSCAN^Application^DICOM`]),
  ]);
}

/** The answer of a RIS to a result (ch. 2.9.2): MSA-1 the code, MSA-2 the sender's control id. */
export function acknowledgment(code: string, received: string, text: string | undefined, controlId: string): Buffer {
  const sent = headerFields(received);
  return messageOf([
    `MSH|^~\\&|${sent[4] ?? ''}|${sent[5] ?? ''}|${sent[2] ?? ''}|${sent[3] ?? ''}|${timestamp(new Date())}||ACK^${sent[8]?.split('^')[1] ?? ''}|${controlId}|P|2.5.1`,
    `MSA|${code}|${sent[9] ?? ''}`,
    ...(text === undefined ? [] : [`ERR|||207|E||||${escape(text)}`]),
  ]);
}

/** MSH split at '|': [8] is MSH-9, [9] is MSH-10. */
export function headerFields(message: string): readonly string[] {
  return (message.split('\r')[0] ?? '').split('|');
}
/** The first segment of that name, split at '|': [1] is its field 1. */
export function segmentFields(message: string, name: string): readonly string[] | undefined {
  return message.split('\r').find((line) => line.startsWith(`${name}|`))?.split('|');
}

function header(type: string, { controlId, sendingApplication, sendingFacility, at }: MessageEnvelope): string {
  return `MSH|^~\\&|${escape(sendingApplication)}|${escape(sendingFacility)}|MEDSCAN|GATEWAY|${timestamp(at)}||${type}|${controlId}|P|2.5.1||||||UNICODE UTF-8`;
}
function patientSegment(patient: SimulatedPatient): string {
  const name = [patient.familyName, patient.givenName, patient.middleName ?? ''].map(escape).join('^');
  return segment('PID', { 1: '1', 3: identifier(patient.patientId, patient.assigningAuthority), 5: name, 7: patient.birthDate, 8: patient.sex, 11: '12 Harbour Street^^Springfield^^62701^USA', 13: '^PRN^PH^^^^5550100' });
}
function identifier(value: string, assigningAuthority: string): string {
  return `${escape(value)}^^^${escape(assigningAuthority)}^MR`;
}
function segment(name: string, fields: Readonly<Record<number, string>>): string {
  const last = Math.max(...Object.keys(fields).map(Number));
  return [name, ...Array.from({ length: last }, (_, index) => fields[index + 1] ?? '')].join('|');
}
function messageOf(segments: readonly string[]): Buffer {
  return Buffer.from(`${segments.join('\r')}\r`, 'utf8');
}
function timestamp(at: Date): string {
  return `${at.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}+0000`;
}
function escape(text: string): string {
  const codes: Readonly<Record<string, string>> = { '\\': '\\E\\', '|': '\\F\\', '^': '\\S\\', '&': '\\T\\', '~': '\\R\\' };
  return text.replaceAll(/[\\|^&~]/g, (character) => codes[character] ?? '').replaceAll(/[\r\n]+/g, ' ');
}
