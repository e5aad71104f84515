/**
 * Findings as a model of others tells them, in JSON:
 *   { "findings": [{ "finding": { "system", "code", "display" }, "confidence": 0.9, "severity": "high", "description"?, "sop_instance_uid"?, "frame"?, "box"?: { "left", "top", "width", "height" }, "measurements"?: [...] }] }
 */
import { z } from 'zod';
import { AiError } from '../ai-error.ts';
import type { AiFinding, AiInstance } from '../analysis.ts';

const coded = z.object({ system: z.string().min(1).max(300), code: z.string().min(1).max(64), display: z.string().min(1).max(200) });
const pixels = z.number().finite().min(-100_000).max(100_000);
const findingSchema = z.object({
  finding: coded, confidence: z.number().min(0).max(1), severity: z.enum(['low', 'medium', 'high', 'critical']), description: z.string().max(4000).default(''), bodySite: coded.optional(), laterality: z.enum(['left', 'right', 'bilateral']).optional(),
  sop_instance_uid: z.string().max(64).optional(), frame: z.number().int().min(1).max(1_000_000).default(1), box: z.object({ left: pixels, top: pixels, width: pixels.min(0), height: pixels.min(0) }).optional(),
  measurements: z.array(z.object({ type: coded, value: z.number().finite(), unit: z.string().min(1).max(32) })).max(50).default([]),
});
const answerSchema = z.object({ findings: z.array(findingSchema).max(1000) });

/** @param sent the image that was sent under this UID. Throws AiError 'model' for what is not as above, and for a UID that was never sent. */
export function readFindings(answer: Buffer, sent: (sopInstanceUid: string) => AiInstance | undefined): AiFinding[] {
  const parsed = answerSchema.safeParse(jsonOf(answer));
  if (!parsed.success) throw new AiError('model', `The model's findings are not as they should be: ${parsed.error.issues.slice(0, 3).map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}.`);
  return parsed.data.findings.map(({ finding, confidence, severity, description, bodySite, laterality, measurements, ...place }) => {
    const instance = place.sop_instance_uid === undefined ? undefined : sent(place.sop_instance_uid);
    if (place.sop_instance_uid !== undefined && instance === undefined) throw new AiError('model', 'The model names an image that was not sent to it.');
    const location = instance === undefined || place.box === undefined ? {} : { location: { seriesInstanceUid: instance.seriesInstanceUid, sopInstanceUid: instance.sopInstanceUid, sopClassUid: instance.sopClassUid, frame: place.frame, boundingBox: place.box } };
    return { type: finding, severity, confidencePercentage: confidence * 100, description: description || finding.display, measurements, ...(bodySite ? { bodySite } : {}), ...(laterality ? { laterality } : {}), ...location };
  });
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new AiError('model', 'The model\'s findings are not JSON.');
  }
}
