/** One scan: where it is, what it is made of, who was asked about it, what was made of it, and what people may do about it. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { Analysis } from '../api/queries/analyses.ts';
import type { OutboxDelivery } from '../api/queries/deliveries.ts';
import { severities, type Finding } from '../api/queries/findings.ts';
import type { Report } from '../api/queries/reports.ts';
import type { ScanSources } from '../api/queries/scan-sources.ts';
import type { SyncLog } from '../api/queries/sync-logs.ts';
import { uidName } from '../gateway/uid-names.ts';
import type { Html } from './layout.ts';
import { messageColumns, messageRow } from './messages.ts';
import { ago, bytes, clock, facts, notice, section, state } from './parts.ts';
import type { PatientRow, ScanRow, SeriesRow, Whereabouts } from './scan-rows.ts';
import { imagesOf, nameOf, studyOf, whereItIs } from './scans.ts';
import type { DecisionRow, VersionRow } from './version-rows.ts';
import { keptOutSection } from './versions.ts';

export interface OneScan {
  readonly scan: ScanRow; readonly at: Whereabouts | undefined; readonly patient: PatientRow | undefined; readonly series: readonly SeriesRow[]; readonly keptOut: readonly VersionRow[]; readonly decisions: readonly DecisionRow[];
  readonly sources: z.input<typeof ScanSources>;
  /** Undefined: the role may not see them. */
  readonly analyses: readonly z.output<typeof Analysis>[] | undefined; readonly findings: readonly z.output<typeof Finding>[] | undefined; readonly reports: readonly z.output<typeof Report>[] | undefined;
  readonly deliveries: readonly z.output<typeof OutboxDelivery>[] | undefined; readonly messages: readonly z.output<typeof SyncLog>[] | undefined;
  readonly mayComplete: boolean; readonly mayReview: boolean; readonly seesImages: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function scanPage(one: OneScan): Html {
  const { scan, at, series, keptOut, decisions, sources, analyses, findings, reports, deliveries, messages, mayComplete, mayReview, seesImages, done, problem, now } = one;
  return html`<p class="back"><a href="/scans">Scans</a></p><h1>${scan.scan_number} <span class="id">${studyOf(scan)}</span></h1>${notice(done)}${notice(problem, 'problem')}
<section><h2>Where it is</h2><div class="where">${whereItIs(scan, at)}</div>${steps(one)}${mayComplete ? actions(scan) : ''}</section>
${keptOut.length > 0 || decisions.length > 0 ? keptOutSection({ scanId: scan.scan_id, keptOut, waiting: Math.max(at?.images_waiting ?? 0, keptOut.filter(({ status }) => status === 'quarantined').length), decisions, mayDecide: mayComplete, now }) : ''}
<section><h2>Order and study</h2>${identity(one)}</section>
${reports ? section('Reports', ['Version', 'State', 'By', 'Made', 'Impression'], reports.map((report) => html`<tr><td class="nowrap"><a href="/reports/${report.report_id}">${report.author_kind === 'device' ? `version ${report.version}` : 'report'}</a></td><td>${state(report.status)}</td><td>${report.author_name}</td><td>${ago(report.created_at, now)}</td><td>${report.impression}</td></tr>`), 'No report has been made or come back.') : ''}
${deliveries ? section('Deliveries', ['System', 'Version', 'State', 'Tries', 'Last outcome'], deliveries.map((delivery) => html`<tr><td>${delivery.integration_name}</td><td class="number">${delivery.report_version}</td><td>${state(delivery.status)}</td><td class="number">${delivery.attempts}</td><td>${delivery.last_outcome ?? ''}<div class="sub">${delivery.last_text ?? ''}</div></td></tr>`), 'Nothing was to be delivered.',
  deliveries.some(({ status }) => status === 'refused' || status === 'queued') ? html`<p class="more"><a href="/dead-letters">Dead letters</a>: send again, or give up</p>` : '') : ''}
${findings && findings.length > 0 ? section('Findings of the newest analysis', ['Severity', 'Finding', 'Confidence', 'Reviewed', ...(mayReview ? ['Review'] : [])], findings.toSorted((a, b) => severities.indexOf(b.severity) - severities.indexOf(a.severity)).map((finding) => html`<tr><td>${state(finding.severity)}</td><td>${finding.description}</td><td class="number">${Math.round(finding.confidence_percentage)} %</td><td>${finding.is_confirmed === null ? 'not yet' : state(finding.is_confirmed ? 'confirmed' : 'rejected by a person')}</td>${mayReview ? html`<td>${review(scan.scan_id, finding)}</td>` : ''}</tr>`), '') : ''}
${analyses ? section('Analyses', ['Model', 'State', 'Began', 'Took', 'Result'], analyses.map((analysis) => html`<tr><td>${analysis.model_name}<div class="sub">${analysis.model_version}</div></td><td>${state(analysis.status)}</td><td>${ago(analysis.processing_start_time, now)}</td>
<td class="number nowrap">${analysis.processing_duration_seconds === null ? '' : `${analysis.processing_duration_seconds.toFixed(1)} s`}</td><td>${analysis.error_text ?? ''}</td></tr>`), scan.images_complete_at ? 'No model was to read it: no workflow rule fits, or none has a model for it.' : 'None yet: they begin when the images are complete.') : ''}
${section('Series', [...(seesImages ? ['Picture'] : []), 'Series', 'Kind', 'Images', 'From', 'Arrived'], series.map((one) => seriesRow(scan.scan_id, one, seesImages)), 'No image is in use.')}
${asked(sources, now)}
${messages ? section('Last messages about it', messageColumns, messages.map((message) => messageRow(message, now)), 'None is on record.', messages.length < 20 ? '' : html`<p class="more"><a href="/messages?scan_id=${scan.scan_id}">All messages about it</a></p>`) : ''}`;
}

