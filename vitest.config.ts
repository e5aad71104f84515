import { defineConfig } from 'vitest/config';

/** Finds what hangs. How long work takes is judged where it matters, by the tests themselves; beside other programs anything may take its time. */
const HANGS_MILLISECONDS = 120_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'adapters/**/*.test.ts', 'src/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: HANGS_MILLISECONDS,
    hookTimeout: HANGS_MILLISECONDS,
    teardownTimeout: HANGS_MILLISECONDS,
    expect: { poll: { timeout: 20_000 } },
    maxWorkers: 2,
    pool: 'forks',
    reporters: process.env['CI'] ? ['default'] : ['default'],
  },
});
