/** What every folder of adapters/ must keep. The folders are found, not listed: a new adapter is held to this from its first day. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { generatedDocs } from '../scripts/generated-docs.ts';
import { propertiesOf, type Property } from '../scripts/settings-tables.ts';
import type { Adapter, AdapterContext } from '../src/gateway/adapter.ts';
import { ADAPTERS_DIRECTORY, loadAdapters } from '../src/gateway/registry.ts';

const folders = readdirSync(ADAPTERS_DIRECTORY, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).toSorted();
const adapters = await loadAdapters();
const documents = await generatedDocs();
const temporary: string[] = [];
afterAll(() => { for (const directory of temporary) rmSync(directory, { recursive: true, force: true }); });

test('every folder of adapters/ is an adapter', () => {
  expect([...adapters.keys()].toSorted(), 'a folder counts as one when its adapter.ts exports an adapter').toEqual(folders);
  expect(folders.length).toBeGreaterThan(0);
});

describe.each([...adapters.keys()])('adapter %s', (name) => {
  const adapter = adapters.get(name)!;
  const folder = path.join(ADAPTERS_DIRECTORY, name);

  test('says its name, title and summary', () => {
    expect(adapter.name).toBe(name);
    expect(adapter.title.length).toBeGreaterThan(2);
    expect(adapter.summary, 'one sentence').toMatch(/^[A-Z].{20,300}\.$/s);
  });

  test('receives or sends something, named in the standard\'s words', () => {
    const halves = [adapter.inbound, adapter.outbound].filter((half) => half !== undefined);
    expect(halves.length).toBeGreaterThan(0);
    for (const { interactions } of halves) {
      expect(interactions.length).toBeGreaterThan(0);
      expect(new Set(interactions).size).toBe(interactions.length);
    }
    if (adapter.inbound?.transport === 'http') expect(adapter.inbound.mount).toMatch(/^\/[a-z0-9/-]+[a-z0-9]$/);
  });

  test('describes every setting', () => {
    const settings = flatten(propertiesOf(adapter.configSchema));
    expect(settings.length).toBeGreaterThan(0);
    expect(settings.filter(([, { description }]) => !/^\S.{7,}/.test(description ?? '')).map(([setting]) => setting)).toEqual([]);
  });

  test('marks every setting that holds a secret, at the top level where it is sealed', () => {
    const settings = flatten(propertiesOf(adapter.configSchema));
    expect(settings.filter(([setting, property]) => soundsSecret(setting) && property.secret !== true).map(([setting]) => setting)).toEqual([]);
    expect(settings.filter(([setting, { secret }]) => secret === true && setting.includes('.')).map(([setting]) => setting)).toEqual([]);
  });

  test('has a README with a conformance statement and the settings as the schema has them', () => {
    const readme = readFileSync(path.join(folder, 'README.md'), 'utf8');
    const statement = /^## Conformance$([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(readme)?.[1] ?? '';
    expect(statement.trim().length, 'a section "## Conformance"').toBeGreaterThan(200);
    expect(readme, 'run: npm run docs').toBe(documents.get(path.join(folder, 'README.md')));
  });

  test.runIf(adapter.inbound)('shows odd messages in testcases/', () => {
    expect(existsSync(path.join(folder, 'testcases')) && readdirSync(path.join(folder, 'testcases')).length).toBeGreaterThan(0);
  });

  test.runIf(adapter.outbound)('a connection test on a port where nobody answers ends within 10 s, says so and gives advice', async () => {
    const config = adapter.configSchema.parse(settingsFor(adapter, await deadPort()));
    const started = performance.now();
    const result = await adapter.testConnection(config, context());
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(result.ok).toBe(false);
    expect(result.steps.length).toBeGreaterThan(0);
    const failed = result.steps.find((step) => !step.ok)!;
    expect(failed.advice ?? '', JSON.stringify(result.steps)).toMatch(/\S.{10,}/);
    for (const step of result.steps) expect(step.detail).not.toMatch(/\n\s+at |undefined|\[object/);
  });

  test('the gateway loads without it', async () => {
    const directory = adaptersWithout(name);
    expect([...(await loadAdapters(directory)).keys()].toSorted()).toEqual([...adapters.keys()].filter((other) => other !== name).toSorted());
  });
});

function flatten(properties: Readonly<Record<string, Property>>, prefix = ''): [string, Property][] {
  return Object.entries(properties).flatMap(([name, property]): [string, Property][] => [
    [`${prefix}${name}`, property], ...flatten(property.properties ?? {}, `${prefix}${name}.`),
  ]);
}

/** A key id names a key, a token's address is where it is asked for; both may be seen. */
function soundsSecret(setting: string): boolean {
  return /(password|secret|token|passphrase|private_key|(^|[._])key)$/.test(setting);
}

/** The smallest settings with a destination: what the schema requires, and every host, port and URL at the dead port. */
function settingsFor(adapter: Adapter, port: number): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(propertiesOf(adapter.configSchema))) {
    if (property.properties && 'host' in property.properties) settings[name] = { host: '127.0.0.1', port, ...requiredTexts(property) };
    else if (name === 'host') settings[name] = '127.0.0.1';
    else if (name === 'port') settings[name] = port;
    else if (name === 'base_url') settings[name] = `http://127.0.0.1:${port}/fhir`;
  }
  expect(Object.keys(settings), 'settings that name a destination').not.toEqual([]);
  return settings;
}

function requiredTexts(property: Property): Record<string, unknown> {
  const required = (property['required'] ?? []) as readonly string[];
  return Object.fromEntries(required.filter((name) => name !== 'host' && name !== 'port').map((name) => [name, 'NOBODY']));
}

async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.once('listening', resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

function context(): AdapterContext {
  const quiet = (): void => undefined;
  return {
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, signal: AbortSignal.timeout(20_000), now: () => new Date(),
    store: async () => { throw new Error('a connection test stores nothing'); },
    authenticate: async () => { throw new Error('a connection test asks for no token of ours'); },
  };
}

/** A copy of the product's tree without one adapter; what the others import is linked. */
function adaptersWithout(name: string): string {
  const root = mkdtempSync(path.join(tmpdir(), 'medscan-adapters-'));
  temporary.push(root);
  const product = path.join(ADAPTERS_DIRECTORY, '..');
  mkdirSync(path.join(root, 'adapters'));
  for (const folder of folders.filter((candidate) => candidate !== name)) cpSync(path.join(ADAPTERS_DIRECTORY, folder), path.join(root, 'adapters', folder), { recursive: true });
  for (const entry of ['package.json', 'src', 'mappings', 'node_modules']) symlinkSync(path.join(product, entry), path.join(root, entry));
  return path.join(root, 'adapters');
}