/** What the person has not said about it yet; who looked again says otherwise. */
function review(scanId: string, { finding_id: findingId, is_confirmed: isConfirmed, description }: z.output<typeof Finding>): Html {
  const one = (says: boolean, words: string): Html | string => (isConfirmed === says ? '' : html`<button name="is_confirmed" value="${says}" aria-label="${words}: ${description}">${words}</button>`);
  return html`<form class="decide" method="post" action="/scans/${scanId}/findings/${findingId}/review">${one(true, 'Confirm')}${one(false, 'Reject')}</form>`;
}

/** What has happened, in its order; what has not is said too. */
function steps({ scan, at, analyses, now }: OneScan): Html {
  const rows: readonly (readonly [string, boolean, Html | string])[] = [
    ['Ordered', scan.placer_order_number !== null || scan.filler_order_number !== null || scan.order_status !== null, scan.order_status ?? 'by nobody who told the gateway'],
    ['Images', scan.instance_count > 0, scan.instance_count === 0 ? 'none has come' : html`${imagesOf(scan)} in ${scan.series_count} series, ${clock(scan.first_instance_at)} to ${clock(scan.last_instance_at)}`],
    ['Complete', scan.images_complete_at !== null, scan.images_complete_at === null ? 'not yet' : html`${clock(scan.images_complete_at)}, because: ${scan.completeness_proof ?? 'not recorded'}${scan.completion_run > 1 ? `; for the ${ordinal(scan.completion_run)} time` : ''}`],
    ['Analysed', at !== undefined && at.analyses_open === 0 && (at.report_version !== null || at.analyses_failed > 0), at && at.analyses_open > 0 ? 'in progress' : at && at.analyses_failed > 0 ? 'failed' : analyses?.[0]?.processing_end_time ? clock(analyses[0].processing_end_time) : at?.report_version ? 'yes' : 'no'],
    ['Reported', at !== undefined && at.report_version !== null, at?.report_version ? `version ${at.report_version}, ${at.report_status}` : 'no'],
    ['Delivered', at !== undefined && at.delivered > 0 && at.undelivered + at.refused === 0, at ? `to ${at.delivered} of ${at.delivered + at.undelivered + at.refused}` : 'no'],
    ...(at?.sla_due_at && at.report_version === null ? [['Due', false, html`${clock(at.sla_due_at)}${new Date(at.sla_due_at) < now ? ' (late)' : ''}`] as const] : []),
  ];
  return html`<ol class="steps">${rows.map(([name, isDone, text]) => html`<li class="${isDone ? 'done' : 'open'}"><strong>${name}</strong> ${text}</li>`)}</ol>`;
}

const ordinal = (count: number): string => `${count}${count === 2 ? 'nd' : count === 3 ? 'rd' : 'th'}`;

function actions(scan: ScanRow): Html {
  return html`<div class="actions">${scan.images_complete_at === null && scan.instance_count > 0 && scan.status !== 'cancelled' ? html`<form method="post" action="/scans/${scan.scan_id}/complete"><button>Its images are complete</button></form><span>analysis starts with what is here; what comes later starts another run</span>` : ''}
${scan.instance_count > 0 ? html`<form method="post" action="/scans/${scan.scan_id}/priors"><button>Fetch earlier studies</button></form><span>of the patient, at every system that has a rule for it</span>` : ''}</div>`;
}

