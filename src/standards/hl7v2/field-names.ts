/** Names of segments and fields, and of the components of common data types, as HL7 v2.5.1 has them (chapters 2A to 9): for people who look at a message. */

/** 'Patient identifier list:CX' is a name with the data type whose components have names too. */
const segments: Readonly<Record<string, string>> = {
  MSH: 'Message header|Field separator|Encoding characters|Sending application:HD|Sending facility:HD|Receiving application:HD|Receiving facility:HD|Date/time of message|Security|Message type:MSG|Message control ID|Processing ID|Version ID|Sequence number|Continuation pointer|Accept acknowledgment type|Application acknowledgment type|Country code|Character set|Principal language of message:CE|Alternate character set handling scheme|Message profile identifier:EI',
  EVN: 'Event type|Event type code|Recorded date/time|Date/time planned event|Event reason code|Operator ID:XCN|Event occurred|Event facility:HD',
  PID: 'Patient identification|Set ID|Patient ID:CX|Patient identifier list:CX|Alternate patient ID:CX|Patient name:XPN|Mother\'s maiden name:XPN|Date/time of birth|Administrative sex|Patient alias:XPN|Race:CE|Patient address:XAD|County code|Phone number, home:XTN|Phone number, business:XTN|Primary language:CE|Marital status:CE|Religion:CE|Patient account number:CX|SSN number|Driver\'s license number|Mother\'s identifier:CX|Ethnic group:CE|Birth place|Multiple birth indicator|Birth order|Citizenship:CE|Veterans military status:CE|Nationality:CE|Patient death date and time|Patient death indicator|Identity unknown indicator|Identity reliability code|Last update date/time|Last update facility:HD|Species code:CE|Breed code:CE|Strain|Production class code:CE|Tribal citizenship:CE',
  PD1: 'Additional demographics|Living dependency|Living arrangement|Patient primary facility|Patient primary care provider:XCN|Student indicator|Handicap|Living will code|Organ donor code|Separate bill|Duplicate patient:CX|Publicity code:CE|Protection indicator|Protection indicator effective date',
  NK1: 'Next of kin|Set ID|Name:XPN|Relationship:CE|Address:XAD|Phone number:XTN|Business phone number:XTN|Contact role:CE',
  PV1: 'Patient visit|Set ID|Patient class|Assigned patient location:PL|Admission type|Preadmit number:CX|Prior patient location:PL|Attending doctor:XCN|Referring doctor:XCN|Consulting doctor:XCN|Hospital service|Temporary location:PL|Preadmit test indicator|Re-admission indicator|Admit source|Ambulatory status|VIP indicator|Admitting doctor:XCN|Patient type|Visit number:CX|Financial class|||||||||||||||||Discharge disposition||||||||Admit date/time|Discharge date/time',
  PV2: 'Patient visit, additional|Prior pending location:PL|Accommodation code:CE|Admit reason:CE|Transfer reason:CE',
  AL1: 'Allergy information|Set ID|Allergen type code:CE|Allergen code:CE|Allergy severity code:CE|Allergy reaction code|Identification date',
  DG1: 'Diagnosis|Set ID|Diagnosis coding method|Diagnosis code:CE|Diagnosis description|Diagnosis date/time|Diagnosis type',
  PR1: 'Procedures|Set ID|Procedure coding method|Procedure code:CE|Procedure description|Procedure date/time',
  GT1: 'Guarantor', IN1: 'Insurance', IN2: 'Insurance, additional', IN3: 'Insurance, certification', ACC: 'Accident', UB1: 'UB82 data', UB2: 'UB92 data', ROL: 'Role', DB1: 'Disability',
  MRG: 'Merge patient information|Prior patient identifier list:CX|Prior alternate patient ID:CX|Prior patient account number:CX|Prior patient ID:CX|Prior visit number:CX|Prior alternate visit ID:CX|Prior patient name:XPN',
  ORC: 'Common order|Order control|Placer order number:EI|Filler order number:EI|Placer group number:EI|Order status|Response flag|Quantity/timing|Parent|Date/time of transaction|Entered by:XCN|Verified by:XCN|Ordering provider:XCN|Enterer\'s location:PL|Call back phone number:XTN|Order effective date/time|Order control code reason:CE|Entering organization:CE|Entering device:CE|Action by:XCN',
  OBR: 'Observation request|Set ID|Placer order number:EI|Filler order number:EI|Universal service identifier:CE|Priority|Requested date/time|Observation date/time|Observation end date/time|Collection volume|Collector identifier:XCN|Specimen action code|Danger code:CE|Relevant clinical information|Specimen received date/time|Specimen source|Ordering provider:XCN|Order callback phone number:XTN|Placer field 1|Placer field 2|Filler field 1|Filler field 2|Results report/status change date/time|Charge to practice|Diagnostic service section ID|Result status|Parent result|Quantity/timing|Result copies to:XCN|Parent|Transportation mode|Reason for study:CE|Principal result interpreter|Assistant result interpreter|Technician|Transcriptionist|Scheduled date/time|||||||Procedure code:CE|Procedure code modifier:CE',
  OBX: 'Observation/result|Set ID|Value type|Observation identifier:CE|Observation sub-ID|Observation value|Units:CE|References range|Abnormal flags|Probability|Nature of abnormal test|Observation result status|Effective date of reference range|User defined access checks|Date/time of the observation|Producer\'s ID:CE|Responsible observer:XCN|Observation method:CE|Equipment instance identifier:EI|Date/time of the analysis',
  NTE: 'Notes and comments|Set ID|Source of comment|Comment|Comment type:CE',
  TQ1: 'Timing/quantity|Set ID|Quantity|Repeat pattern|Explicit time|Relative time and units|Service duration|Start date/time|End date/time|Priority:CE',
  IPC: 'Imaging procedure control|Accession identifier:EI|Requested procedure ID:EI|Study Instance UID:EI|Scheduled procedure step ID:EI|Modality:CE|Protocol code:CE|Scheduled station name:EI|Scheduled procedure step location:CE|Scheduled station AE title',
  ZDS: 'Study Instance UID (IHE)|Study Instance UID',
  SCH: 'Scheduling activity|Placer appointment ID:EI|Filler appointment ID:EI|Occurrence number|Placer group number:EI|Schedule ID:CE|Event reason:CE|Appointment reason:CE|Appointment type:CE|Appointment duration|Appointment duration units:CE|Appointment timing quantity|Placer contact person:XCN|Placer contact phone number:XTN|Placer contact address:XAD|Placer contact location:PL|Filler contact person:XCN|Filler contact phone number:XTN|Filler contact address:XAD|Filler contact location:PL|Entered by person:XCN|Entered by phone number:XTN|Entered by location:PL|Parent placer appointment ID:EI|Parent filler appointment ID:EI|Filler status code:CE|Placer order number:EI|Filler order number:EI',
  RGS: 'Resource group|Set ID|Segment action code|Resource group ID:CE',
  AIS: 'Appointment, service|Set ID|Segment action code|Universal service identifier:CE|Start date/time|Start date/time offset|Start date/time offset units:CE|Duration|Duration units:CE',
  AIG: 'Appointment, general resource', AIL: 'Appointment, location resource', AIP: 'Appointment, personnel resource',
  TXA: 'Transcription document header|Set ID|Document type|Document content presentation|Activity date/time|Primary activity provider:XCN|Origination date/time|Transcription date/time|Edit date/time|Originator:XCN|Assigned document authenticator:XCN|Transcriptionist:XCN|Unique document number:EI|Parent document number:EI|Placer order number:EI|Filler order number:EI|Unique document file name|Document completion status',
  MSA: 'Message acknowledgment|Acknowledgment code|Message control ID|Text message|Expected sequence number|Delayed acknowledgment type|Error condition:CE',
  ERR: 'Error|Error code and location|Error location|HL7 error code:CE|Severity|Application error code:CE|Application error parameter|Diagnostic information|User message',
  SFT: 'Software|Software vendor organization|Software version|Software product name|Software binary ID', DSC: 'Continuation pointer', SPM: 'Specimen', CTI: 'Clinical trial identification', CTD: 'Contact data',
  FHS: 'File header', FTS: 'File trailer', BHS: 'Batch header', BTS: 'Batch trailer',
};

