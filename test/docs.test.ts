/** What the documents name exists: links, files, commands, settings, alerts, npm scripts; and their generated parts are up to date. */
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { auditEvents } from '../src/audit/event.ts';
import { generatedDocs, root } from '../scripts/generated-docs.ts';
import { describeSettings } from '../src/config.ts';
import { loadAdapters } from '../src/gateway/registry.ts';
import { parse } from 'yaml';

const documents = globSync(['*.md', 'docs/*.md', 'deploy/*.md', 'schemas/*.md', 'adapters/*/README.md', 'models/*/README.md'], { cwd: root }).toSorted();
const text = (document: string): string => readFileSync(path.join(root, document), 'utf8');
const sources = globSync(['src/**/*.ts', 'adapters/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'], { cwd: root }).map(text).join('\n');
const scripts = (JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts;

test('the documents that a newcomer looks for are there', () => {
  expect(documents).toEqual(expect.arrayContaining(['CHANGELOG.md', 'README.md', 'SECURITY.md', 'deploy/README.md', ...['ai-models', 'api', 'audit', 'connect-a-pacs', 'connect-a-ris', 'connect-an-emr',
    'delivery-contract', 'mappings', 'operate', 'scale', 'write-an-adapter'].map((name) => `docs/${name}.md`)]));
  expect(text('LICENSE')).toContain('Apache License');
});

describe.each(documents)('%s', (document) => {
  const content = text(document);
  const prose = content.replaceAll(/```[\s\S]*?```/g, '');

  test('links lead to files and headings that exist', () => {
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => !/^https?:/.test(target));
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = path.join(path.dirname(document), file);
      const linked = file === '' ? document : target;
      if (!existsSync(path.join(root, linked))) return true;
      return anchor !== undefined && !headings(text(linked)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test('files that are named exist', () => {
    const named = [...prose.matchAll(/`((?:src|test|adapters|mappings|migrations|schemas|seeds|models|docs|deploy|bench|scripts|bin)\/[\w./-]+)`/g)].map(([, file]) => file!);
    expect(named.filter((file) => !existsSync(path.join(root, file)) && !made.has(file))).toEqual([]);
  });

  test('settings that are named exist', () => {
    const known = new Set([...describeSettings().map(({ variable }) => variable), 'MEDSCAN_ENCRYPTION_KEY_FILE']);
    const named = [...content.matchAll(/\bMEDSCAN_[A-Z0-9_]+\b/g)].map(([variable]) => variable);
    // What only tests and measurements read is looked for where they read it.
    expect([...new Set(named)].filter((variable) => !known.has(variable) && !sources.includes(variable))).toEqual([]);
  });

  test('npm scripts that are named exist', () => {
    const named = [...content.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name]) => name!);
    expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
  });
});

/** A guide may say where the reader's own new file goes. */
const made = new Set(['adapters/report-webhook/adapter.ts', 'adapters/report-webhook/README.md']);

function headings(content: string): string[] {
  return [...content.replaceAll(/```[\s\S]*?```/g, '').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));
}

const run = promisify(execFile);
async function help(words: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [path.join(root, 'bin/medscan.mjs'), ...words, '--help'], { cwd: root });
  return stdout;
}

