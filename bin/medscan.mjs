#!/usr/bin/env node
// The `medscan` command. Runs src/cli.ts with a Node that runs TypeScript (24 or newer): this one when it is, else the one that
// `npm ci` installed. Plain JavaScript, because an older Node must be able to read it.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

// File syncs wait in libuv's thread pool, one per object being received: four would be a queue. Read when the pool is first used.
process.env.UV_THREADPOOL_SIZE ??= '16';

const oldest = 24;
const packageRoot = path.dirname(path.dirname(realpathSync(fileURLToPath(import.meta.url))));
const cli = path.join(packageRoot, 'src', 'cli.ts');

if (majorOf(process.version) >= oldest) {
  process.argv[1] = cli;
  await import(pathToFileURL(cli).href);
} else {
  const node = findNode();
  if (node) run(node);
  else {
    console.error(`medscan needs Node ${oldest} or newer; this is ${process.version}, and no other was found in ${path.join(packageRoot, 'node_modules')}.`);
    console.error(`Run "npm ci" in ${packageRoot} (it installs one for Linux and macOS on ARM), or install Node ${oldest} or newer.`);
    process.exit(1);
  }
}

function findNode() {
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  for (let directory = packageRoot; ; directory = path.dirname(directory)) {
    const modules = path.join(directory, 'node_modules');
    for (const candidate of [path.join(modules, '.bin', 'node'), ...names.map((name) => path.join(modules, name, 'bin', 'node'))]) {
      if (!existsSync(candidate)) continue;
      const { stdout, status } = spawnSync(candidate, ['--version'], { encoding: 'utf8' });
      if (status === 0 && majorOf(stdout) >= oldest) return candidate;
    }
    if (path.dirname(directory) === directory) return undefined;
  }
}

function run(node) {
  const child = spawn(node, [cli, ...process.argv.slice(2)], { stdio: 'inherit' });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  // An interrupt typed at a terminal reaches the child by itself; twice would mean "do not wait".
  process.on('SIGINT', () => { if (!process.stdin.isTTY) child.kill('SIGINT'); });
  child.on('error', (error) => {
    console.error(`medscan could not start ${node}: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 + os.constants.signals[signal] : code));
}

function majorOf(version) {
  return Number(/^v(\d+)/.exec(version)?.[1] ?? 0);
}
