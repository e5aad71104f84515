/** What deploy/ says fits the product: the unit is one that systemd takes, and what the Dockerfile copies is all that the gateway loads. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse } from 'yaml';

const root = path.join(import.meta.dirname, '..');
const directory = mkdtempSync(path.join(tmpdir(), 'medscan-deploy-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const text = (file: string): string => readFileSync(path.join(root, file), 'utf8');
/** test/docs.test.ts holds the table of the README against the program. */
const settings = new Set([...text('README.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name!));

const systemdAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;
test.skipIf(!systemdAnalyze)(`systemd takes the unit${systemdAnalyze ? '' : ' (systemd-analyze is not installed)'}`, () => {
  // The unit names the place where it will be installed, of which systemd looks for the program.
  const program = path.join(directory, 'node'), unit = path.join(directory, 'medscan.service');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  writeFileSync(unit, text('deploy/medscan.service').replace('/opt/medscan/node_modules/.bin/node', program));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8', env: { ...process.env, SYSTEMD_LOG_LEVEL: 'warning' } });
  expect(stderr.split('\n').filter((line) => line.includes('medscan.service'))).toEqual([]);
  expect(status).toBe(0);
});

test('the unit starts the program as it is here, and it, the Dockerfile and the compose file name settings that there are', () => {
  expect(/^ExecStart=\/opt\/medscan\/(\S+) \/opt\/medscan\/(\S+) start$/m.exec(text('deploy/medscan.service'))!.slice(1)).toEqual(['node_modules/.bin/node', 'bin/medscan.mjs']);
  const compose = parse(text('deploy/compose.yaml')) as { services: { gateway: { environment: Record<string, string>; secrets: string[] } }; secrets: Record<string, unknown> };
  const { environment, secrets } = compose.services.gateway;
  const named = [...text('deploy/medscan.service').matchAll(/^Environment=(\w+)=/gm), ...text('deploy/Dockerfile').matchAll(/\b(MEDSCAN_\w+)=/g)].map(([, name]) => name!);
  expect([...named, ...Object.keys(environment)].filter((name) => !settings.has(name))).toEqual([]);
  expect(secrets.every((name) => name in compose.secrets && environment['MEDSCAN_ENCRYPTION_KEY_FILE'] === `/run/secrets/${name}`)).toBe(true);
});

interface Lock { readonly packages: Readonly<Record<string, { readonly dev?: boolean }>> }

test('what the Dockerfile copies, with the packages that npm ci --omit=dev installs, is all that the program loads', () => {
  const image = path.join(directory, 'image');
  mkdirSync(image);
  const copied = [...text('deploy/Dockerfile').matchAll(/^COPY (.+) (\S+)$/gm)].flatMap(([, sources]) => sources!.split(' '));
  for (const source of copied) cpSync(path.join(root, source), path.join(image, source), { recursive: true });
  for (const [name, { dev }] of Object.entries((JSON.parse(text('package-lock.json')) as Lock).packages)) {
    const link = path.join(image, name);
    if (dev === true || !/^node_modules\/(@[^/]+\/)?[^/]+$/.test(name)) continue;
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join(root, name), link);
  }
  const load = `const { readdirSync } = await import('node:fs');
    await import('./src/main.ts');
    const { loadAdapters } = await import('./src/gateway/registry.ts');
    const { readMigrations } = await import('./src/db/migrate.ts'), { migrationsDirectory } = await import('./src/installation.ts');
    if ((await readMigrations(migrationsDirectory)).length === 0) throw new Error('no migrations');
    for (const needed of ['mappings', 'seeds', 'models']) if (readdirSync(needed).length === 0) throw new Error(needed);
    for (const file of readdirSync('src/cli')) if (!file.endsWith('.test.ts')) await import('./src/cli/' + file);
    console.log([...(await loadAdapters()).keys()].join());
    process.exit();`;
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', load], { cwd: image, encoding: 'utf8' });
  expect(out.trim().split(',').sort()).toEqual(['dicom-dimse', 'dicomweb', 'fhir-rest', 'hl7v2-mllp']);
});
