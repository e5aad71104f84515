/** A system connected or changed on a page: who it is, and its adapter's settings as YAML, as in an integrations file, beside the table of what there is to set. */
import { html } from 'hono/html';
import { parseDocument, stringify } from 'yaml';
import { directions, kinds, type Integration } from '../api/queries/integrations.ts';
import type { ProblemError } from '../api/problem.ts';
import type { Html } from './layout.ts';
import { notice, section } from './parts.ts';

export interface CatalogEntry { readonly name: string; readonly title: string; readonly summary: string; readonly settingsSchema: Readonly<Record<string, unknown>>; readonly secretFields: readonly string[] }
/** What the form holds, as it was typed. */
export type SystemForm = Readonly<Partial<Record<'name' | 'kind' | 'direction' | 'enabled' | 'purpose' | 'owner_contact' | 'settings' | 'expected_version', string>>>;

export function chooseAdapterPage(adapters: readonly CatalogEntry[]): Html {
  return html`<p class="back"><a href="/systems">Systems</a></p><h1>Connect a system</h1>
${section('How does it speak?', ['Protocol', 'What it does'], adapters.map((adapter) => html`<tr><td class="nowrap"><a href="/systems/new?adapter=${adapter.name}">${adapter.title}</a><div class="sub">${adapter.name}</div></td><td>${adapter.summary}</td></tr>`), 'No adapter is installed.')}`;
}

export function editSystemPage({ adapter, system, values, errors, problem }: { readonly adapter: CatalogEntry; readonly system: Integration | undefined; readonly values: SystemForm; readonly errors: readonly ProblemError[]; readonly problem: string | undefined }): Html {
  const action = system ? `/systems/${system.integration_id}/edit` : `/systems/new?adapter=${adapter.name}`;
  const option = (chosen: string | undefined) => (value: string): Html => html`<option value="${value}"${value === chosen ? html` selected` : ''}>${value}</option>`;
  return html`<p class="back"><a href="${system ? `/systems/${system.integration_id}` : '/systems/new'}">${system?.name ?? 'Other protocols'}</a></p><h1>${system ? `Change ${system.name}` : 'Connect a system'} <span class="id">${adapter.title}</span></h1>
${notice(problem, 'problem')}${errors.length > 0 ? html`<div class="notice problem" role="alert">Nothing was saved: ${errors.length === 1 ? 'a value is' : `${errors.length} values are`} not what the adapter needs.<ul>${errors.map(({ pointer, message }) => html`<li><strong>${pointer.replace(/^#?\/settings\//, '').replaceAll('/', '.') || 'settings'}</strong>: ${message}</li>`)}</ul></div>` : ''}
<section><h2>Who it is</h2><form class="try" method="post" action="${action}">${values.expected_version ? html`<input type="hidden" name="expected_version" value="${values.expected_version}">` : ''}
<div class="fields"><label>Name<input name="name" required maxlength="100" value="${values.name ?? ''}" autocomplete="off"></label>
<label>Kind<select name="kind">${kinds.map(option(values.kind))}</select></label><label>Direction<select name="direction">${directions.map(option(values.direction ?? 'both'))}</select></label>
<label>Purpose<input name="purpose" maxlength="500" value="${values.purpose ?? ''}" autocomplete="off"></label><label>Contact<input name="owner_contact" maxlength="200" value="${values.owner_contact ?? ''}" autocomplete="off"></label></div>
<label class="check"><input type="checkbox" name="enabled" value="on"${values.enabled === 'on' ? html` checked` : ''}> switched on</label>
<label>Settings, as in an integrations file: a line each, "name: value"${system?.has_credentials ? '. A secret that is not named keeps its stored value; "name: null" takes it away' : ''}
<textarea name="settings" rows="14" spellcheck="false">${values.settings ?? ''}</textarea></label>
<div class="buttons"><button class="go">Save</button><span class="aside">It holds for what comes next; within three seconds.</span></div></form></section>
${section('What can be set', ['Setting', 'Default', 'What it does'], rowsOf(adapter.settingsSchema, '', new Set(adapter.secretFields), requiredOf(adapter.settingsSchema)), 'This adapter has no settings.')}`;
}

interface Property { readonly description?: string; readonly default?: unknown; readonly properties?: Readonly<Record<string, Property>>; readonly required?: readonly string[]; readonly enum?: readonly unknown[]; readonly type?: string; readonly items?: Property; readonly anyOf?: readonly Property[] }
const requiredOf = (schema: object): readonly string[] => (schema as Property).required ?? [];

function rowsOf(schema: object, above: string, secret: ReadonlySet<string>, required: readonly string[]): Html[] {
  return Object.entries((schema as Property).properties ?? {}).flatMap(([name, property]) => [
    html`<tr><th scope="row" class="id">${above}${name}</th><td class="value">${property.default === undefined ? required.includes(name) ? html`<strong>needed</strong>` : '' : JSON.stringify(property.default)}</td><td>${property.description ?? ''}${secret.has(name) ? ' Stored sealed, never shown.' : ''}${choicesOf(property)}</td></tr>`,
    ...rowsOf(property, `${above}${name}.`, new Set(), requiredOf(property)),
  ]);
}
const choicesOf = ({ enum: values, items }: Property): Html | string => ((values ?? items?.enum) ? html`<div class="sub">${(values ?? items!.enum)!.map(String).join(', ')}</div>` : '');

/** What a new one starts from: the settings that it cannot do without. */
export function startOf(adapter: CatalogEntry): SystemForm {
  return { enabled: 'on', settings: requiredOf(adapter.settingsSchema).map((name) => `${name}: \n`).join('') };
}

export function valuesOf(system: Integration): SystemForm {
  return {
    name: system.name, kind: system.kind, direction: system.direction, enabled: system.is_enabled ? 'on' : '', purpose: system.purpose ?? '', owner_contact: system.owner_contact ?? '',
    settings: Object.keys(system.settings).length === 0 ? '' : stringify(system.settings), expected_version: String(system.version),
  };
}

/** The settings that the text says, or why it says none. */
export function readSettings(text: string): { readonly settings: Record<string, unknown> } | { readonly problem: string } {
  try {
    const document = parseDocument(text);
    const [error] = document.errors;
    if (error) return { problem: `The settings are not YAML: ${error.message.split('\n')[0] ?? ''}` };
    // As text and back: dates and the like as they are stored, and nothing that contains itself.
    const value: unknown = JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 10 }) ?? {}));
    return typeof value === 'object' && !Array.isArray(value) ? { settings: value as Record<string, unknown> } : { problem: 'The settings are lines of "name: value".' };
  } catch {
    return { problem: 'The settings cannot be read: they are nested too deeply, or refer to themselves or to what is not there.' };
  }
}

/** Secrets live sealed in another column; should one stand among the settings (an old row), it still does not leave. */
export function withoutSecrets(system: Integration, adapter: Pick<CatalogEntry, 'secretFields'> | undefined): Integration {
  const secret = new Set(adapter?.secretFields);
  return { ...system, settings: Object.fromEntries(Object.entries(system.settings).filter(([name]) => !secret.has(name))) };
}
