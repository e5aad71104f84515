/** What the demo prints: one line per step with the time since the start, and on a terminal a line below that shows what is awaited. */
import { performance } from 'node:perf_hooks';

export interface Output { write(text: string): unknown; readonly isTTY?: boolean }

export class DemoScreen {
  readonly #output: Output;
  readonly #isTerminal: boolean;
  readonly #started = performance.now();
  #hasStatus = false;

  constructor(output: Output) {
    this.#output = output;
    this.#isTerminal = output.isTTY === true && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb';
  }

  heading(text: string): void { this.#line(`\n${this.#styled('1', text)}`); }
  text(text: string): void { this.#line(text); }

  /** A step that is done. */
  done(step: string, detail: string): void { this.#line(`${this.#time()}  ${this.#styled('32', 'ok')}    ${step.padEnd(26)} ${detail}`); }
  /** Something to know that is no step. */
  note(detail: string): void { this.#line(`${' '.repeat(44)}${detail}`); }
  failed(step: string, reason: string): void { this.#line(`${this.#time()}  ${this.#styled('31', 'FAILED')} ${step.padEnd(25)} ${reason}`); }

  /** Shown on a terminal until the next line; nothing elsewhere. */
  waiting(step: string, detail: string): void {
    if (!this.#isTerminal) return;
    this.#clear();
    this.#output.write(`${this.#time()}  ...   ${step.padEnd(26)} ${detail}`.slice(0, 118));
    this.#hasStatus = true;
  }
  progress(step: string, done: number, total: number): void {
    const filled = Math.round((20 * done) / Math.max(1, total));
    this.waiting(step, `${'#'.repeat(filled)}${'.'.repeat(20 - filled)} ${done}/${total}`);
  }

  #line(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
  }
  #clear(): void {
    if (this.#hasStatus) this.#output.write('\r\u001b[K');
    this.#hasStatus = false;
  }
  #time(): string { return `${((performance.now() - this.#started) / 1000).toFixed(1).padStart(6)} s`; }
  #styled(code: string, text: string): string { return this.#isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text; }
}
