/** One version of a report as a person reads and prints it, and where it went. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { Report, ReportWithDeliveries } from '../api/queries/reports.ts';
import type { Html } from './layout.ts';
import { ago, clock, facts, notice, section, state } from './parts.ts';
import type { PatientRow, ScanRow } from './scan-rows.ts';
import { person } from './scan.ts';
import { nameOf, studyOf } from './scans.ts';

export interface OneReport {
  readonly report: z.output<typeof ReportWithDeliveries>; readonly scan: ScanRow; readonly patient: PatientRow | undefined; readonly versions: readonly z.output<typeof Report>[];
  readonly mayWithdraw: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function reportPage({ report, scan, patient, versions, mayWithdraw, done, problem, now }: OneReport): Html {
  const newest = Math.max(...versions.filter(({ lineage_id: lineage }) => lineage === report.lineage_id).map(({ version }) => version));
  return html`<p class="back"><a href="/scans/${scan.scan_id}">${scan.scan_number}</a></p><h1>Report ${report.author_kind === 'device' ? `version ${report.version}` : ''} <span class="id">${studyOf(scan)}</span></h1>${notice(done)}${notice(problem, 'problem')}
${report.version < newest ? notice(`This is not the newest: version ${newest} took its place.`, 'problem') : ''}
<section class="report"><h2>${state(report.status)} ${report.author_name}, ${clock(report.created_at)}</h2>
${facts([
    ['Patient', patient ? html`${nameOf(patient)} <span class="id">${patient.patient_number}</span>` : null], ['Born, sex', patient ? [patient.birth_date, patient.sex].filter(Boolean).join(', ') : null],
    ['Accession number', scan.accession_number], ['Study made', clock(scan.study_at)], ['Referred by', person(scan.referring_physician)], ['Signed', report.signed_at ? clock(report.signed_at) : report.author_kind === 'device' ? 'no: made by software; it needs the review of a radiologist' : null],
  ])}
${part('Indication', report.indication)}${part('Technique', report.technique)}${part('Findings', report.findings_text)}${part('Impression', report.impression)}</section>
${section('Where it went', ['System', 'State', 'Tries', 'When', 'Last outcome'], report.deliveries.map((delivery) => html`<tr><td>${delivery.integration_name}</td><td>${state(delivery.status)}</td><td class="number">${delivery.attempts}</td><td>${delivery.delivered_at ? clock(delivery.delivered_at) : ''}</td><td>${delivery.last_outcome ?? ''}<div class="sub">${delivery.last_text ?? ''}</div></td></tr>`), 'No system is to get it.')}
${versions.length > 1 ? section('Reports of this scan', ['Version', 'State', 'By', 'Made'], versions.map((version) => html`<tr><td>${version.report_id === report.report_id ? html`<strong>version ${version.version}, shown here</strong>` : html`<a href="/reports/${version.report_id}">version ${version.version}</a>`}</td><td>${state(version.status)}</td><td>${version.author_name}</td><td>${ago(version.created_at, now)}</td></tr>`), '') : ''}
${mayWithdraw && report.author_kind === 'device' && report.status !== 'entered-in-error' && report.version === newest ? html`<section class="unprinted"><details class="withdraw"><summary>Withdraw this report</summary><form class="try" method="post" action="/reports/${report.report_id}/withdraw"><label>Reason, for its readers: it stands first in the impression. No names
<input name="reason" required minlength="3" maxlength="500" autocomplete="off"></label><p class="aside">A next version with the status entered-in-error goes to every system that an earlier version was sent to. It cannot be taken back.</p><div class="buttons"><button>Withdraw for good</button></div></form></details></section>` : ''}`;
}

function part(title: string, text: string | null): Html | string {
  return text ? html`<h3>${title}</h3><p class="prose">${text}</p>` : '';
}
