/** What the parts of the demo share: the running systems, the screen, and the wish to stop. */
import type { RunningGateway } from '../main.ts';
import type { SeededHospital } from '../db/seed.ts';
import type { DemoScreen } from './demo-screen.ts';
import type { Hospital } from './hospital.ts';

export interface Run {
  readonly screen: DemoScreen; readonly gateway: RunningGateway; readonly hospital: Hospital; readonly seeded: SeededHospital;
  readonly interrupted: Interruption; readonly startedAt: Date; readonly deadline: number;
}

/** A step did not come about; the message is the reason to show. */
export class DemoError extends Error {
  readonly step: string;
  constructor(step: string, reason: string) {
    super(reason);
    this.step = step;
  }
}

export interface Interruption { readonly promise: Promise<void>; happened(): boolean; release(): void }

/** Ctrl-C, a termination, or the caller's signal. */
export function interruption(signal: AbortSignal | undefined): Interruption {
  const { promise, resolve } = Promise.withResolvers<void>();
  let happened = false;
  const interrupt = (): void => { happened = true; resolve(); };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  signal?.addEventListener('abort', interrupt, { once: true });
  return {
    promise, happened: () => happened,
    release: () => { process.off('SIGINT', interrupt).off('SIGTERM', interrupt); signal?.removeEventListener('abort', interrupt); },
  };
}
