/** Images that are kept out of use: which wait for a decision, one of them side by side with what it stands against, the decision and its confirmation. */
import { html } from 'hono/html';
import type { MessageLine } from '../gateway/message-tree.ts';
import { uidName } from '../gateway/uid-names.ts';
import type { Html } from './layout.ts';
import { ago, bytes, clock, hidden, notice, section, state } from './parts.ts';
import { nameOf } from './scans.ts';
import type { PatientRow } from './scan-rows.ts';
import { picture } from './scan.ts';
import { imagesOnPage, type DecisionRow, type ImageRow, type VersionRow } from './version-rows.ts';

export type VersionChoice = 'use' | 'set aside';

/** What it is, in the words of the pages. */
export const standing = ({ status, conflict_of: conflictOf }: Pick<VersionRow, 'status' | 'conflict_of'>): string =>
  status === 'quarantined' ? 'to decide' : status === 'archived' ? 'set aside' : status === 'deleted' ? 'deleted' : conflictOf === null ? 'in use' : 'kept out';
const why = ({ status, conflict_of: conflictOf }: VersionRow): string => (status === 'quarantined' ? conflictOf === null ? 'it names another patient than its study' : 'it came again with other content' : conflictOf === null ? 'by a decision' : 'another version of it is in use');

export function keptOutSection({ scanId, keptOut, waiting, decisions, mayDecide, now }: { readonly scanId: string; readonly keptOut: readonly VersionRow[]; /** How many there are, also beyond those that are listed. */ readonly waiting: number; readonly decisions: readonly DecisionRow[]; readonly mayDecide: boolean; readonly now: Date }): Html {
  const kept = new Set(keptOut.map(({ scan_file_id: id }) => id));
  // An image that a decision put in use is in no list of what is kept out: the decision is the way back to it.
  const decided = decisions.filter((decision, index) => !kept.has(decision.scan_file_id) && decisions.findIndex((other) => other.scan_file_id === decision.scan_file_id) === index);
  return html`${section(waiting > 0 ? `${waiting} ${waiting === 1 ? 'image waits' : 'images wait'} for a decision` : 'Images about which somebody decided', ['Image', 'State', 'Why', 'From', 'Arrived', 'Compare'], [
    ...keptOut.map((version) => html`<tr><td>${placeInSeries(version)}<div class="sub id">${version.sop_instance_uid}</div></td><td>${state(standing(version))}</td><td>${why(version)}</td><td>${from(version)}</td><td>${ago(version.received_at, now)}</td>
<td><a href="/scans/${scanId}/images/${version.scan_file_id}">${version.status === 'quarantined' && mayDecide ? 'Compare and decide' : 'Compare'}</a></td></tr>`),
    ...decided.map((decision) => html`<tr><td>${placeInSeries(decision)}<div class="sub id">${decision.sop_instance_uid ?? decision.scan_file_id}</div></td><td>${state('in use')}</td><td>by a decision</td><td></td><td></td><td><a href="/scans/${scanId}/images/${decision.scan_file_id}">Compare</a></td></tr>`),
  ], 'None.', keptOut.length >= 200 ? html`<p class="hint">These are the first 200.</p>` : '')}`;
}

const placeInSeries = (version: { readonly series_number: number | null; readonly instance_number: number | null }): string => [version.series_number === null ? null : `series ${version.series_number}`, version.instance_number === null ? null : `image ${version.instance_number}`].filter(Boolean).join(', ') || 'image';
const from = (version: VersionRow): Html => html`${version.integration_name ?? 'unknown sender'}<div class="sub">${[version.sender, version.address].filter(Boolean).join(' at ')}</div>`;