function identity({ scan, patient }: OneScan): Html {
  return facts([
    ['Patient', patient ? html`${nameOf(patient)} <span class="id">${patient.patient_number}</span>${patient.identity_status === 'quarantined' ? html` ${state('identity unknown')}` : ''}` : null],
    ['Born, sex', patient ? [patient.birth_date, patient.sex].filter(Boolean).join(', ') : null],
    ['Accession number', scan.accession_number], ['Placer, filler order', [scan.placer_order_number, scan.filler_order_number].filter(Boolean).join(', ')],
    ['Procedure', [scan.procedure_code, scan.procedure_description].filter(Boolean).join(' ')], ['Reason', patient ? scan.reason : null], ['Priority', scan.priority],
    ['Requested by', person(scan.requesting_physician)], ['Referred by', person(scan.referring_physician)], ['Scheduled', clock(scan.scheduled_at)], ['Study made', clock(scan.study_at)],
    ['Station', [scan.station_name, scan.institution_name].filter(Boolean).join(', ')], ['Study Instance UID', html`<span class="id">${scan.study_instance_uid ?? 'not known yet'}</span>`],
  ]);
}

/** Names of people come as their standards write them: Family^Given. */
export const person = (name: string | null): string | null => name?.split('=')[0]!.split('^').slice(0, 2).filter(Boolean).join(', ') ?? null;

function seriesRow(scanId: string, series: SeriesRow, seesImages: boolean): Html {
  return html`<tr>${seesImages ? html`<td class="picture">${series.picture_of ? picture(scanId, series.picture_of, `Middle of series ${series.series_number ?? series.series_instance_uid}`, true) : ''}</td>` : ''}
<td>${[series.series_number, series.series_description].filter((part) => part !== null).join(' · ') || 'without description'}<div class="sub id">${series.series_instance_uid}</div></td><td>${series.modality ?? ''}<div class="sub">${uidName(series.sop_class_uid)}</div></td>
<td class="number nowrap"><a href="/scans/${scanId}/images?series=${encodeURIComponent(series.series_instance_uid)}">${series.images}</a><div class="sub">${bytes(series.byte_size)}</div></td><td>${series.systems ?? 'unknown sender'}</td><td>${clock(series.first_at)}</td></tr>`;
}

/** An image of a scan, as large as a page needs it; small ones are fetched when they come into sight. */
export function picture(scanId: string, scanFileId: string, words: string, isSmall = false): Html {
  const edge = isSmall ? 96 : 320;
  return html`<img class="${isSmall ? 'small' : 'large'}" src="/scans/${scanId}/images/${scanFileId}/picture${isSmall ? '?size=small' : ''}" alt="${words}" width="${edge}" height="${edge}"${isSmall ? html` loading="lazy"` : ''} decoding="async">`;
}

function asked({ count, prior_searches: searches, retrievals }: z.input<typeof ScanSources>, now: Date): Html | string {
  if (!count && searches.length === 0 && retrievals.length === 0) return '';
  const next = (at: unknown): Html | string => (at && new Date(at as string) > now ? html`next look ${clock(at as string)}` : '');
  return section('What other systems were asked', ['What', 'System', 'State', 'Answer'], [
    ...(count ? [html`<tr><td>How many images it has</td><td>${count.integration_name}</td><td>${state(count.status)}</td><td>${count.instances_there === null ? '' : `${count.instances_there} there, ${count.instances_here ?? 0} here`} ${count.status === 'proven' ? '' : next(count.next_at)}<div class="sub">${count.last_text ?? ''}</div></td></tr>`] : []),
    ...searches.map((search) => html`<tr><td>Earlier studies</td><td>${search.integration_name}</td><td>${state(search.status)}</td><td>${search.studies_found === null ? '' : `${search.studies_found} found, ${search.studies_chosen ?? 0} wanted`} ${search.status === 'queued' ? next(search.next_at) : ''}<div class="sub">${search.last_text ?? ''}</div></td></tr>`),
    ...retrievals.map((retrieval) => html`<tr><td>${retrieval.purpose === 'prior' ? 'An earlier study' : 'Missing images'}<div class="sub id">${retrieval.study_instance_uid}</div></td><td>${retrieval.integration_name}</td><td>${state(retrieval.status)}</td><td>${retrieval.retrieved_instances ?? 0}${retrieval.expected_instances === null ? '' : ` of ${retrieval.expected_instances}`} images ${retrieval.status === 'queued' ? next(retrieval.next_at) : ''}<div class="sub">${retrieval.last_text ?? ''}</div></td></tr>`),
  ], '');
}
