/**
 * The resources the gateway takes, sends or answers with, of FHIR R4 (4.0.1), one line per element: `name type<cardinality> <extra>`.
 *   cardinality   none 0..1, ! 1..1, * 0..*, + 1..*
 *   type          a data type, a backbone element by its path, a choice a|b for name[x], or * for any data type
 *   extra         the codes of a required binding, or the resource types a Reference may point to (none: any)
 * id, extension, modifierExtension and what every resource has are added by structure.ts.
 */
export const resources: Readonly<Record<string, string>> = {
  Patient: `
    identifier Identifier*
    active boolean
    name HumanName*
    telecom ContactPoint*
    gender code male|female|other|unknown
    birthDate date
    deceased[x] boolean|dateTime
    address Address*
    maritalStatus CodeableConcept
    multipleBirth[x] boolean|integer
    photo Attachment*
    contact Patient.contact*
    communication Patient.communication*
    generalPractitioner Reference* Organization|Practitioner|PractitionerRole
    managingOrganization Reference Organization
    link Patient.link*`,
  'Patient.contact': `
    relationship CodeableConcept*
    name HumanName
    telecom ContactPoint*
    address Address
    gender code male|female|other|unknown
    organization Reference Organization
    period Period`,
  'Patient.communication': `
    language CodeableConcept!
    preferred boolean`,
  'Patient.link': `
    other Reference! Patient|RelatedPerson
    type code! replaced-by|replaces|refer|seealso`,
  ServiceRequest: `
    identifier Identifier*
    instantiatesCanonical canonical*
    instantiatesUri uri*
    basedOn Reference* CarePlan|ServiceRequest|MedicationRequest
    replaces Reference* ServiceRequest
    requisition Identifier
    status code! draft|active|on-hold|revoked|completed|entered-in-error|unknown
    intent code! proposal|plan|directive|order|original-order|reflex-order|filler-order|instance-order|option
    category CodeableConcept*
    priority code routine|urgent|asap|stat
    doNotPerform boolean
    code CodeableConcept
    orderDetail CodeableConcept*
    quantity[x] Quantity|Ratio|Range
    subject Reference! Patient|Group|Location|Device
    encounter Reference Encounter
    occurrence[x] dateTime|Period|Timing
    asNeeded[x] boolean|CodeableConcept
    authoredOn dateTime
    requester Reference Practitioner|PractitionerRole|Organization|Patient|RelatedPerson|Device
    performerType CodeableConcept
    performer Reference* Practitioner|PractitionerRole|Organization|CareTeam|HealthcareService|Patient|Device|RelatedPerson
    locationCode CodeableConcept*
    locationReference Reference* Location
    reasonCode CodeableConcept*
    reasonReference Reference* Condition|Observation|DiagnosticReport|DocumentReference
    insurance Reference* Coverage|ClaimResponse
    supportingInfo Reference*
    specimen Reference* Specimen
    bodySite CodeableConcept*
    note Annotation*
    patientInstruction string
    relevantHistory Reference* Provenance`,
  DiagnosticReport: `
    identifier Identifier*
    basedOn Reference* CarePlan|ImmunizationRecommendation|MedicationRequest|NutritionOrder|ServiceRequest
    status code! registered|partial|preliminary|final|amended|corrected|appended|cancelled|entered-in-error|unknown
    category CodeableConcept*
    code CodeableConcept!
    subject Reference Patient|Group|Device|Location
    encounter Reference Encounter
    effective[x] dateTime|Period
    issued instant
    performer Reference* Practitioner|PractitionerRole|Organization|CareTeam
    resultsInterpreter Reference* Practitioner|PractitionerRole|Organization|CareTeam
    specimen Reference* Specimen
    result Reference* Observation
    imagingStudy Reference* ImagingStudy
    media DiagnosticReport.media*
    conclusion string
    conclusionCode CodeableConcept*
    presentedForm Attachment*`,
  'DiagnosticReport.media': `
    comment string
    link Reference! Media`,
  Observation: `
    identifier Identifier*
    basedOn Reference* CarePlan|DeviceRequest|ImmunizationRecommendation|MedicationRequest|NutritionOrder|ServiceRequest
    partOf Reference* MedicationAdministration|MedicationDispense|MedicationStatement|Procedure|Immunization|ImagingStudy
    status code! registered|preliminary|final|amended|corrected|cancelled|entered-in-error|unknown
    category CodeableConcept*
    code CodeableConcept!
    subject Reference Patient|Group|Device|Location
    focus Reference*
    encounter Reference Encounter
    effective[x] dateTime|Period|Timing|instant
    issued instant
    performer Reference* Practitioner|PractitionerRole|Organization|CareTeam|Patient|RelatedPerson
    value[x] Quantity|CodeableConcept|string|boolean|integer|Range|Ratio|SampledData|time|dateTime|Period
    dataAbsentReason CodeableConcept
    interpretation CodeableConcept*
    note Annotation*
    bodySite CodeableConcept
    method CodeableConcept
    specimen Reference Specimen
    device Reference Device|DeviceMetric
    referenceRange Observation.referenceRange*
    hasMember Reference* Observation|QuestionnaireResponse|MolecularSequence
    derivedFrom Reference* DocumentReference|ImagingStudy|Media|QuestionnaireResponse|Observation|MolecularSequence
    component Observation.component*`,
  'Observation.referenceRange': `
    low Quantity
    high Quantity
    type CodeableConcept
    appliesTo CodeableConcept*
    age Range
    text string`,
  'Observation.component': `
    code CodeableConcept!
    value[x] Quantity|CodeableConcept|string|boolean|integer|Range|Ratio|SampledData|time|dateTime|Period
    dataAbsentReason CodeableConcept
    interpretation CodeableConcept*
    referenceRange Observation.referenceRange*`,
  ImagingStudy: `
    identifier Identifier*
    status code! registered|available|cancelled|entered-in-error|unknown
    modality Coding*
    subject Reference! Patient|Device|Group
    encounter Reference Encounter
    started dateTime
    basedOn Reference* CarePlan|ServiceRequest|Appointment|AppointmentResponse|Task
    referrer Reference Practitioner|PractitionerRole
    interpreter Reference* Practitioner|PractitionerRole
    endpoint Reference* Endpoint
    numberOfSeries unsignedInt
    numberOfInstances unsignedInt
    procedureReference Reference Procedure
    procedureCode CodeableConcept*
    location Reference Location
    reasonCode CodeableConcept*
    reasonReference Reference* Condition|Observation|Media|DiagnosticReport|DocumentReference
    note Annotation*
    description string
    series ImagingStudy.series*`,
  'ImagingStudy.series': `
    uid id!
    number unsignedInt
    modality Coding!
    description string
    numberOfInstances unsignedInt
    endpoint Reference* Endpoint
    bodySite Coding
    laterality Coding
    specimen Reference* Specimen
    started dateTime
    performer ImagingStudy.series.performer*
    instance ImagingStudy.series.instance*`,
  'ImagingStudy.series.performer': `
    function CodeableConcept
    actor Reference! Practitioner|PractitionerRole|Organization|CareTeam|Patient|Device|RelatedPerson`,
  'ImagingStudy.series.instance': `
    uid id!
    sopClass Coding!
    number unsignedInt
    title string`,
  Device: `
    identifier Identifier*
    definition Reference DeviceDefinition
    udiCarrier Device.udiCarrier*
    status code active|inactive|entered-in-error|unknown
    statusReason CodeableConcept*
    distinctIdentifier string
    manufacturer string
    manufactureDate dateTime
    expirationDate dateTime
    lotNumber string
    serialNumber string
    deviceName Device.deviceName*
    modelNumber string
    partNumber string
    type CodeableConcept
    specialization Device.specialization*
    version Device.version*
    property Device.property*
    patient Reference Patient
    owner Reference Organization
    contact ContactPoint*
    location Reference Location
    url uri
    note Annotation*
    safety CodeableConcept*
    parent Reference Device`,
  'Device.udiCarrier': `
    deviceIdentifier string
    issuer uri
    jurisdiction uri
    carrierAIDC base64Binary
    carrierHRF string
    entryType code barcode|rfid|manual|card|self-reported|unknown`,
  'Device.deviceName': `
    name string!
    type code! udi-label-name|user-friendly-name|patient-reported-name|manufacturer-name|model-name|other`,
  'Device.specialization': `
    systemType CodeableConcept!
    version string`,
  'Device.version': `
    type CodeableConcept
    component Identifier
    value string!`,
  'Device.property': `
    type CodeableConcept!
    valueQuantity Quantity*
    valueCode CodeableConcept*`,
  Provenance: `
    target Reference+
    occurred[x] Period|dateTime
    recorded instant!
    policy uri*
    location Reference Location
    reason CodeableConcept*
    activity CodeableConcept
    agent Provenance.agent+
    entity Provenance.entity*
    signature Signature*`,
  'Provenance.agent': `
    type CodeableConcept
    role CodeableConcept*
    who Reference! Practitioner|PractitionerRole|RelatedPerson|Patient|Device|Organization
    onBehalfOf Reference Practitioner|PractitionerRole|RelatedPerson|Patient|Device|Organization`,
  'Provenance.entity': `
    role code! derivation|revision|quotation|source|removal
    what Reference!
    agent Provenance.agent*`,
  AuditEvent: `
    type Coding!
    subtype Coding*
    action code C|R|U|D|E
    period Period
    recorded instant!
    outcome code 0|4|8|12
    outcomeDesc string
    purposeOfEvent CodeableConcept*
    agent AuditEvent.agent+
    source AuditEvent.source!
    entity AuditEvent.entity*`,
  'AuditEvent.agent': `
    type CodeableConcept
    role CodeableConcept*
    who Reference PractitionerRole|Practitioner|Organization|Device|Patient|RelatedPerson
    altId string
    name string
    requestor boolean!
    location Reference Location
    policy uri*
    media Coding
    network AuditEvent.agent.network
    purposeOfUse CodeableConcept*`,
  'AuditEvent.agent.network': `
    address string
    type code 1|2|3|4|5`,
  'AuditEvent.source': `
    site string
    observer Reference! PractitionerRole|Practitioner|Organization|Device|Patient|RelatedPerson
    type Coding*`,
  'AuditEvent.entity': `
    what Reference
    type Coding
    role Coding
    lifecycle Coding
    securityLabel Coding*
    name string
    description string
    query base64Binary
    detail AuditEvent.entity.detail*`,
  'AuditEvent.entity.detail': `
    type string!
    value[x] string|base64Binary!`,
  Bundle: `
    identifier Identifier
    type code! document|message|transaction|transaction-response|batch|batch-response|history|searchset|collection
    timestamp instant
    total unsignedInt
    link Bundle.link*
    entry Bundle.entry*
    signature Signature`,
  'Bundle.link': `
    relation string!
    url uri!`,
  'Bundle.entry': `
    link Bundle.link*
    fullUrl uri
    resource Resource
    search Bundle.entry.search
    request Bundle.entry.request
    response Bundle.entry.response`,
  'Bundle.entry.search': `
    mode code match|include|outcome
    score decimal`,
  'Bundle.entry.request': `
    method code! GET|HEAD|POST|PUT|DELETE|PATCH
    url uri!
    ifNoneMatch string
    ifModifiedSince instant
    ifMatch string
    ifNoneExist string`,
  'Bundle.entry.response': `
    status string!
    location uri
    etag string
    lastModified instant
    outcome Resource`,
  OperationOutcome: `
    issue OperationOutcome.issue+`,
  'OperationOutcome.issue': `
    severity code! fatal|error|warning|information
    code code! invalid|structure|required|value|invariant|security|login|unknown|expired|forbidden|suppressed|processing|not-supported|duplicate|multiple-matches|not-found|deleted|too-long|code-invalid|extension|too-costly|business-rule|conflict|transient|lock-error|no-store|exception|timeout|incomplete|throttled|informational
    details CodeableConcept
    diagnostics string
    location string*
    expression string*`,
  Endpoint: `
    identifier Identifier*
    status code! active|suspended|error|off|entered-in-error|test
    connectionType Coding!
    name string
    managingOrganization Reference Organization
    contact ContactPoint*
    period Period
    payloadType CodeableConcept+
    payloadMimeType code*
    address url!
    header string*`,
  Organization: `
    identifier Identifier*
    active boolean
    type CodeableConcept*
    name string
    alias string*
    telecom ContactPoint*
    address Address*
    partOf Reference Organization
    contact Organization.contact*
    endpoint Reference* Endpoint`,
  'Organization.contact': `
    purpose CodeableConcept
    name HumanName
    telecom ContactPoint*
    address Address`,
  Practitioner: `
    identifier Identifier*
    active boolean
    name HumanName*
    telecom ContactPoint*
    address Address*
    gender code male|female|other|unknown
    birthDate date
    photo Attachment*
    qualification Practitioner.qualification*
    communication CodeableConcept*`,
  'Practitioner.qualification': `
    identifier Identifier*
    code CodeableConcept!
    period Period
    issuer Reference Organization`,
  PractitionerRole: `
    identifier Identifier*
    active boolean
    period Period
    practitioner Reference Practitioner
    organization Reference Organization
    code CodeableConcept*
    specialty CodeableConcept*
    location Reference* Location
    healthcareService Reference* HealthcareService
    telecom ContactPoint*
    availableTime PractitionerRole.availableTime*
    notAvailable PractitionerRole.notAvailable*
    availabilityExceptions string
    endpoint Reference* Endpoint`,
  'PractitionerRole.availableTime': `
    daysOfWeek code* mon|tue|wed|thu|fri|sat|sun
    allDay boolean
    availableStartTime time
    availableEndTime time`,
  'PractitionerRole.notAvailable': `
    description string!
    during Period`,
  DocumentReference: `
    masterIdentifier Identifier
    identifier Identifier*
    status code! current|superseded|entered-in-error
    docStatus code preliminary|final|amended|entered-in-error
    type CodeableConcept
    category CodeableConcept*
    subject Reference Patient|Practitioner|Group|Device
    date instant
    author Reference* Practitioner|PractitionerRole|Organization|Device|Patient|RelatedPerson
    authenticator Reference Practitioner|PractitionerRole|Organization
    custodian Reference Organization
    relatesTo DocumentReference.relatesTo*
    description string
    securityLabel CodeableConcept*
    content DocumentReference.content+
    context DocumentReference.context`,
  'DocumentReference.relatesTo': `
    code code! replaces|transforms|signs|appends
    target Reference! DocumentReference`,
  'DocumentReference.content': `
    attachment Attachment!
    format Coding`,
  'DocumentReference.context': `
    encounter Reference* Encounter|EpisodeOfCare
    event CodeableConcept*
    period Period
    facilityType CodeableConcept
    practiceSetting CodeableConcept
    sourcePatientInfo Reference Patient
    related Reference*`,
  Binary: `
    contentType code!
    securityContext Reference
    data base64Binary`,
  Task: `
    identifier Identifier*
    instantiatesCanonical canonical
    instantiatesUri uri
    basedOn Reference*
    groupIdentifier Identifier
    partOf Reference* Task
    status code! draft|requested|received|accepted|rejected|ready|cancelled|in-progress|on-hold|failed|completed|entered-in-error
    statusReason CodeableConcept
    businessStatus CodeableConcept
    intent code! unknown|proposal|plan|order|original-order|reflex-order|filler-order|instance-order|option
    priority code routine|urgent|asap|stat
    code CodeableConcept
    description string
    focus Reference
    for Reference
    encounter Reference Encounter
    executionPeriod Period
    authoredOn dateTime
    lastModified dateTime
    requester Reference Device|Organization|Patient|Practitioner|PractitionerRole|RelatedPerson
    performerType CodeableConcept*
    owner Reference Practitioner|PractitionerRole|Organization|CareTeam|HealthcareService|Patient|Device|RelatedPerson
    location Reference Location
    reasonCode CodeableConcept
    reasonReference Reference
    insurance Reference* Coverage|ClaimResponse
    note Annotation*
    relevantHistory Reference* Provenance
    restriction Task.restriction
    input Task.input*
    output Task.output*`,
  'Task.restriction': `
    repetitions positiveInt
    period Period
    recipient Reference* Patient|Practitioner|PractitionerRole|RelatedPerson|Group|Organization`,
  'Task.input': `
    type CodeableConcept!
    value[x] *!`,
  'Task.output': `
    type CodeableConcept!
    value[x] *!`,
  Condition: `
    identifier Identifier*
    clinicalStatus CodeableConcept
    verificationStatus CodeableConcept
    category CodeableConcept*
    severity CodeableConcept
    code CodeableConcept
    bodySite CodeableConcept*
    subject Reference! Patient|Group
    encounter Reference Encounter
    onset[x] dateTime|Age|Period|Range|string
    abatement[x] dateTime|Age|Period|Range|string
    recordedDate dateTime
    recorder Reference Practitioner|PractitionerRole|Patient|RelatedPerson
    asserter Reference Practitioner|PractitionerRole|Patient|RelatedPerson
    stage Condition.stage*
    evidence Condition.evidence*
    note Annotation*`,
  'Condition.stage': `
    summary CodeableConcept
    assessment Reference* ClinicalImpression|DiagnosticReport|Observation
    type CodeableConcept`,
  'Condition.evidence': `
    code CodeableConcept*
    detail Reference*`,
  AllergyIntolerance: `
    identifier Identifier*
    clinicalStatus CodeableConcept
    verificationStatus CodeableConcept
    type code allergy|intolerance
    category code* food|medication|environment|biologic
    criticality code low|high|unable-to-assess
    code CodeableConcept
    patient Reference! Patient
    encounter Reference Encounter
    onset[x] dateTime|Age|Period|Range|string
    recordedDate dateTime
    recorder Reference Practitioner|PractitionerRole|Patient|RelatedPerson
    asserter Reference Patient|RelatedPerson|Practitioner|PractitionerRole
    lastOccurrence dateTime
    note Annotation*
    reaction AllergyIntolerance.reaction*`,
  'AllergyIntolerance.reaction': `
    substance CodeableConcept
    manifestation CodeableConcept+
    description string
    onset dateTime
    severity code mild|moderate|severe
    exposureRoute CodeableConcept
    note Annotation*`,
  Flag: `
    identifier Identifier*
    status code! active|inactive|entered-in-error
    category CodeableConcept*
    code CodeableConcept!
    subject Reference! Patient|Location|Group|Organization|Practitioner|PlanDefinition|Medication|Procedure
    period Period
    encounter Reference Encounter
    author Reference Device|Organization|Patient|Practitioner|PractitionerRole`,
  Communication: `
    identifier Identifier*
    instantiatesCanonical canonical*
    instantiatesUri uri*
    basedOn Reference*
    partOf Reference*
    inResponseTo Reference* Communication
    status code! preparation|in-progress|not-done|on-hold|stopped|completed|entered-in-error|unknown
    statusReason CodeableConcept
    category CodeableConcept*
    priority code routine|urgent|asap|stat
    medium CodeableConcept*
    subject Reference Patient|Group
    topic CodeableConcept
    about Reference*
    encounter Reference Encounter
    sent dateTime
    received dateTime
    recipient Reference* Device|Organization|Patient|Practitioner|PractitionerRole|RelatedPerson|Group|CareTeam|HealthcareService
    sender Reference Device|Organization|Patient|Practitioner|PractitionerRole|RelatedPerson|HealthcareService
    reasonCode CodeableConcept*
    reasonReference Reference* Condition|Observation|DiagnosticReport|DocumentReference
    payload Communication.payload*
    note Annotation*`,
  'Communication.payload': `
    content[x] string|Attachment|Reference!`,
  CapabilityStatement: `
    url uri
    version string
    name string
    title string
    status code! draft|active|retired|unknown
    experimental boolean
    date dateTime!
    publisher string
    contact ContactDetail*
    description markdown
    useContext UsageContext*
    jurisdiction CodeableConcept*
    purpose markdown
    copyright markdown
    kind code! instance|capability|requirements
    instantiates canonical*
    imports canonical*
    software CapabilityStatement.software
    implementation CapabilityStatement.implementation
    fhirVersion code!
    format code+
    patchFormat code*
    implementationGuide canonical*
    rest CapabilityStatement.rest*
    messaging CapabilityStatement.messaging*
    document CapabilityStatement.document*`,
  'CapabilityStatement.software': `
    name string!
    version string
    releaseDate dateTime`,
  'CapabilityStatement.implementation': `
    description string!
    url url
    custodian Reference Organization`,
  'CapabilityStatement.rest': `
    mode code! client|server
    documentation markdown
    security CapabilityStatement.rest.security
    resource CapabilityStatement.rest.resource*
    interaction CapabilityStatement.rest.interaction*
    searchParam CapabilityStatement.rest.resource.searchParam*
    operation CapabilityStatement.rest.resource.operation*
    compartment canonical*`,
  'CapabilityStatement.rest.security': `
    cors boolean
    service CodeableConcept*
    description markdown`,
  'CapabilityStatement.rest.resource': `
    type code!
    profile canonical
    supportedProfile canonical*
    documentation markdown
    interaction CapabilityStatement.rest.resource.interaction*
    versioning code no-version|versioned|versioned-update
    readHistory boolean
    updateCreate boolean
    conditionalCreate boolean
    conditionalRead code not-supported|modified-since|not-match|full-support
    conditionalUpdate boolean
    conditionalDelete code not-supported|single|multiple
    referencePolicy code* literal|logical|resolves|enforced|local
    searchInclude string*
    searchRevInclude string*
    searchParam CapabilityStatement.rest.resource.searchParam*
    operation CapabilityStatement.rest.resource.operation*`,
  'CapabilityStatement.rest.resource.interaction': `
    code code! read|vread|update|patch|delete|history-instance|history-type|create|search-type
    documentation markdown`,
  'CapabilityStatement.rest.resource.searchParam': `
    name string!
    definition canonical
    type code! number|date|string|token|reference|composite|quantity|uri|special
    documentation markdown`,
  'CapabilityStatement.rest.resource.operation': `
    name string!
    definition canonical!
    documentation markdown`,
  'CapabilityStatement.rest.interaction': `
    code code! transaction|batch|search-system|history-system
    documentation markdown`,
  'CapabilityStatement.messaging': `
    endpoint CapabilityStatement.messaging.endpoint*
    reliableCache unsignedInt
    documentation markdown
    supportedMessage CapabilityStatement.messaging.supportedMessage*`,
  'CapabilityStatement.messaging.endpoint': `
    protocol Coding!
    address url!`,
  'CapabilityStatement.messaging.supportedMessage': `
    mode code! sender|receiver
    definition canonical!`,
  'CapabilityStatement.document': `
    mode code! producer|consumer
    documentation markdown
    profile canonical!`,
};
