/** Writes model.onnx next to this file and prints its SHA-256: `node models/blob-detector/build.ts`. The bytes are the same every time. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { buildBlobDetector } from './graph.ts';

const model = buildBlobDetector();
writeFileSync(new URL('./model.onnx', import.meta.url), model);
process.stdout.write(`model.onnx  ${model.length} bytes  sha256 ${createHash('sha256').update(model).digest('hex')}\n`);
