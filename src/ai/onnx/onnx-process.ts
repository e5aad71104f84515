/** The parent's side of the ONNX process: starts it when needed, gives it one call at a time, ends it when a call runs over or is given up. */
import { fork, type ChildProcess } from 'node:child_process';
import { AiError, abortedError, orAborted, throwIfAborted } from '../ai-error.ts';
import type { AiLog } from '../analysis.ts';
import type { InferenceCall, Tensor } from '../tensor.ts';

export interface OnnxModelFile { readonly file: string; readonly checksum: string }
export interface OnnxRequest extends OnnxModelFile {
  readonly id: number; readonly threads: number;
  readonly inputs: readonly Tensor[]; readonly outputs: readonly string[];
}
export type OnnxAnswer =
  | { readonly id: number; readonly ok: true; readonly outputs: readonly Tensor[] }
  | { readonly id: number; readonly ok: false; readonly errorClass: 'model' | 'unavailable'; readonly text: string };

export class OnnxProcess {
  readonly #log: AiLog;
  readonly #threads: number;
  #child: ChildProcess | undefined;
  #calls = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(log: AiLog, threads: number) {
    this.#log = log;
    this.#threads = threads;
  }

  /** The process id while one runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Calls wait for each other: the time limit counts from the call's own start. */
  async infer(model: OnnxModelFile, call: InferenceCall): Promise<ReadonlyMap<string, Tensor>> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = before.then(() => promise);
    try {
      await orAborted(before, call.signal);
      throwIfAborted(call.signal);
      if (this.#closed) throw new AiError('unavailable', 'The AI runtime is closed.');
      return await this.#ask(model, call);
    } finally {
      resolve();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    child.kill('SIGKILL');
    await ended;
  }

  #start(): ChildProcess {
    // The environment is a short list: no credential of the gateway is of use to a model. TMPDIR etc. keep library defaults working.
    const environment = Object.fromEntries(['PATH', 'HOME', 'TMPDIR', 'TEMP', 'SystemRoot', 'LD_LIBRARY_PATH'].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
    const child = fork(new URL('./onnx-child.ts', import.meta.url), [], { env: { ...environment, ORT_DISABLE_TELEMETRY: '1' }, execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.unref();
    child.channel?.unref();
    child.once('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      if (!this.#closed) this.#log.warn({ exitCode: code, exitSignal: signal }, 'the ONNX process ended; the next call starts another');
    });
    this.#child = child;
    return child;
  }

  #ask(model: OnnxModelFile, call: InferenceCall): Promise<ReadonlyMap<string, Tensor>> {
    const child = this.#child ?? this.#start();
    const id = (this.#calls += 1);
    const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<string, Tensor>>();
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      call.signal.removeEventListener('abort', aborted);
      child.off('message', heard).off('exit', exited).off('error', exited);
      child.channel?.unref();
      finish();
    };
    const giveUp = (error: AiError): void => settle(() => {
      this.#child = undefined;
      child.kill('SIGKILL');
      reject(error);
    });
    const heard = (answer: OnnxAnswer): void => {
      if (answer.id !== id) return;
      settle(() => (answer.ok ? resolve(new Map(answer.outputs.map((tensor) => [tensor.name, tensor]))) : reject(new AiError(answer.errorClass, answer.text))));
    };
    const exited = (): void => settle(() => {
      if (this.#child === child) this.#child = undefined;
      reject(new AiError('unavailable', 'The ONNX process ended during the call.'));
    });
    const aborted = (): void => giveUp(abortedError());
    const timer = setTimeout(() => giveUp(new AiError('timeout', `The model took longer than ${call.timeoutMilliseconds} ms.`)), call.timeoutMilliseconds);
    call.signal.addEventListener('abort', aborted, { once: true });
    child.on('message', heard).once('exit', exited).once('error', exited);
    child.channel?.ref();
    const request: OnnxRequest = { id, ...model, threads: this.#threads, inputs: call.inputs, outputs: call.outputs };
    child.send(request, (error) => (error === null ? undefined : exited()));
    return promise;
  }
}
