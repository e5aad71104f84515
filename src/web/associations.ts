/** The DICOM associations: who called, what was offered and accepted, how each ended, and what to do about it. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import { associationOutcomes, type Association, type AssociationWithContexts } from '../api/queries/associations.ts';
import { uidName } from '../gateway/uid-names.ts';
import type { Html } from './layout.ts';
import { ago, bytes, choice, clock, facts, field, nextPage, notice, section, span, state, type Choices } from './parts.ts';

type Row = z.output<typeof Association>;

export interface AssociationFilter { readonly outcome?: string | undefined; readonly integration_id?: string | undefined; readonly calling_ae_title?: string | undefined; readonly started_from?: string | undefined; readonly started_before?: string | undefined }

export function associationList({ filter, choices, items, nextCursor, problem, now }: { readonly filter: AssociationFilter; readonly choices: Choices; readonly items: readonly Row[]; readonly nextCursor: string | null; readonly problem: string | undefined; readonly now: Date }): Html {
  const isFiltered = Object.values(filter).some(Boolean);
  return html`<h1>DICOM associations</h1>${notice(problem, 'problem')}
<form class="filter" method="get" action="/associations" role="search">
${choice('Ended', 'outcome', associationOutcomes.map((outcome) => [outcome, outcome.replaceAll('-', ' ')] as const), filter.outcome)}
${choice('System', 'integration_id', choices.integrations.map(({ integration_id: id, name }) => [id, name] as const), filter.integration_id)}
${field('Calling AE title', 'calling_ae_title', filter.calling_ae_title, { placeholder: 'exactly, HOSPACS' })}
${field('From (UTC)', 'started_from', filter.started_from, { type: 'date' })}${field('Before (UTC)', 'started_before', filter.started_before, { type: 'date' })}
<div class="buttons"><button class="go">Search</button>${isFiltered ? html`<a href="/associations">Show all</a>` : ''}</div></form>
${section(isFiltered ? 'Associations that match, newest first' : 'All associations, newest first', ['When', 'Caller', 'System', 'Contexts', 'Objects', 'Ended', 'Took'], items.map((association) => row(association, now)),
  isFiltered ? 'No association matches. What a caller of no known AE title was refused stands under no system: leave the system out.' : 'Nobody has opened a DICOM association yet. Callers need our AE title, host and port; see Systems for what each is to be told.', nextPage('/associations', filter, nextCursor, 'Older associations'))}`;
}

function row(association: Row, now: Date): Html {
  const { contexts_accepted: accepted, contexts_offered: offered } = association;
  return html`<tr><td><a href="/associations/${association.association_id}">${ago(association.started_at, now)}</a></td><td class="nowrap">${association.calling_ae_title ?? 'nobody'} → ${association.called_ae_title ?? '?'}<div class="sub">${association.peer_address}</div></td><td>${association.integration_name ?? 'unknown caller'}</td>
<td class="number nowrap">${accepted} of ${offered}${accepted < offered && association.outcome !== 'rejected' ? html`<div class="sub">${offered - accepted} refused</div>` : ''}</td><td class="number nowrap">${objectsOf(association)}<div class="sub">${association.bytes_received > 0 ? bytes(association.bytes_received) : ''}</div></td>
<td>${ending(association)}<div class="sub">${association.reason ?? ''}${association.repeats > 0 ? ` (and ${association.repeats} times more)` : ''}</div>${association.advice ? html`<div class="advice">${association.advice}</div>` : ''}</td><td class="number nowrap">${took(association.duration_ms)}</td></tr>`;
}

const ending = ({ outcome, rejection }: Row): Html => html`${state(outcome.replaceAll('-', ' '))}${rejection ? html` <span class="id">${rejection}</span>` : ''}`;
const objectsOf = ({ objects }: Row): number => Object.values(objects).reduce((sum, count) => sum + count, 0);
const took = (milliseconds: number): string => (milliseconds < 10_000 ? `${(milliseconds / 1000).toFixed(milliseconds < 1000 ? 2 : 1)} s` : span(milliseconds));

/** PS3.8 table 9-18, and what an administrator of ours does about a refusal. */
const results: readonly (readonly [words: string, advice: string])[] = [
  ['accepted', ''],
  ['refused by a setting (1)', 'A setting of the system keeps this service or class out: allow_query, allow_retrieve, allow_worklist, sop_classes, accept_unknown_sop_classes.'],
  ['refused (2)', 'The gateway could not serve it then.'],
  ['service not supported (3)', 'The gateway has no such service. Most callers offer it only in case; nothing to do unless they miss it.'],
  ['transfer syntaxes not supported (4)', 'Offer Implicit or Explicit VR Little Endian for it as well.'],
];
/** So many accepted contexts are shown at once; more are folded. */
const fewContexts = 12;

