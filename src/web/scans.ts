/** "Where is my study?": the list of scans with how far each is, in a sentence. */
import { html } from 'hono/html';
import { priorities, scanStatuses, scanTypes } from '../api/queries/scans.ts';
import type { Html } from './layout.ts';
import { ago, choice, field, hidden, notice, section, state } from './parts.ts';
import type { ScanRow, Whereabouts } from './scan-rows.ts';

export interface ScanFilter { readonly text?: string | undefined; readonly status?: string | undefined; readonly scan_type?: string | undefined; readonly priority?: string | undefined; readonly study_instance_uid?: string | undefined; readonly created_from?: string | undefined; readonly created_before?: string | undefined }
export interface ScanList {
  readonly filter: ScanFilter; readonly items: readonly ScanRow[]; readonly whereabouts: ReadonlyMap<string, Whereabouts>; readonly nextCursor: string | null; readonly isCut: boolean;
  readonly seesPatients: boolean; readonly findsByNumber: boolean; readonly seesExchanges: boolean; readonly problem: string | undefined; readonly now: Date;
}

export function scanList({ filter, items, whereabouts, nextCursor, isCut, seesPatients, findsByNumber, seesExchanges, problem, now }: ScanList): Html {
  const isFiltered = Object.values(filter).some(Boolean);
  const next = nextCursor !== null ? html`<form class="more" method="post" action="/scans">${hidden({ ...filter, cursor: nextCursor })}<button>Older scans</button></form>` : isCut ? html`<p class="hint">These are the first 200 that it means. Give a number that means fewer.</p>` : '';
  return html`<h1>Scans</h1>${notice(problem, 'problem')}
<form class="filter" method="post" action="/scans" role="search">
<div class="wide">${field(seesPatients ? 'Number, or name of a patient' : 'Number', 'text', filter.text, { placeholder: `accession, order, scan number, study UID${findsByNumber ? ', patient' : ''} …` })}</div>
${choice('State', 'status', scanStatuses.map((status) => [status, status.replaceAll('_', ' ')] as const), filter.status)}
${choice('Type', 'scan_type', scanTypes, filter.scan_type)}${choice('Priority', 'priority', priorities, filter.priority)}
${field('Known since (UTC)', 'created_from', filter.created_from, { type: 'date' })}${field('Before (UTC)', 'created_before', filter.created_before, { type: 'date' })}
<div class="buttons"><button class="go">Search</button>${isFiltered ? html`<a href="/scans">Show all</a>` : ''}</div>
</form>
${section(isFiltered ? 'Scans that match, newest first' : 'All scans, newest first', ['Scan', ...(seesPatients ? ['Patient'] : []), 'Study', 'Images', 'Where it is', 'Last image'], items.map((scan) => row(scan, whereabouts.get(scan.scan_id), seesPatients, now)),
  isFiltered ? html`No scan matches. ${filter.text ? html`A number is looked for exactly as it was sent, with its leading zeros. Was the study sent at all? See ${way('/messages', 'Messages', seesExchanges)} and ${way('/associations', 'Associations', seesExchanges)}.` : 'Widen the filter.'}` : html`No scan is known yet: the first order or image makes one. Are the systems connected? See ${way('/systems', 'Systems', seesExchanges)}.`, next)}`;
}

const way = (path: string, words: string, isOpen: boolean): Html | string => (isOpen ? html`<a href="${path}">${words}</a>` : words);

function row(scan: ScanRow, at: Whereabouts | undefined, seesPatients: boolean, now: Date): Html {
  return html`<tr><td class="nowrap"><a href="/scans/${scan.scan_id}">${scan.scan_number}</a><div class="sub">${scan.priority}</div></td>
${seesPatients ? html`<td>${nameOf(at)}<div class="sub">${scan.patient_number}</div></td>` : ''}<td>${studyOf(scan)}<div class="sub">${scan.accession_number ?? ''}</div></td>
<td class="number">${imagesOf(scan)}${at && at.images_waiting > 0 ? html`<div class="sub">${state('to decide')} ${at.images_waiting}</div>` : ''}</td><td>${whereItIs(scan, at)}</td><td>${scan.last_instance_at ? ago(scan.last_instance_at, now) : ''}</td></tr>`;
}

export const nameOf = (person: { readonly family_name: string | null; readonly given_name: string | null } | undefined): string => [person?.family_name, person?.given_name].filter(Boolean).join(', ');
export const studyOf = (scan: ScanRow): string => [scan.modalities.join('/') || scan.scan_type, scan.study_description ?? scan.procedure_description ?? scan.body_part].filter(Boolean).join(' · ');
export const imagesOf = (scan: ScanRow): string => (scan.expected_instances !== null && scan.expected_instances > scan.instance_count ? `${scan.instance_count} of ${scan.expected_instances}` : String(scan.instance_count));

/** One state and one sentence: what has happened to the scan and what it waits for. */
export function whereItIs(scan: ScanRow, at: Whereabouts | undefined): Html {
  const [word, sentence] = placeOf(scan, at);
  return html`${state(word)}<div class="sub">${sentence}</div>`;
}

function placeOf(scan: ScanRow, at: Whereabouts | undefined): readonly [word: string, sentence: string] {
  const later = at?.report_version ? ` Version ${at.report_version} was made before.` : '';
  if (scan.status === 'cancelled') return ['cancelled', 'The order was cancelled.'];
  if (at?.queue_status === 'paused' && at.why_waiting) return ['waits for a person', `${at.why_waiting}${later}`];
  if (scan.instance_count === 0) return ['ordered', 'No image has come yet.'];
  if (scan.images_complete_at === null) return [scan.completion_run > 0 ? 'open again' : 'images arriving', `${at?.why_waiting ?? 'Waits until its images are complete.'}${later}`];
  if (at && at.analyses_open > 0) return ['being analysed', `${at.why_waiting ?? 'The models are at work, or it waits for its turn.'}${later}`];
  if (at && at.analyses_failed > 0) return ['failed', `The analysis failed: its page says why, and Dead letters has what can be tried again.${later}`];
  if (at?.report_version) return reported(at);
  return [scan.status, at?.why_waiting ?? 'Its images are complete; nothing was to be made of them.'];
}

function reported({ report_version: version, report_status: status, delivered, undelivered, refused }: Whereabouts): readonly [string, string] {
  const report = `Report version ${version} (${status})`;
  if (refused > 0) return ['refused', `${report}: refused by ${refused} of ${systems(delivered + undelivered + refused)}; see Dead letters.`];
  if (undelivered > 0) return ['reported', `${report}: delivered to ${delivered} of ${systems(delivered + undelivered)}; the rest waits.`];
  return delivered > 0 ? ['delivered', `${report}: delivered to ${systems(delivered)}.`] : ['reported', `${report}: no system is to get it.`];
}

const systems = (count: number): string => (count === 1 ? '1 system' : `${count} systems`);