const dataTypes: Readonly<Record<string, readonly string[]>> = {
  CX: ['ID number', 'check digit', 'check digit scheme', 'assigning authority', 'identifier type code', 'assigning facility', 'effective date', 'expiration date'],
  XPN: ['family name', 'given name', 'second names', 'suffix', 'prefix', 'degree', 'name type code', 'name representation code'],
  XCN: ['ID number', 'family name', 'given name', 'second names', 'suffix', 'prefix', 'degree', 'source table', 'assigning authority', 'name type code'],
  XAD: ['street address', 'other designation', 'city', 'state or province', 'zip or postal code', 'country', 'address type', 'other geographic designation'],
  XTN: ['telephone number', 'use code', 'equipment type', 'email address', 'country code', 'area/city code', 'local number', 'extension'],
  CE: ['identifier', 'text', 'coding system', 'alternate identifier', 'alternate text', 'alternate coding system'],
  EI: ['entity identifier', 'namespace ID', 'universal ID', 'universal ID type'],
  HD: ['namespace ID', 'universal ID', 'universal ID type'],
  PL: ['point of care', 'room', 'bed', 'facility', 'location status', 'person location type', 'building', 'floor'],
  MSG: ['message code', 'trigger event', 'message structure'],
};

const named = new Map(Object.entries(segments).map(([segment, text]) => [segment, text.split('|')]));

/** 'Patient identification'; undefined for a segment we have no name for (Z segments). */
export const segmentName = (segment: string): string | undefined => named.get(segment)?.[0];
/** 'Patient identifier list' for PID, 3. */
export const fieldName = (segment: string, field: number): string | undefined => named.get(segment)?.[field]?.split(':')[0] || undefined;
/** 'assigning authority' for PID, 3, 4. */
export function componentName(segment: string, field: number, component: number): string | undefined {
  const type = named.get(segment)?.[field]?.split(':')[1];
  return type === undefined ? undefined : dataTypes[type]?.[component - 1];
}
