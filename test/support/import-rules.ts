/** Who may import whom (docs: architecture), as data and a check over source texts. */
import path from 'node:path';

/**
 * Each part of the product and the parts below it that it may use. Read from the bottom: a part can only name parts that stand further down,
 * so there are no cycles between parts. `rows` is src/db and src/audit: an audit row is written where the row it tells of is written.
 * `api` is src/api and src/web: one HTTP surface, for programs and for people.
 */
export const parts = {
  main: ['cli', 'simulator', 'api', 'pipeline', 'gateway', 'queue', 'rows', 'storage', 'ai', 'mapping', 'standards', 'contract', 'domain'],
  cli: ['main', 'simulator', 'api', 'pipeline', 'gateway', 'queue', 'rows', 'storage', 'ai', 'mapping', 'standards', 'contract', 'domain'],
  simulator: ['main', 'cli', 'pipeline', 'gateway', 'queue', 'rows', 'storage', 'ai', 'standards', 'contract', 'domain'],
  api: ['pipeline', 'gateway', 'rows', 'contract', 'domain'],
  pipeline: ['gateway', 'mapping', 'queue', 'rows', 'storage', 'ai', 'standards', 'contract', 'domain'],
  gateway: ['rows', 'storage', 'mapping', 'standards', 'contract', 'domain'],
  adapters: ['mapping', 'standards', 'contract', 'domain'],
  queue: ['domain'],
  rows: ['domain'],
  storage: ['domain'],
  ai: ['standards', 'domain'],
  mapping: ['standards', 'contract', 'domain'],
  standards: ['domain'],
  contract: ['domain'],
  domain: [],
} as const satisfies Record<string, readonly string[]>;
export type Part = keyof typeof parts;

/** The words of the contract are types that every part may speak in. */
const typesForAll: readonly Part[] = ['contract'];
/** Leaves: they import nothing of the product and may be used anywhere in src. */
const leaves = ['src/failpoint.ts', 'src/log.ts', 'src/config.ts', 'src/metrics.ts'];
const leavesForAdapters = ['src/failpoint.ts'];
/** Libraries that belong to certain parts. */
const libraries: Readonly<Record<string, readonly Part[]>> = {
  pg: ['rows', 'queue', 'cli'], slonik: ['rows', 'api', 'cli'], 'pg-boss': ['queue', 'pipeline', 'main'],
  hono: ['api', 'main'], '@hono/zod-openapi': ['api', 'main'], '@hono/node-server': ['api', 'main'], commander: ['cli', 'main'],
};

export interface Import { readonly from: string; readonly to: string; readonly typeOnly: boolean; readonly dynamic: boolean }
export type Sources = ReadonlyMap<string, string>;

/** One sentence per import that is not allowed. Paths are relative to the repository and have forward slashes. */
export function importViolations(sources: Sources): string[] {
  return [...sources].flatMap(([file, text]) => importsOf(file, text).map(violation).filter((sentence) => sentence !== undefined));
}

/** Circles of run-time imports that leave their folder and come back, as 'a -> b -> a'. Files of one folder may lean on each other. */
export function importCycles(sources: Sources): string[] {
  const graph = new Map([...sources].map(([file, text]) => [file, importsOf(file, text).filter(({ typeOnly, dynamic }) => !typeOnly && !dynamic).map(({ to }) => to)]));
  const crossing = [...graph].flatMap(([from, targets]) => targets.filter((to) => folderOf(to) !== folderOf(from)).map((to) => ({ from, to })));
  const circles = crossing.map(({ from, to }) => wayBetween(graph, to, from)).filter((way) => way !== undefined);
  return [...new Map(circles.map((way) => [way.toSorted().join(), [way.at(-1), ...way].join(' -> ')])).values()];
}

/** The shortest way by imports, both ends included. */
function wayBetween(graph: ReadonlyMap<string, readonly string[]>, start: string, end: string): string[] | undefined {
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  for (const file of cameFrom.keys()) {
    if (file === end) {
      const way = [];
      for (let at: string | undefined = file; at !== undefined; at = cameFrom.get(at)) way.unshift(at);
      return way;
    }
    for (const next of graph.get(file) ?? []) if (!cameFrom.has(next)) cameFrom.set(next, file);
  }
  return undefined;
}

