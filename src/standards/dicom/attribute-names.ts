/** Names of the attributes that a person looks for in an image's header (PS3.6 chapter 6); others are shown by tag alone. */
const names: Readonly<Record<number, string>> = {
  0x00020002: 'Media Storage SOP Class UID', 0x00020003: 'Media Storage SOP Instance UID', 0x00020010: 'Transfer Syntax UID', 0x00020012: 'Implementation Class UID', 0x00020013: 'Implementation Version Name', 0x00020016: 'Source Application Entity Title',
  0x00080005: 'Specific Character Set', 0x00080008: 'Image Type', 0x00080012: 'Instance Creation Date', 0x00080013: 'Instance Creation Time', 0x00080016: 'SOP Class UID', 0x00080018: 'SOP Instance UID', 0x00080020: 'Study Date', 0x00080021: 'Series Date',
  0x00080022: 'Acquisition Date', 0x00080023: 'Content Date', 0x0008002a: 'Acquisition DateTime', 0x00080030: 'Study Time', 0x00080031: 'Series Time', 0x00080032: 'Acquisition Time', 0x00080033: 'Content Time', 0x00080050: 'Accession Number',
  0x00080051: 'Issuer of Accession Number Sequence', 0x00080060: 'Modality', 0x00080064: 'Conversion Type', 0x00080068: 'Presentation Intent Type', 0x00080070: 'Manufacturer', 0x00080080: 'Institution Name', 0x00080081: 'Institution Address',
  0x00080090: 'Referring Physician\'s Name', 0x00080100: 'Code Value', 0x00080102: 'Coding Scheme Designator', 0x00080104: 'Code Meaning', 0x00080201: 'Timezone Offset From UTC', 0x00081010: 'Station Name', 0x00081030: 'Study Description',
  0x00081032: 'Procedure Code Sequence', 0x0008103e: 'Series Description', 0x00081040: 'Institutional Department Name', 0x00081048: 'Physician(s) of Record', 0x00081050: 'Performing Physician\'s Name', 0x00081060: 'Name of Physician(s) Reading Study',
  0x00081070: 'Operators\' Name', 0x00081090: 'Manufacturer\'s Model Name', 0x00081110: 'Referenced Study Sequence', 0x00081111: 'Referenced Performed Procedure Step Sequence', 0x00081115: 'Referenced Series Sequence', 0x00081140: 'Referenced Image Sequence',
  0x00081150: 'Referenced SOP Class UID', 0x00081155: 'Referenced SOP Instance UID', 0x00082111: 'Derivation Description', 0x00082112: 'Source Image Sequence', 0x00082218: 'Anatomic Region Sequence',
  0x00100010: 'Patient\'s Name', 0x00100020: 'Patient ID', 0x00100021: 'Issuer of Patient ID', 0x00100022: 'Type of Patient ID', 0x00100024: 'Issuer of Patient ID Qualifiers Sequence', 0x00100030: 'Patient\'s Birth Date', 0x00100032: 'Patient\'s Birth Time',
  0x00100040: 'Patient\'s Sex', 0x00101000: 'Other Patient IDs', 0x00101001: 'Other Patient Names', 0x00101002: 'Other Patient IDs Sequence', 0x00101010: 'Patient\'s Age', 0x00101020: 'Patient\'s Size', 0x00101030: 'Patient\'s Weight',
  0x00102160: 'Ethnic Group', 0x001021b0: 'Additional Patient History', 0x00104000: 'Patient Comments', 0x00120062: 'Patient Identity Removed', 0x00120063: 'De-identification Method',
  0x00180010: 'Contrast/Bolus Agent', 0x00180015: 'Body Part Examined', 0x00180020: 'Scanning Sequence', 0x00180022: 'Scan Options', 0x00180050: 'Slice Thickness', 0x00180060: 'KVP', 0x00180088: 'Spacing Between Slices', 0x00181000: 'Device Serial Number',
  0x00181020: 'Software Versions', 0x00181030: 'Protocol Name', 0x00181100: 'Reconstruction Diameter', 0x00181120: 'Gantry/Detector Tilt', 0x00181150: 'Exposure Time', 0x00181151: 'X-Ray Tube Current', 0x00181152: 'Exposure', 0x00181164: 'Imager Pixel Spacing',
  0x00181210: 'Convolution Kernel', 0x00185100: 'Patient Position', 0x00185101: 'View Position', 0x0020000d: 'Study Instance UID', 0x0020000e: 'Series Instance UID', 0x00200010: 'Study ID', 0x00200011: 'Series Number', 0x00200012: 'Acquisition Number',
  0x00200013: 'Instance Number', 0x00200020: 'Patient Orientation', 0x00200032: 'Image Position (Patient)', 0x00200037: 'Image Orientation (Patient)', 0x00200052: 'Frame of Reference UID', 0x00200060: 'Laterality', 0x00200062: 'Image Laterality',
  0x00201040: 'Position Reference Indicator', 0x00201041: 'Slice Location', 0x00204000: 'Image Comments', 0x00280002: 'Samples per Pixel', 0x00280004: 'Photometric Interpretation', 0x00280008: 'Number of Frames', 0x00280010: 'Rows', 0x00280011: 'Columns',
  0x00280030: 'Pixel Spacing', 0x00280100: 'Bits Allocated', 0x00280101: 'Bits Stored', 0x00280102: 'High Bit', 0x00280103: 'Pixel Representation', 0x00280106: 'Smallest Image Pixel Value', 0x00280107: 'Largest Image Pixel Value', 0x00280301: 'Burned In Annotation',
  0x00281050: 'Window Center', 0x00281051: 'Window Width', 0x00281052: 'Rescale Intercept', 0x00281053: 'Rescale Slope', 0x00281054: 'Rescale Type', 0x00282110: 'Lossy Image Compression', 0x00321032: 'Requesting Physician', 0x00321060: 'Requested Procedure Description',
  0x00321064: 'Requested Procedure Code Sequence', 0x00400244: 'Performed Procedure Step Start Date', 0x00400245: 'Performed Procedure Step Start Time', 0x00400253: 'Performed Procedure Step ID', 0x00400254: 'Performed Procedure Step Description',
  0x00400275: 'Request Attributes Sequence', 0x00401001: 'Requested Procedure ID', 0x0040a010: 'Relationship Type', 0x0040a040: 'Value Type', 0x0040a043: 'Concept Name Code Sequence', 0x0040a160: 'Text Value', 0x0040a168: 'Concept Code Sequence', 0x0040a300: 'Measured Value Sequence',
  0x0040a30a: 'Numeric Value', 0x0040a491: 'Completion Flag', 0x0040a493: 'Verification Flag', 0x0040a730: 'Content Sequence', 0x7fe00010: 'Pixel Data',
};

export function attributeName(tag: number): string | undefined {
  return names[tag] ?? ((tag & 0xffff) === 0 ? 'Group Length' : (tag >>> 16) % 2 === 1 ? 'private' : undefined);
}