test('every medscan command and option that a document names is one of the program', async () => {
  const uses = new Map<string, Set<string>>();
  for (const document of documents) {
    for (const [, words = '', options = ''] of text(document).matchAll(/\bmedscan(?:\.mjs)? (start|demo|migrate|seed|doctor|(?:user|token) \w+|(?:integration|exchange) \w+)([^\n`|]*)/g)) {
      const named = uses.get(words) ?? uses.set(words, new Set()).get(words)!;
      for (const [option] of options.split('#')[0]!.matchAll(/--[a-z]+/g)) named.add(option);
    }
  }
  expect([...uses.keys()]).toEqual(expect.arrayContaining(['start', 'demo', 'migrate', 'doctor', 'user create', 'token create', 'integration apply', 'integration test', 'exchange list', 'exchange show']));
  for (const [words, options] of uses) {
    const parts = words.split(' ');
    const printed = await help(parts);
    expect(printed.split('\n')[0], words).toContain(`medscan ${words}`);
    for (const option of options) expect(printed, words).toContain(option);
  }
});

test('every npx medscan, bare too, names a command', async () => {
  const program = await help([]);
  for (const document of documents) {
    for (const [, word = ''] of text(document).matchAll(/npx medscan (?!-)(\w+)/g)) expect(program, document).toMatch(new RegExp(`^  ${word}\\b`, 'm'));
  }
});

test('the README lists every command', async () => {
  const listed = text('README.md');
  for (const [, word = ''] of (await help([])).matchAll(/^ {2}([a-z]+)\b/gm)) if (word !== 'help') expect(listed).toMatch(new RegExp(`\`medscan ${word}\\b`));
});

test('generated tables are up to date', async () => {
  for (const [file, wanted] of await generatedDocs()) expect(readFileSync(file, 'utf8'), `${path.relative(root, file)}: run npm run docs`).toBe(wanted);
});

test('every measured figure has a command that exists', () => {
  const section = /<!-- figures -->\n([\s\S]*?)<!-- \/figures -->/.exec(text('README.md'))?.[1] ?? '';
  const rows = section.trim().split('\n').slice(2);
  expect(rows.length).toBeGreaterThan(3);
  for (const row of rows) {
    const command = row.split('|').at(-2)?.trim() ?? '';
    expect(command, row).toMatch(/^`.+`$/);
    const file = /(?:vitest run|node) (\S+\.ts)/.exec(command)?.[1];
    const script = /npm (?:run )?([\w:-]+)/.exec(command)?.[1];
    expect(file === undefined ? script !== undefined && script in scripts : existsSync(path.join(root, file)), command).toBe(true);
  }
});

test('the integrations that documents show are accepted by their adapters', async () => {
  const adapters = await loadAdapters();
  const shown = documents.flatMap((document) => [...text(document).matchAll(/^( *)```yaml\n([\s\S]*?)^ *```/gm)].map(([, , yaml = '']) => yaml)).filter((yaml) => yaml.startsWith('organization:'));
  expect(shown.length).toBeGreaterThanOrEqual(4);
  for (const yaml of shown) {
    for (const integration of (parse(yaml) as { integrations: { adapter: string; settings: unknown }[] }).integrations) {
      const result = adapters.get(integration.adapter)!.configSchema.safeParse(integration.settings);
      expect(result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`), integration.adapter).toEqual([]);
    }
  }
});

test('the operator\'s guide names every kind of alert', () => {
  const kinds = new Set([...sources.matchAll(/raiseAlert\(\w+, \{ kind: '([a-z_]+)'/g)].map(([, kind]) => kind!));
  expect(kinds.size).toBeGreaterThan(3);
  for (const kind of kinds) expect(text('docs/operate.md')).toContain(`\`${kind}\``);
});

test('the audit guide names every event that is recorded, by its code', () => {
  const recorded = new Set([...sources.matchAll(/auditEvents\.(\w+)/g)].map(([, name]) => name!));
  for (const [name, { eventCode, eventName }] of Object.entries(auditEvents)) {
    expect(text('docs/audit.md').includes(`| ${eventName} | ${eventCode} |`), name).toBe(recorded.has(name));
  }
});

test('no document speaks of a route that does not exist', () => {
  const permissions = text('src/api/permissions.ts');
  for (const document of documents.filter((name) => !name.startsWith('adapters/'))) {
    for (const [, method = '', route = ''] of text(document).matchAll(/`(GET|POST|PUT|PATCH|DELETE) (?:\/api\/v1)?(\/(?!fhir|metadata)[\w/{}-]+)`/g)) {
      expect(permissions, `${document}: ${method} ${route}`).toContain(`'${method} ${route}'`);
    }
  }
});
