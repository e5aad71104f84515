/**
 * The data types of FHIR R4 (4.0.1), one line per element: `name type<cardinality> <extra>`.
 *   cardinality   none 0..1, ! 1..1, * 0..*, + 1..*
 *   type          a data type, a backbone element by its path, a choice a|b for name[x], or * for any data type
 *   extra         the codes of a required binding, or the resource types a Reference may point to (none: any)
 * id, extension, modifierExtension and what every resource has are added by structure.ts.
 */
export const dataTypes: Readonly<Record<string, string>> = {
  Meta: `
    versionId id
    lastUpdated instant
    source uri
    profile canonical*
    security Coding*
    tag Coding*`,
  Narrative: `
    status code! generated|extensions|additional|empty
    div xhtml!`,
  Extension: `
    url uri!
    value[x] *`,
  Identifier: `
    use code usual|official|temp|secondary|old
    type CodeableConcept
    system uri
    value string
    period Period
    assigner Reference Organization`,
  HumanName: `
    use code usual|official|temp|nickname|anonymous|old|maiden
    text string
    family string
    given string*
    prefix string*
    suffix string*
    period Period`,
  Address: `
    use code home|work|temp|old|billing
    type code postal|physical|both
    text string
    line string*
    city string
    district string
    state string
    postalCode string
    country string
    period Period`,
  ContactPoint: `
    system code phone|fax|email|pager|url|sms|other
    value string
    use code home|work|temp|old|mobile
    rank positiveInt
    period Period`,
  CodeableConcept: `
    coding Coding*
    text string`,
  Coding: `
    system uri
    version string
    code code
    display string
    userSelected boolean`,
  Reference: `
    reference string
    type uri
    identifier Identifier
    display string`,
  Period: `
    start dateTime
    end dateTime`,
  Quantity: `
    value decimal
    comparator code <|<=|>=|>
    unit string
    system uri
    code code`,
  Range: `
    low Quantity
    high Quantity`,
  Ratio: `
    numerator Quantity
    denominator Quantity`,
  Money: `
    value decimal
    currency code`,
  Attachment: `
    contentType code
    language code
    data base64Binary
    url url
    size unsignedInt
    hash base64Binary
    title string
    creation dateTime`,
  Annotation: `
    author[x] Reference|string Practitioner|Patient|RelatedPerson|Organization
    time dateTime
    text markdown!`,
  SampledData: `
    origin Quantity!
    period decimal!
    factor decimal
    lowerLimit decimal
    upperLimit decimal
    dimensions positiveInt!
    data string`,
  Signature: `
    type Coding+
    when instant!
    who Reference! Practitioner|PractitionerRole|RelatedPerson|Patient|Device|Organization
    onBehalfOf Reference Practitioner|PractitionerRole|RelatedPerson|Patient|Device|Organization
    targetFormat code
    sigFormat code
    data base64Binary`,
  Timing: `
    event dateTime*
    repeat Timing.repeat
    code CodeableConcept`,
  'Timing.repeat': `
    bounds[x] Duration|Range|Period
    count positiveInt
    countMax positiveInt
    duration decimal
    durationMax decimal
    durationUnit code s|min|h|d|wk|mo|a
    frequency positiveInt
    frequencyMax positiveInt
    period decimal
    periodMax decimal
    periodUnit code s|min|h|d|wk|mo|a
    dayOfWeek code* mon|tue|wed|thu|fri|sat|sun
    timeOfDay time*
    when code* MORN|MORN.early|MORN.late|NOON|AFT|AFT.early|AFT.late|EVE|EVE.early|EVE.late|NIGHT|PHS|HS|WAKE|C|CM|CD|CV|AC|ACM|ACD|ACV|PC|PCM|PCD|PCV
    offset unsignedInt`,
  ContactDetail: `
    name string
    telecom ContactPoint*`,
  UsageContext: `
    code Coding!
    value[x] CodeableConcept|Quantity|Range|Reference! PlanDefinition|ResearchStudy|InsurancePlan|HealthcareService|Group|Location|Organization`,
  Age: `
    value decimal
    comparator code <|<=|>=|>
    unit string
    system uri
    code code`,
  Count: `
    value decimal
    comparator code <|<=|>=|>
    unit string
    system uri
    code code`,
  Distance: `
    value decimal
    comparator code <|<=|>=|>
    unit string
    system uri
    code code`,
  Duration: `
    value decimal
    comparator code <|<=|>=|>
    unit string
    system uri
    code code`,
};
