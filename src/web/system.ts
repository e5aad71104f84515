/** One connected system: how it is, its settings, what it may be tried with, and its conformance statement. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { ConnectionTest, Integration } from '../api/queries/integrations.ts';
import type { Html } from './layout.ts';
import { ago, facts, notice, section, state } from './parts.ts';
import { flow } from './systems.ts';

export interface OneSystem {
  readonly system: Integration; readonly test: z.input<typeof ConnectionTest> | undefined; readonly tried: 'connection' | 'object' | undefined; readonly storesObject: boolean; readonly hasDryRun: boolean; readonly statesConformance: boolean; readonly hasAssociations: boolean;
  readonly mayPause: boolean; readonly mayTry: boolean; readonly mayReadMessages: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function systemPage(one: OneSystem): Html {
  const { system, test, statesConformance, hasAssociations, mayPause, mayTry, mayReadMessages, done, problem, now } = one, id = system.integration_id;
  return html`<p class="back"><a href="/systems">Systems</a></p><h1>${system.name} <span class="id">${system.adapter}</span></h1>${notice(done)}${notice(problem, 'problem')}
${test ? testResult(one) : ''}
<section><h2>${system.is_enabled ? state(system.health_status) : state('switched off')} ${system.kind.toUpperCase()}, ${system.direction === 'both' ? 'sends and receives' : system.direction}</h2>
${facts([
    ['Receives from it', system.direction === 'outbound' ? 'no' : flow(system, 'receive', system.receive_paused_at, mayPause, now, `/systems/${id}`)], ['Delivers to it', system.direction === 'inbound' ? 'no' : flow(system, 'deliver', system.deliver_paused_at, mayPause, now, `/systems/${id}`)],
    ['Last success', ago(system.last_ok_at, now)], ['Last problem', system.last_error_at ? html`${ago(system.last_error_at, now)}: ${system.last_error ?? ''}` : 'none'], ['Purpose', system.purpose], ['Contact', system.owner_contact],
    ['Look at', html`${mayReadMessages ? html`<a href="/messages?integration_id=${id}">its messages</a>${hasAssociations ? html`, <a href="/associations?integration_id=${id}">its associations</a>` : ''}` : ''}${statesConformance ? html`${mayReadMessages ? ', ' : ''}<a href="/systems/${id}/conformance">conformance statement</a>` : ''}`],
  ])}</section>
${mayTry ? tries(one) : ''}
${section('Settings', ['Setting', 'Value'], settingsOf(system.settings).map(([name, value]) => html`<tr><th scope="row" class="id">${name}</th><td class="value">${value}</td></tr>`), 'All settings have their defaults.',
  html`<p class="hint">${system.has_credentials ? 'Secrets are stored sealed and never shown. ' : ''}Version ${system.version}, changed ${ago(system.updated_at, now)}. ${mayPause ? html`<a href="/systems/${id}/edit">Change it</a>, or apply a file: medscan integration apply FILE.yaml.` : ''}</p>`)}`;
}

function tries({ system, storesObject, hasDryRun }: OneSystem): Html {
  const id = system.integration_id;
  return html`<section><h2>Try it</h2><div class="actions"><form method="post" action="/systems/${id}/test"><button class="go">Try the connection</button></form><span>changes nothing on either side; it may take a minute when nothing answers</span></div>
${storesObject ? html`<div class="actions"><form method="post" action="/systems/${id}/test"><input type="hidden" name="store" value="true"><button>Try with a test image</button></form><span>sends a synthetic image, which stays there: patient MEDSCAN-TEST</span></div>` : ''}
${hasDryRun ? html`<div class="actions"><a href="/systems/${id}/try">Try a message</a><span>what the gateway would make of it; nothing is received or written</span></div>` : ''}</section>`;
}

function testResult({ system, test, tried }: OneSystem): Html {
  const failed = test!.steps.find((step) => !step.ok);
  return html`<section id="test"><h2 role="status">${state(test!.ok ? 'ok' : 'failed')} ${tried === 'object' ? 'Connection with a test image' : 'Connection'}: ${test!.ok ? `${system.name} answers as it should.` : `${failed?.step ?? 'it'} did not work.`}</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Steps of the test"><table><thead><tr>${['Step', 'Result', 'What was seen', 'Took'].map((column) => html`<th scope="col">${column}</th>`)}</tr></thead><tbody>
${test!.steps.map((step) => html`<tr><td class="nowrap">${step.step}</td><td>${state(step.ok ? 'ok' : 'failed')}</td><td>${step.detail.split('\n').map((line) => html`<div>${line}</div>`)}${step.advice ? html`<div class="advice">${step.advice}</div>` : ''}</td><td class="number nowrap">${step.milliseconds < 10 ? step.milliseconds.toFixed(1) : Math.round(step.milliseconds)} ms</td></tr>`)}</tbody></table></div></section>`;
}

/** Nested settings by their path, as a person reads them in the YAML file. */
function settingsOf(settings: Readonly<Record<string, unknown>>, above = ''): readonly (readonly [string, string])[] {
  return Object.entries(settings).flatMap(([name, value]): readonly (readonly [string, string])[] => {
    if (value === null || value === undefined) return [];
    if (Array.isArray(value)) return [[above + name, value.map((part) => (typeof part === 'object' ? JSON.stringify(part) : String(part))).join(', ') || 'none']];
    return typeof value === 'object' ? settingsOf(value as Record<string, unknown>, `${above}${name}.`) : [[above + name, String(value)]];
  });
}
