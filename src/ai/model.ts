/** A model as a row of ai_models describes it: where it runs, what it is fed with, and how its output is read. */
import { z } from 'zod';

const coded = z.strictObject({ system: z.string().min(1), code: z.string().min(1), display: z.string().min(1) });
const severity = z.enum(['low', 'medium', 'high', 'critical']);

const selection = {
  tensor: z.string().min(1).describe('Name of the model\'s input tensor'),
  modalities: z.array(z.string()).min(1).describe('(0008,0060) Modality of the instances the model may see'),
  range: z.strictObject({ low: z.number(), high: z.number() }).refine(({ low, high }) => high > low, 'high must be above low').describe('Grey values (Hounsfield units in CT) are clamped to this range; low becomes 0'),
  scale: z.number().positive().default(1).describe('Factor applied after low became 0'),
};

const volumeInput = z.strictObject({
  kind: z.literal('volume'), ...selection,
  spacingMillimetres: z.number().min(0.2).max(10).describe('Edge of the cubes the series is resampled to'),
  slabPlanes: z.number().int().min(8).max(1024).default(64).describe('Planes given to the model at a time, without the margins'),
  marginPlanes: z.number().int().min(0).max(128).default(12).describe('Planes added on both sides of a slab'),
  minimumSlices: z.number().int().min(1).default(5).describe('Series with fewer slices of one geometry are left out'),
  maximumSeries: z.number().int().min(1).default(4).describe('Series analysed at most, those with the most slices first'),
});

const imageInput = z.strictObject({
  kind: z.literal('image'), ...selection,
  rows: z.number().int().min(8).max(4096), columns: z.number().int().min(8).max(4096),
  channels: z.union([z.literal(1), z.literal(3)]).default(1).describe('The grey image is repeated over the channels'),
  normalize: z.enum(['range', 'minimum-maximum']).default('range').describe('minimum-maximum stretches each image to 0..1 instead of using the range'),
  maximumImages: z.number().int().min(1).default(64),
});

const dicomInput = z.strictObject({
  kind: z.literal('dicom'),
  tensor: selection.tensor, modalities: selection.modalities,
  maximumImages: z.number().int().min(1).max(10_000).default(1000).describe('Images sent at most, of the series with the most images first'),
  maximumByteLength: z.number().int().positive().default(512 * 1024 * 1024).describe('Bytes of all images that are sent together'),
});

/** What is taken out of images before they leave (PS3.15 annex E, Basic Profile with options). */
const deIdentification = z.strictObject({
  dates: z.enum(['removed', 'shifted', 'kept']).default('removed').describe('shifted: all dates of a patient by the same number of days'),
  keepsPatientCharacteristics: z.boolean().default(false).describe('Age, sex, weight and size stay'),
  keepsDeviceIdentity: z.boolean().default(false).describe('Which device made the image stays'),
  allowsUnknownBurnedIn: z.boolean().default(false).describe('Send images of kinds that often carry names in their pixels (ultrasound, captures) although they do not say that they carry none'),
});

const peaksOutput = z.strictObject({
  kind: z.literal('peaks'),
  levels: z.array(z.strictObject({
    score: z.string(), index: z.string(), scale: z.string(), roundness: z.string(),
    stride: z.number().int().min(1).describe('Input cubes per cell of this level'),
    sigmasMillimetres: z.array(z.number().positive()).min(1),
  })).min(1),
  minimumScore: z.number().describe('In Hounsfield units'),
  minimumRoundness: z.number().min(0).max(1),
  minimumContrast: z.number().describe('Mean inside minus surroundings, in Hounsfield units'),
  minimumCompactness: z.number().min(0).max(1).describe('Volume divided by that of the ball round it; vessels are far from 1'),
  maximumAttachment: z.number().min(0).max(1).default(1).describe('Share of the search ball\'s surface that the bright region may reach; more is a part of a larger structure'),
  maximumBackground: z.number().optional().describe('Surroundings brighter than this (Hounsfield units) are not lung: the candidate is dropped'),
  minimumDiameterMillimetres: z.number().nonnegative().default(0),
  maximumDiameterMillimetres: z.number().positive().default(60),
  maximumFindings: z.number().int().min(1).default(20),
  finding: coded,
  bodySite: coded.optional(),
});

const classesOutput = z.strictObject({
  kind: z.literal('classes'),
  tensor: z.string().min(1),
  activation: z.enum(['none', 'sigmoid', 'softmax']).default('none'),
  classes: z.array(z.strictObject({
    index: z.number().int().min(0), finding: coded, threshold: z.number().min(0).max(1), severity,
    bodySite: coded.optional(), description: z.string().optional(),
  })).min(1),
});

const findingsOutput = z.strictObject({ kind: z.literal('findings'), tensor: z.string().min(1).describe('Name of the output tensor: BYTES, one element of JSON') });

export const aiModelConfigSchema = z.strictObject({
  file: z.string().optional().describe('ONNX file, relative to the models folder; for runtime onnx'),
  endpoint: z.strictObject({
    url: z.url({ protocol: /^https?$/ }).describe('Base address of the inference server, without /v2'),
    model: z.string().min(1).describe('Model name at the server'),
    version: z.string().optional(),
    headers: z.record(z.string(), z.string()).default({}).meta({ secret: true }).describe('Sent with each request, e.g. authorization'),
    deidentify: z.union([z.literal(false), deIdentification]).optional().describe('What is taken out of images before they are sent. false: nothing, for a server of the hospital itself. Absent: the strict profile for images; tensors go without a look at burned-in text'),
    responseByteLength: z.number().int().positive().default(64 * 1024 * 1024).describe('Longer answers are refused'),
  }).optional().describe('For runtime kserve'),
  udi: z.string().min(1).max(255).optional().describe('UDI device identifier (UDI-DI, e.g. a GTIN) of a registered medical device; it goes out with each result'),
  input: z.discriminatedUnion('kind', [volumeInput, imageInput, dicomInput]),
  output: z.discriminatedUnion('kind', [peaksOutput, classesOutput, findingsOutput]),
  severity: z.array(z.strictObject({ fromMillimetres: z.number().nonnegative(), severity })).default([]).describe('By diameter; the last step reached counts'),
  limits: z.strictObject({
    callMilliseconds: z.number().int().positive().default(60_000).describe('One call of the model'),
    decodeMilliseconds: z.number().int().positive().default(30_000).describe('Decoding one file'),
    fileByteLength: z.number().int().positive().default(1024 ** 3),
    pixelCount: z.number().int().positive().default(512 * 1024 * 1024).describe('Pixels of one file over all frames'),
    volumeByteLength: z.number().int().positive().default(2 * 1024 ** 3).describe('Decoded pixels held at a time'),
  }).prefault({}),
});

export type AiModelConfig = z.infer<typeof aiModelConfigSchema>;
export type VolumeInput = z.infer<typeof volumeInput>;
export type ImageInput = z.infer<typeof imageInput>;
export type DicomInput = z.infer<typeof dicomInput>;
export type FindingsOutput = z.infer<typeof findingsOutput>;
export type DeIdentification = z.infer<typeof deIdentification>;
export type PeaksOutput = z.infer<typeof peaksOutput>;
export type ClassesOutput = z.infer<typeof classesOutput>;

export interface AiModel {
  readonly modelId: string;
  readonly name: string;
  readonly version: string;
  /** 'onnx' and 'kserve' run here. */
  readonly runtime: string;
  readonly config: AiModelConfig;
  /** SHA-256 (hex) of the ONNX file; required for runtime onnx. */
  readonly checksum?: string;
}
