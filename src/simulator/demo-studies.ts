/** Sends studies to the gateway as the hospital would, and follows each to the EMR through the rows that it leaves. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { InputStudy } from './demo-input.ts';
import { analysed, complete, delivered, findings, hopeless, inBytes, isForNoModel, linked, received, reported, waitingFor } from './demo-milestones.ts';
import type { Milestone } from './demo-milestones.ts';
import { readProgress } from './demo-progress.ts';
import type { StudyProgress } from './demo-progress.ts';
import { DemoError } from './demo-run.ts';
import type { Run } from './demo-run.ts';
import type { DemoScreen } from './demo-screen.ts';
import type { Emr } from './emr.ts';
import { isStored } from './pacs.ts';
import { sampleOrder, samplePatients } from './sample-patients.ts';
import { syntheticStudy } from './synthetic-study.ts';

const pollMilliseconds = 150;
const resultMilestones = [analysed, findings, reported, delivered('pacs'), delivered('ris'), delivered('emr')];

/** Registration, order and images; numbers are new in every run, so that an installation may see many. */
export async function sendSyntheticStudy(run: Run): Promise<void> {
  const { screen, hospital: { ris } } = run;
  const patient = samplePatients.plain;
  const order = sampleOrder(Date.now().toString(36).toUpperCase());
  const study = syntheticStudy({ patient, accessionNumber: order.accessionNumber });
  const registration = await ris.register(patient);
  if (registration.code !== 'AA') throw new DemoError('RIS sends ADT^A04', `answered ${registration.code ?? 'nothing'}: ${answerText(registration.text)}`);
  screen.done('RIS sends ADT^A04', `answered AA in ${registration.milliseconds.toFixed(0)} ms`);
  const ordered = await ris.order(patient, order);
  if (ordered.code !== 'AA') throw new DemoError('RIS sends ORM^O01', `answered ${ordered.code ?? 'nothing'}: ${answerText(ordered.text)}`);
  screen.done('RIS sends ORM^O01', `${order.procedureDescription}, accession ${order.accessionNumber}, stat; answered AA in ${ordered.milliseconds.toFixed(0)} ms`);
  await storeStudy(run, study);
  await follow(run, study, [received(study.objects.length), linked, complete, ...resultMilestones]);
}

/**
 * All are sent before the first is followed, so that their quiet times run together. One that fails is shown and the next is followed;
 * throws at the end when one has failed or none came to a report.
 */