type Context = z.output<typeof AssociationWithContexts>['contexts'][number];

function contextSections(contexts: readonly Context[], wasAnswered: boolean): Html {
  if (contexts.length === 0) return section('Presentation contexts', [], [], 'The caller offered none, or what it sent could not be read.');
  if (!wasAnswered) return folded(`${contexts.length} presentation contexts were offered; none was looked at, because the association was refused`, contexts, false);
  const refused = contexts.filter(({ result }) => result !== 0), accepted = contexts.filter(({ result }) => result === 0);
  return html`${refused.length > 0 ? section(`${refused.length} presentation ${refused.length === 1 ? 'context' : 'contexts'} refused`, ['Id', 'Service', 'Answer', 'Transfer syntaxes offered'], refused.map((context) => contextRow(context, true)), '') : ''}
${accepted.length > 0 ? folded(`${accepted.length} presentation ${accepted.length === 1 ? 'context' : 'contexts'} accepted`, accepted, true) : ''}`;
}

function folded(title: string, contexts: readonly Context[], wasAnswered: boolean): Html {
  const columns = ['Id', 'Service', ...(wasAnswered ? ['Answer'] : []), 'Transfer syntaxes offered'];
  const table = html`<div class="scroll" tabindex="0" role="region" aria-label="${title}"><table><thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead><tbody>${contexts.map((context) => contextRow(context, wasAnswered))}</tbody></table></div>`;
  return html`<section><h2>${title}</h2>${contexts.length > fewContexts ? html`<details><summary>Show them</summary>${table}</details>` : table}</section>`;
}

function contextRow({ id, abstract_syntax: abstractSyntax, transfer_syntaxes: offered, transfer_syntax: taken, result }: Context, wasAnswered: boolean): Html {
  const [words, advice] = results[result] ?? [`result ${result}`, ''];
  return html`<tr><td class="number">${id}</td><td>${uidName(abstractSyntax)}<div class="sub id">${abstractSyntax}</div></td>${wasAnswered ? html`<td>${state(words)}${advice ? html`<div class="sub">${advice}</div>` : ''}</td>` : ''}
<td>${offered.map((uid) => html`<div>${uidName(uid)}${wasAnswered && result === 0 && uid === taken ? html` ${state('taken')}` : ''}</div>`)}</td></tr>`;
}

export function associationPage({ association, now }: { readonly association: z.output<typeof AssociationWithContexts>; readonly now: Date }): Html {
  const wasAnswered = association.outcome !== 'rejected' && association.outcome !== 'unreadable';
  const counted = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(', ');
  return html`<p class="back"><a href="/associations">Associations</a></p><h1>${association.calling_ae_title ?? 'A caller without AE title'} → ${association.called_ae_title ?? 'nobody'} <span class="id">${ago(association.started_at, now)}</span></h1>
<section><h2>${ending(association)} ${association.reason ?? ''}</h2>${association.advice ? html`<p class="advice">What to do: ${association.advice}</p>` : ''}
${facts([
    ['System', association.integration_id ? html`<a href="/systems/${association.integration_id}">${association.integration_name}</a>` : 'none of those that are configured'], ['Caller', `${association.peer_address}, port ${association.peer_port}`],
    ['TLS', [association.tls_protocol, association.tls_subject].filter(Boolean).join(', ') || 'no'], ['Began', clock(association.started_at)], ['Ended', clock(association.finished_at)], ['Took', took(association.duration_ms)],
    ['Rejected with', association.rejection ? `${association.rejection} (result/source/reason, PS3.8 table 9-21)` : null], ['Requests', counted(association.requests)], ['Objects by answer', counted(association.objects)],
    ['Received, sent', `${bytes(association.bytes_received)}, ${bytes(association.bytes_sent)}`], ['Implementation', [association.implementation_version, association.implementation_class_uid].filter(Boolean).join(', ')],
    ['Largest PDU it takes', association.peer_maximum_length === null ? null : association.peer_maximum_length === 0 ? 'any' : bytes(association.peer_maximum_length)], ['Came again', association.repeats > 0 ? `${association.repeats} times more in its burst` : null],
  ])}</section>
${contextSections(association.contexts, wasAnswered)}`;
}
