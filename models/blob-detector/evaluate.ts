/**
 * Measures the reference model on phantoms and writes the table into README.md:
 *   node models/blob-detector/evaluate.ts [--lesions 24] [--healthy 24] [--seed 2000] [--dry-run]
 * The seeds used for tuning are below 1000, and 1000-1523 were measured before the last change of the graph: the published figures come from 2000 and above.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { AiFinding } from '../../src/ai/analysis.ts';
import { OnnxProcess } from '../../src/ai/onnx/onnx-process.ts';
import { generatePhantom, type Phantom, type PhantomLesion } from '../../src/ai/phantom.ts';
import { seededRandom } from '../../src/ai/random.ts';
import { detect, referenceModel } from './detect.ts';

const BUCKETS = [[3, 4], [4, 6], [6, 8], [8, 12], [12, 20], [20, 30]] as const;
const SLICE_SPACINGS = [1.25, 2.5, 2.5, 5];
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

interface Scan { readonly phantom: Phantom; readonly findings: readonly AiFinding[]; readonly milliseconds: number }

const { values } = parseArgs({ options: { lesions: { type: 'string', default: '24' }, healthy: { type: 'string', default: '24' }, seed: { type: 'string', default: '2000' }, 'dry-run': { type: 'boolean', default: false } } });
const table = report(await run(Number(values.lesions), Number(values.healthy), Number(values.seed)), `node models/blob-detector/evaluate.ts --lesions ${values.lesions} --healthy ${values.healthy} --seed ${values.seed}`);
process.stdout.write(`${table}\n`);
if (!values['dry-run']) intoReadme(table);

async function run(withLesions: number, healthy: number, seed: number): Promise<{ ill: Scan[]; healthy: Scan[] }> {
  const onnx = new OnnxProcess(silent, 2);
  const model = referenceModel();
  const scan = async (phantom: Phantom): Promise<Scan> => {
    const started = performance.now();
    const findings = await detect(phantom, model, onnx);
    return { phantom, findings, milliseconds: performance.now() - started };
  };
  const result = { ill: [] as Scan[], healthy: [] as Scan[] };
  for (let index = 0; index < withLesions; index += 1) result.ill.push(await scan(phantomOf(seed + index, true)));
  for (let index = 0; index < healthy; index += 1) result.healthy.push(await scan(phantomOf(seed + 500 + index, false)));
  await onnx.close();
  return result;
}

/** 80 mm of chest in slices of 1.25, 2.5 or 5 mm; with lesions: one of each bucket, size, contrast and place by the seed. */
function phantomOf(seed: number, ill: boolean): Phantom {
  const random = seededRandom(seed * 7919);
  const sliceSpacingMillimetres = SLICE_SPACINGS[seed % SLICE_SPACINGS.length]!;
  const lesions = ill ? BUCKETS.toReversed().map(([from, to]) => ({ diameterMillimetres: random.between(from, to), contrastHounsfield: random.between(400, 920) })) : [];
  return generatePhantom({ seed, slices: Math.round(80 / sliceSpacingMillimetres), rows: 288, columns: 288, sliceSpacingMillimetres, lesions });
}

function hit(finding: AiFinding, lesion: PhantomLesion): boolean {
  const [x, y, z] = finding.location!.centre3d!;
  return Math.hypot(x - lesion.centre[0], y - lesion.centre[1], z - lesion.centre[2]) <= Math.max(3, lesion.diameterMillimetres / 2);
}

function report(scans: { ill: Scan[]; healthy: Scan[] }, command: string): string {
  const pairs = scans.ill.flatMap(({ phantom, findings }) => phantom.lesions.map((lesion) => ({ lesion, finding: findings.find((each) => hit(each, lesion)) })));
  const rows = BUCKETS.map(([from, to]) => {
    const all = pairs.filter(({ lesion }) => lesion.diameterMillimetres >= from && lesion.diameterMillimetres < to);
    const found = all.filter(({ finding }) => finding !== undefined);
    const errors = found.map(({ lesion, finding }) => finding!.measurements[0]!.value - lesion.diameterMillimetres);
    return `| ${from}-${to} mm | ${all.length} | ${found.length} | ${percent(found.length, all.length)} | ${mean(errors).toFixed(1)} mm | ${mean(errors.map(Math.abs)).toFixed(1)} mm |`;
  });
  const large = pairs.filter(({ lesion }) => lesion.diameterMillimetres >= 6);
  const falseOf = ({ phantom, findings }: Scan): number => findings.filter((finding) => !phantom.lesions.some((lesion) => hit(finding, lesion))).length;
  const falses = (of: Scan[]): string => `${mean(of.map(falseOf)).toFixed(2)} per scan (most in one scan: ${Math.max(0, ...of.map(falseOf))})`;
  const falseSeverities = [...scans.ill, ...scans.healthy].flatMap(({ phantom, findings }) => findings.filter((finding) => !phantom.lesions.some((lesion) => hit(finding, lesion))).map((finding) => finding.severity));
  return [
    '| lesion diameter | lesions | found | sensitivity | mean diameter error | mean absolute error |', '|---|---|---|---|---|---|', ...rows, '',
    `- Sensitivity at 6 mm and more: ${percent(large.filter(({ finding }) => finding !== undefined).length, large.length)} of ${large.length} lesions.`,
    `- False positives in ${scans.healthy.length} phantoms without lesions: ${falses(scans.healthy)}; in ${scans.ill.length} phantoms with lesions: ${falses(scans.ill)}.`,
    `- Severity of the false positives: ${['low', 'medium', 'high', 'critical'].map((severity) => `${falseSeverities.filter((each) => each === severity).length} ${severity}`).join(', ')}.`,
    `- Time per phantom without decoding: ${Math.round(mean([...scans.ill, ...scans.healthy].map((each) => each.milliseconds)))} ms on average (depends on the machine).`,
    `- Command: \`${command}\``,
  ].join('\n');
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(0)} %`;
}
function mean(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
}

function intoReadme(text: string): void {
  const place = new URL('./README.md', import.meta.url);
  const readme = readFileSync(place, 'utf8');
  writeFileSync(place, readme.replace(/(<!-- measured -->\n)[\s\S]*(<!-- \/measured -->)/, (_, open: string, close: string) => `${open}\n${text}\n\n${close}`));
}
