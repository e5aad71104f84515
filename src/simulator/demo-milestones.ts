/** The steps that a study passes, in order, each seen in its progress; and what makes going on pointless. */
import type { StudyProgress } from './demo-progress.ts';

export interface Milestone {
  readonly step: string;
  /** What is shown when it is reached; undefined until then. */
  readonly reached: (progress: StudyProgress) => string | undefined;
  readonly notes?: (progress: StudyProgress) => readonly string[];
}

export const received = (images: number): Milestone => ({
  step: 'received',
  reached: ({ scan }) => scan.instance_count >= images ? `scan ${scan.scan_number}: ${scan.instance_count} images in ${scan.series_count} series, ${inBytes(scan.total_bytes)}, durable` : undefined,
});
export const linked: Milestone = {
  step: 'linked to the order',
  reached: ({ scan }) => scan.placer_order_number === null || scan.instance_count === 0 ? undefined : `accession ${scan.accession_number}, order ${scan.placer_order_number}, priority ${scan.priority}`,
};
export const complete: Milestone = {
  step: 'scan complete',
  reached: ({ scan }) => scan.images_complete_at === null ? undefined : `proof: ${(scan.completeness_proof ?? 'none').replace('_', ' ')}`,
};
export const analysed: Milestone = {
  step: 'analysed',
  reached: ({ analyses }) => analyses.some((analysis) => analysis.status === 'completed') && !analyses.some(isOpen)
    ? analyses.map((analysis) => `${analysis.model} ${analysis.status} in ${(analysis.seconds ?? 0).toFixed(1)} s`).join('; ') : undefined,
};
export const findings: Milestone = {
  step: 'findings',
  reached: (progress) => analysed.reached(progress) === undefined ? undefined : progress.findings.length === 0 ? 'none' : `${progress.findings.length}`,
  notes: (progress) => progress.findings.slice(0, 5).map((finding) => `${finding.severity}, ${finding.confidence_percentage.toFixed(0)} %: ${finding.description}`),
};
export const reported: Milestone = {
  step: 'report',
  reached: ({ report }) => report && `version ${report.version}, ${report.status}`,
  notes: ({ report }) => (report?.impression ?? '').split('\n').filter((line) => line.trim() !== '').slice(0, 3),
};
const whatArrives = { pacs: 'DICOM SR by C-STORE', ris: 'ORU^R01', emr: 'FHIR DiagnosticReport' } as const;
export const delivered = (kind: keyof typeof whatArrives): Milestone => ({
  step: `delivered to ${kind.toUpperCase()}`,
  reached: ({ deliveries }) => {
    const own = deliveries.filter((delivery) => delivery.kind === kind);
    const [first] = own;
    if (first === undefined || own.some((delivery) => delivery.status !== 'delivered')) return undefined;
    return `${whatArrives[kind]}, answered ${first.answer_code ?? 'yes'}${first.duration_ms === null ? '' : ` in ${Math.round(first.duration_ms)} ms`}${first.attempts > 1 ? ` at attempt ${first.attempts}` : ''}`;
  },
});

/** The reason for which the next milestone will not come; undefined while it may. */
export function hopeless({ analyses, deliveries }: StudyProgress): string | undefined {
  const failed = analyses.filter((analysis) => !isOpen(analysis) && analysis.status !== 'completed');
  if (analyses.length > 0 && failed.length === analyses.length) return failed.map((analysis) => `${analysis.model} ${analysis.status}: ${analysis.error_text ?? 'no reason given'}`).join('; ');
  const refused = deliveries.find((delivery) => delivery.status === 'refused' || delivery.status === 'skipped');
  if (refused !== undefined) return `${refused.name} refused the report (${refused.answer_code ?? 'no code'}): ${refused.last_text ?? 'no reason given'}`;
  return undefined;
}

/** Analyses are queued with the completion of the scan: where none is after that, no model wants these images. */
export function isForNoModel({ scan, analyses }: StudyProgress): boolean {
  return analyses.length === 0 && scan.images_complete_at !== null && Date.now() - scan.images_complete_at.getTime() > 3_000;
}

/** What is being waited for, for the line on the terminal. */
export function waitingFor(progress: StudyProgress | undefined): string {
  const trying = progress?.deliveries.find((delivery) => delivery.status !== 'delivered' && delivery.attempts > 0);
  if (trying !== undefined) return `${trying.name}: attempt ${trying.attempts}, ${trying.last_text ?? ''}`;
  return progress?.scan.why_waiting ?? '';
}

export function inBytes(byteLength: number): string {
  return byteLength < 100_000 ? `${(byteLength / 1e3).toFixed(1)} kB` : `${(byteLength / 1e6).toFixed(1)} MB`;
}

function isOpen({ status }: StudyProgress['analyses'][number]): boolean {
  return status === 'queued' || status === 'processing';
}