export async function sendOwnStudies(run: Run, studies: readonly InputStudy[]): Promise<void> {
  const ends: string[] = [];
  const sent: InputStudy[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => work().catch((error: unknown) => {
    if (!(error instanceof DemoError)) throw error;
    run.screen.failed(error.step, error.message);
    ends.push('failed');
    return undefined;
  });
  for (const study of studies) {
    run.screen.note(`study ${study.studyInstanceUid}`);
    const objects = await attempt(() => storeStudy(run, study));
    if (objects !== undefined) sent.push({ ...study, objects });
  }
  for (const study of sent) {
    run.screen.heading(`Study ${study.studyInstanceUid}`);
    const distinct = new Set(study.objects.map((object) => object.sopInstanceUid));
    const end = await attempt(() => follow(run, study, [received(distinct.size), complete, ...resultMilestones]));
    if (end !== undefined) ends.push(end);
  }
  const failed = ends.filter((end) => end === 'failed').length;
  if (failed > 0) throw new DemoError('studies', `${failed} of ${studies.length} did not come to a report in the EMR`);
  if (ends.every((end) => end === 'no-model')) throw new DemoError('analysed', 'no active model is for these images, so there is no report (see the workflow rules and ai_models)');
}

/** Returns what was stored. Throws when nothing was; a part that was refused is shown. */
async function storeStudy({ screen, hospital: { pacs } }: Run, { objects }: InputStudy): Promise<InputStudy['objects']> {
  const started = performance.now();
  const answers = await pacs.store(objects, { answered: (_answer, done, total) => screen.progress('PACS sends C-STORE', done, total) });
  const seconds = (performance.now() - started) / 1000;
  const refused = answers.filter((answer) => !isStored(answer.status));
  const [first] = refused;
  const reason = first === undefined ? '' : first.status === undefined ? first.text : `status ${first.status.toString(16).padStart(4, '0').toUpperCase()} ${first.text}`;
  if (refused.length === answers.length) throw new DemoError('PACS sends C-STORE', `not one of ${answers.length} images was accepted: ${reason}`);
  const byteLength = objects.reduce((sum, object) => sum + object.dataset.length, 0);
  screen.done('PACS sends C-STORE', `${answers.length - refused.length}/${answers.length} images, ${inBytes(byteLength)} in ${seconds.toFixed(1)} s (${Math.round(answers.length / seconds)} images/s)`);
  if (first !== undefined) screen.note(`${refused.length} not accepted, the first with ${reason}`);
  return objects.filter((_object, index) => isStored(answers[index]?.status));
}

/** Shows each milestone when it is reached; ends when the EMR itself has the report, or when there is nothing to wait for. */
async function follow(run: Run, study: InputStudy, milestones: readonly Milestone[]): Promise<'in-emr' | 'reported-before' | 'no-model'> {
  const { screen, hospital } = run;
  const open = [...milestones];
  for (let next = open[0]; next !== undefined; next = open[0]) {
    const progress = await readProgress(run.gateway.installation.database, run.seeded.organizationId, study.studyInstanceUid);
    const end = progress && earlyEnd(run, next, progress);
    if (end !== undefined) return end;
    if (progress !== undefined) showReached(screen, open, progress);
    if (open[0] === next) await pause(run, next.step, progress);
  }
  const report = reportInEmr(hospital.emr, study.studyInstanceUid);
  if (report === undefined) throw new DemoError('delivered to EMR', 'the gateway says so, but the EMR has no DiagnosticReport of this study');
  screen.note(`the EMR has DiagnosticReport/${report.id}, ${String(report['status'])}`);
  return 'in-emr';
}

function earlyEnd({ screen, startedAt }: Run, next: Milestone, progress: StudyProgress): 'reported-before' | 'no-model' | undefined {
  if (next === analysed && isForNoModel(progress)) {
    screen.note('not analysed: no active model is for this kind of image');
    return 'no-model';
  }
  const reportedAt = progress.report?.created_at;
  if (reportedAt === undefined || reportedAt >= startedAt || !progress.deliveries.every((delivery) => delivery.status === 'delivered')) return undefined;
  screen.note(`reported and delivered in an earlier run (${reportedAt.toISOString()}); the same images again have no second effect`);
  return 'reported-before';
}

/** In order; but destinations are independent, and whichever is first is shown first. */
function showReached(screen: DemoScreen, open: Milestone[], progress: StudyProgress): void {
  for (const milestone of open.slice()) {
    const isNext = open[0] === milestone;
    const detail = isNext || (open[0]?.step.startsWith('delivered') === true) ? milestone.reached(progress) : undefined;
    if (detail === undefined) continue;
    screen.done(milestone.step, detail);
    for (const note of milestone.notes?.(progress) ?? []) screen.note(note);
    open.splice(open.indexOf(milestone), 1);
  }
}

async function pause(run: Run, step: string, progress: StudyProgress | undefined): Promise<void> {
  const reason = progress && hopeless(progress);
  if (reason !== undefined) throw new DemoError(step, reason);
  if (Date.now() > run.deadline) throw new DemoError(step, `did not come in time${progress === undefined ? ': no row knows the study' : `; last seen: ${waitingFor(progress) || 'nothing in the way'}`}`);
  if (run.interrupted.happened()) throw new Error('interrupted');
  run.screen.waiting(step, waitingFor(progress));
  await Promise.race([sleep(pollMilliseconds), run.interrupted.promise]);
}

/** The report whose ImagingStudy, or whose own content, names the study. */
function reportInEmr(emr: Emr, studyInstanceUid: string): ReturnType<Emr['list']>[number] | undefined {
  const names = (resource: unknown): boolean => JSON.stringify(resource).includes(studyInstanceUid);
  const studies = new Set(emr.list('ImagingStudy').filter(names).map((study) => `ImagingStudy/${study.id}`));
  return emr.list('DiagnosticReport').findLast((report) => names(report) || [...studies].some((reference) => JSON.stringify(report['imagingStudy'] ?? []).includes(`"${reference}"`)));
}

/** ERR-8 or MSA-3 of an acknowledgment: the reason in words. */
function answerText(acknowledgment: string): string {
  const segments = acknowledgment.split('\r').map((line) => line.split('|'));
  const error = segments.find(([name]) => name === 'ERR'), acknowledged = segments.find(([name]) => name === 'MSA');
  return error?.[8] || error?.[7] || acknowledged?.[3] || 'no reason given';
}
