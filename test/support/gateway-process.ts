/** The gateway as its users run it: a process of its own, on a test database, that can be killed at a failpoint. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import path from 'node:path';

export interface GatewayProcess {
  readonly ports: { readonly dicom: number; readonly hl7: number; readonly http: number };
  readonly child: ChildProcess;
  /** Resolves with the signal or exit code when the process has ended. */
  readonly ended: Promise<string>;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<string>;
}

const root = path.join(import.meta.dirname, '../..');

/** Starts `medscan start` on free ports. Rejects with its last log lines when it ends before it is ready. */
export async function startGatewayProcess(environment: Readonly<Record<string, string>>): Promise<GatewayProcess> {
  const child = spawn(process.execPath, [path.join(root, 'src/cli.ts'), 'start'], {
    cwd: root, stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: '0', MEDSCAN_HL7_PORT: '0', MEDSCAN_LOG_LEVEL: 'info', ...environment },
  });
  const tail: string[] = [];
  const ended = new Promise<string>((resolve) => { child.once('exit', (code, signal) => resolve(signal ?? String(code))); });
  const ports = await new Promise<GatewayProcess['ports']>((resolve, reject) => {
    const read = (line: string): void => {
      tail.push(line);
      if (tail.length > 20) tail.shift();
      const ready = /"ports":(\{[^}]*\}).*the gateway is ready/.exec(line);
      if (ready) resolve(JSON.parse(ready[1]!) as GatewayProcess['ports']);
    };
    createInterface({ input: child.stdout! }).on('line', read);
    createInterface({ input: child.stderr! }).on('line', read);
    void ended.then((how) => reject(new Error(`the gateway ended (${how}) before it was ready:\n${tail.join('\n')}`)));
  });
  return { ports, child, ended, stop: () => { child.kill('SIGTERM'); return ended; } };
}