const importStatement = /^[ \t]*(?:import|export)(?<type>\s+type\b)?\b(?<clause>[^'"`;]*?)\bfrom\s*['"](?<source>[^'"]+)['"]|^[ \t]*import\s*['"](?<bare>[^'"]+)['"]|\bimport\s*\(\s*['"`](?<dynamic>[^'"`]+)['"`]|\brequire\s*\(\s*['"](?<required>[^'"]+)['"]/gm;

export function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(importStatement)].map(({ groups = {} }) => {
    const { type, clause = '', source, bare, dynamic, required } = groups;
    const named = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]?.split(',').map((name) => name.trim()).filter(Boolean);
    const typeOnly = type !== undefined || (named?.length ? named.every((name) => name.startsWith('type ')) : false);
    return { from: file, to: resolve(file, source ?? bare ?? dynamic ?? required ?? ''), typeOnly, dynamic: dynamic !== undefined };
  });
}

function violation({ from, to, typeOnly }: Import): string | undefined {
  const part = partOf(from);
  if (part === undefined || to.startsWith('node:')) return undefined;
  const owners = libraries[packageName(to)];
  if (!to.includes('.ts')) return owners && !owners.includes(part) ? `${from} imports ${to}, a library of ${owners.join(', ')}` : undefined;
  if (leaves.includes(from)) return `${from} imports ${to}, but it is a leaf`;
  if (leaves.includes(to)) return part !== 'adapters' || leavesForAdapters.includes(to) ? undefined : `${from} imports ${to}: an adapter gets its log and settings from the gateway`;
  const target = partOf(to);
  if (target === undefined) return `${from} imports ${to}, which is no part of the product`;
  if (target === 'adapters') return folderOf(from) === folderOf(to) ? undefined : `${from} imports ${to}: an adapter is reached through the registry only`;
  if (target === part || (parts[part] as readonly Part[]).includes(target)) return undefined;
  if (typeOnly && typesForAll.includes(target)) return undefined;
  return `${from} (${part}) imports ${to} (${target}); ${part} may use ${parts[part].join(', ') || 'nothing'}`;
}

/** Undefined for what is not part of the running product: tests, benchmarks, scripts. */
export function partOf(file: string): Part | undefined {
  if (isTest(file)) return undefined;
  if (['adapter', 'associations', 'arrivals', 'normalized', 'holdings', 'images', 'records', 'commitments', 'procedures', 'queries', 'source-settings', 'subscriptions', 'exports', 'pulls'].some((name) => file === `src/gateway/${name}.ts`)) return 'contract';
  const [top, folder, ...rest] = file.split('/');
  if (top === 'adapters') return 'adapters';
  if (top !== 'src' || !folder) return undefined;
  if (rest.length === 0) return 'main';
  if (folder === 'db' || folder === 'audit') return 'rows';
  if (folder === 'web') return 'api';
  return folder in parts ? folder as Part : undefined;
}

export function isTest(file: string): boolean {
  return /\.(test|remote|slow)\.ts$|\/(test|testing|testcases)\//.test(file);
}

function resolve(file: string, source: string): string {
  const alias = /^#(gateway|standards|domain|mapping|adapters|src)\/(.*)$/.exec(source);
  if (alias) return path.posix.normalize(alias[1] === 'src' ? `src/${alias[2]}` : alias[1] === 'adapters' ? `adapters/${alias[2]}` : `src/${alias[1]}/${alias[2]}`);
  return source.startsWith('.') ? path.posix.join(path.posix.dirname(file), source) : source;
}

function folderOf(file: string): string {
  return file.split('/').slice(0, 2).join('/');
}

function packageName(source: string): string {
  return source.split('/').slice(0, source.startsWith('@') ? 2 : 1).join('/');
}