export interface Side { readonly version: VersionRow; readonly title: string; /** Of the header; undefined: the role may not see it, or the file cannot be read. */ readonly lines: readonly MessageLine[] | undefined; /** There are more lines than these. */ readonly isCut: boolean }
export interface Comparison {
  readonly scanId: string; readonly scanNumber: string; readonly sides: readonly Side[]; readonly isForeign: boolean; readonly hasOthers: boolean; readonly patient: PatientRow | undefined; readonly decisions: readonly DecisionRow[]; readonly where: Html;
  readonly mayDecide: boolean; readonly seesImages: boolean; readonly seesHeader: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function comparePage(comparison: Comparison): Html {
  const { scanId, scanNumber, sides, isForeign, patient, decisions, where, mayDecide, seesImages, seesHeader, done, problem } = comparison;
  const [own] = sides as [Side, ...Side[]], { version } = own;
  return html`<p class="back"><a href="/scans/${scanId}">${scanNumber}</a></p><h1>${placeInSeries(version)} <span class="id">${version.sop_instance_uid}</span></h1>${notice(done)}${notice(problem, 'problem')}
<section><h2>${state(standing(version))} ${explanation(version, isForeign)}</h2>
${patient && isForeign ? html`<p class="hint">The study's patient: ${nameOf(patient)} <span class="id">${patient.patient_number}</span>${patient.birth_date ? `, born ${patient.birth_date}` : ''}${patient.sex ? `, ${patient.sex}` : ''}.</p>` : ''}
<div class="scroll" tabindex="0" role="region" aria-label="Side by side"><table class="sides"><thead><tr><th scope="col"><span class="hidden">What</span></th>${sides.map(({ title }) => html`<th scope="col">${title}</th>`)}</tr></thead><tbody>
${seesImages ? line('Picture', sides, (side) => (side.rows === null ? 'has no pixels' : picture(side.scan_id, side.scan_file_id, `Picture of ${placeInSeries(side)}, ${standing(side)}`))) : ''}
${line('State', sides, (side) => state(standing(side)))}${line('From', sides, from)}${line('Arrived', sides, (side) => clock(side.received_at))}
${line('Size', sides, (side) => html`${bytes(side.byte_size)}<div class="sub">${side.rows === null ? '' : `${side.columns} × ${side.rows} pixels${(side.number_of_frames ?? 1) > 1 ? `, ${side.number_of_frames} frames` : ''}`}</div>`)}
${line('Kind', sides, (side) => html`${uidName(side.sop_class_uid)}<div class="sub">${uidName(side.transfer_syntax_uid)}</div>`)}${line('Scan', sides, (side) => html`<a href="/scans/${side.scan_id}">${side.scan_number}</a><div class="sub">${placeInSeries(side)}</div>`)}
${line('SHA-256', sides, (side) => html`<span class="id">${side.sha256}</span>`)}
</tbody></table></div>
${sides.length === 1 && isForeign ? html`<p class="hint">Nothing of its study is in use that it could be held against.</p>` : ''}</section>
${!seesHeader ? html`<section><h2>What differs in the header</h2><p class="none">Your role may not see the content of images.</p></section>` : sides.length > 1 ? differences(sides, isForeign) : ''}
${mayDecide ? decide(comparison) : ''}
${section('What was decided', ['When', 'Who', 'Decision', 'Reason'], decisions.map((decision) => html`<tr><td class="nowrap">${clock(decision.occurred_at)}</td><td>${decision.actor}</td><td>${decision.decision}</td><td>${decision.reason ?? ''}</td></tr>`), 'Nobody has decided about it yet.',
  decisions.length > 0 ? html`<div class="where">The scan now: ${where}</div>` : '')}`;
}

function explanation(version: VersionRow, isForeign: boolean): string {
  if (version.status === 'stored' && version.conflict_of === null && !isForeign) return 'It is in use.';
  if (version.conflict_of === null && version.status === 'archived' && !isForeign) return 'It was taken out of use by a decision.';
  if (isForeign) return version.status === 'stored' ? 'It names another patient than its study, and was put in use by a decision.' : 'It names another patient than its study. It is stored, and used for nothing.';
  return 'An object with this SOP Instance UID was stored already, with other content. This version is used for nothing.';
}

function line(name: string, sides: readonly Side[], cell: (version: VersionRow) => Html | string): Html {
  return html`<tr><th scope="row">${name}</th>${sides.map(({ version }) => html`<td>${cell(version)}</td>`)}</tr>`;
}

const mostDifferences = 200;
/** Of an image of another patient, what its study and its patient are called is the question; that two images of a study differ otherwise is none. */
const ofStudyAndPatient = /^\(0010,|^\(0008,(0020|0030|0050|0080|0090|1030)\)$|^\(0020,(000d|0010)\)$/i;

interface Attribute { readonly path: string; readonly location: string; readonly name: string | null }
interface Difference extends Attribute { readonly values: readonly (string | null)[] }

/** Attributes whose values are not the same on all sides, in the order of the header; those of sequences by the way to them. */
export function differingAttributes(sides: readonly (readonly MessageLine[])[], wanted: (attribute: Attribute) => boolean = () => true): readonly Difference[] {
  const tables = sides.map(attributesOf);
  const all = new Map(tables.flatMap((table) => [...table]).map(([path, { attribute }]) => [path, attribute]));
  return [...all.values()].filter(wanted).toSorted((a, b) => (a.path < b.path ? -1 : 1)).map((attribute) => ({ ...attribute, values: tables.map((table) => table.get(attribute.path)?.value ?? null) }))
    .filter(({ values }) => new Set(values).size > 1);
}

function attributesOf(lines: readonly MessageLine[]): ReadonlyMap<string, { readonly attribute: Attribute; readonly value: string }> {
  const found = new Map<string, { attribute: Attribute; value: string }>(), above: string[] = [], items: (string | undefined)[] = [];
  for (const { depth, location, name, value } of lines) {
    if (value === null) { items[depth] = location; continue; }
    const path = [...above.slice(0, depth).map((part, level) => `${items[level] ?? ''}${part}`), `${items[depth] ?? ''}${location}`].join(' ');
    above[depth] = location;
    items.length = Math.min(items.length, depth + 1);
    found.set(path, { attribute: { path, location, name }, value });
  }
  return found;
}

function differences(sides: readonly Side[], isForeign: boolean): Html {
  const unreadable = sides.filter(({ lines }) => lines === undefined);
  if (unreadable.length > 0) return html`<section><h2>What differs in the header</h2><p class="none">${unreadable.map(({ title }) => title).join(', ')}: the file is not readable now. It may be away from the store; see medscan doctor.</p></section>`;
  const found = differingAttributes(sides.map(({ lines }) => lines ?? []), isForeign ? ({ path }) => ofStudyAndPatient.test(path) : undefined);
  return section(isForeign ? 'What differs about patient and study' : 'What differs in the header', ['Attribute', ...sides.map(({ title }) => title)], found.slice(0, mostDifferences).map(({ path, name, values }) => html`<tr><th scope="row"><span class="id">${path}</span><div class="sub">${name ?? ''}</div></th>${values.map((value) => html`<td class="value">${value ?? html`<span class="sub">not there</span>`}</td>`)}</tr>`),
    isForeign ? 'Patient and study are called the same in both: they differ in what the gateway makes of it, the assigning authority of their sender for example.' : 'No attribute that can be shown as text differs: pixels do, or other content that is no text.', html`${found.length > mostDifferences ? html`<p class="hint">and ${found.length - mostDifferences} more</p>` : ''}${sides.some(({ isCut }) => isCut) ? html`<p class="hint">A header is very long: what stands behind its first 5,000 lines was not compared.</p>` : ''}`);
}

/** What may be decided now. In place of one of several versions another one is put in use. */
function choices({ sides: [own], hasOthers }: Comparison): readonly VersionChoice[] {
  const { status, conflict_of: conflictOf } = own!.version;
  if (status === 'deleted') return [];
  if (status === 'quarantined') return ['use', 'set aside'];
  if (status === 'archived' || conflictOf !== null) return ['use'];
  return hasOthers ? [] : ['set aside'];
}
const words: Readonly<Record<VersionChoice, { readonly button: string; readonly does: string }>> = {
  use: { button: 'Use this image', does: 'The scan is completed and analysed again with it; the version that is in use is set aside.' },
  'set aside': { button: 'Set it aside', does: 'It stays stored and is used for nothing; where it was in use, the scan is analysed again without it. It can be put in use later.' },
};

function decide(comparison: Comparison): Html | string {
  const open = choices(comparison), { version } = comparison.sides[0]!;
  if (open.length === 0) return comparison.hasOthers ? html`<p class="hint">To take it out of use, open another version of it and use that one: ${comparison.sides.slice(1).map(({ version: other, title }) => html`<a href="/scans/${other.scan_id}/images/${other.scan_file_id}">${title.toLowerCase()}</a> `)}</p>` : '';
  return html`<section><h2>Decide</h2><form class="try" method="post" action="/scans/${comparison.scanId}/images/${version.scan_file_id}/decide"><label>Reason, for the audit log: what was compared, whom you asked. No names
<input name="reason" required minlength="3" maxlength="500" autocomplete="off"></label><div class="choices">${open.map((choice) => html`<div><button name="decision" value="${choice}"${choice === 'use' ? html` class="go"` : ''}>${words[choice].button} …</button><div class="sub">${words[choice].does}</div></div>`)}</div>
<p class="aside">The next page asks once more. Nothing is deleted by either.</p></form></section>`;
}

export interface Confirmation { readonly scanId: string; readonly scanNumber: string; readonly version: VersionRow; readonly inUse: VersionRow | undefined; readonly decision: VersionChoice; readonly reason: string; readonly reported: number | null }

/** What the decision will do, before it is done. */
export function confirmPage({ scanId, scanNumber, version, inUse, decision, reason, reported }: Confirmation): Html {
  const here = `/scans/${scanId}/images/${version.scan_file_id}`;
  const effects = decision === 'use' ? [
    ...(inUse ? [`The version from ${inUse.integration_name ?? 'an unknown sender'} of ${inUse.received_at.slice(0, 16).replace('T', ' ')} UTC, which is in use in ${inUse.scan_number}, is set aside.`] : []),
    `${scanNumber} is completed and analysed again with this image${inUse && inUse.scan_id !== scanId ? `, and ${inUse.scan_number} without its own` : ''}.`,
    reported === null ? 'A report follows where a model has something to say.' : `Report version ${reported} was sent already; where the result differs, a next version follows to the same systems.`,
  ] : ['The image stays stored and is used for nothing.', version.status === 'stored' ? `${scanNumber} is completed and analysed again without it. When no other image is in use it waits for a person instead; a report that was made stays as it is until somebody withdraws it.` : 'Nothing is analysed again.'];
  return html`<p class="back"><a href="${here}">Back, without deciding</a></p><h1>${words[decision].button}?</h1>
<section class="confirm"><h2>${placeInSeries(version)} <small>${version.sop_instance_uid}</small></h2><ul class="effects">${effects.map((effect) => html`<li>${effect}</li>`)}</ul>
<dl><dt>Reason</dt><dd>${reason}</dd></dl>
<div class="actions"><form method="post" action="${here}/decide">${hidden({ decision, reason, confirmed: version.status })}<button class="go">${words[decision].button}</button></form><a href="${here}">Do nothing</a></div></section>`;
}

/** The images in use of one series: each leads to its page. */
export function imagesPage({ scanId, scanNumber, seriesInstanceUid, images, from, seesImages, now }: { readonly scanId: string; readonly scanNumber: string; readonly seriesInstanceUid: string; readonly images: readonly ImageRow[]; readonly from: number; readonly seesImages: boolean; readonly now: Date }): Html {
  const more = images.length > imagesOnPage ? html`<p class="more"><a href="/scans/${scanId}/images?series=${encodeURIComponent(seriesInstanceUid)}&amp;from=${from + imagesOnPage}">More images</a></p>` : '';
  return html`<p class="back"><a href="/scans/${scanId}">${scanNumber}</a></p><h1>Images of a series <span class="id">${seriesInstanceUid}</span></h1>
${section(from === 0 ? 'Images in use' : `Images in use, from ${from + 1} on`, [...(seesImages ? ['Picture'] : []), 'Image', 'Kind', 'Size', 'Arrived'], images.slice(0, imagesOnPage).map((image) => html`<tr>${seesImages ? html`<td class="picture">${image.rows === null ? '' : picture(scanId, image.scan_file_id, `Image ${image.instance_number ?? ''}`, true)}</td>` : ''}
<td><a href="/scans/${scanId}/images/${image.scan_file_id}">image ${image.instance_number ?? 'without number'}</a><div class="sub id">${image.sop_instance_uid}</div></td><td>${uidName(image.sop_class_uid)}</td><td class="number nowrap">${bytes(image.byte_size)}</td><td>${ago(image.received_at, now)}</td></tr>`), 'No image of this series is in use.', more)}`;
}
