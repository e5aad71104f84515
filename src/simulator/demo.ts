/**
 * `medscan demo`: the whole line with a simulated hospital on this machine.
 *
 *   gateway starts -> hospital starts -> ADT^A04, ORM^O01, C-STORE -> received, linked, complete, analysed, report -> PACS, RIS, EMR
 *
 * What is shown is read from the database; that the EMR has the DiagnosticReport is asked of the EMR.
 */
import { explain } from '../cli/explain.ts';
import type { Config } from '../config.ts';
import { seedSampleHospital } from '../db/seed.ts';
import { openInstallation } from '../installation.ts';
import { createLog } from '../log.ts';
import { startGateway } from '../main.ts';
import type { RunningGateway } from '../main.ts';
import { readInput } from './demo-input.ts';
import { DemoError, interruption } from './demo-run.ts';
import type { Run } from './demo-run.ts';
import { DemoScreen } from './demo-screen.ts';
import type { Output } from './demo-screen.ts';
import { sendOwnStudies, sendSyntheticStudy } from './demo-studies.ts';
import { visitAsPerson } from './demo-visit.ts';
import { startHospital } from './hospital.ts';

export interface DemoOptions {
  /** Stop once the EMR has accepted the report; otherwise everything keeps running until `signal` or Ctrl-C. */
  readonly exit: boolean;
  /** Send the DICOM files of this directory instead of the synthetic study. */
  readonly input?: string | undefined;
  readonly output?: Output;
  readonly signal?: AbortSignal;
  /** For the whole way of one study. */
  readonly timeoutMilliseconds?: number;
}

const quietSeconds = 3;

/** Resolves with the exit code: 0 when the EMR has accepted the DiagnosticReport of every study. Everything is stopped then. */
export async function runDemo(config: Config, options: DemoOptions): Promise<number> {
  const screen = new DemoScreen(options.output ?? process.stdout);
  const interrupted = interruption(options.signal);
  const closing: (() => Promise<void>)[] = [];
  try {
    screen.heading('MedScan Gateway: from a C-STORE to a DiagnosticReport');
    const input = options.input === undefined ? undefined : await readInput(options.input);
    const gateway = await startDemoGateway(config, screen);
    closing.push(() => gateway.stop());
    const hospital = await startHospital({ gateway: { host: '127.0.0.1', ...portsOf(gateway) } });
    closing.push(() => hospital.stop());
    const { pacs, ris, emr } = hospital;
    const seeded = await seedSampleHospital(gateway.installation.database, gateway.installation.keys, { pacs: pacs.port, ris: ris.port, emr: emr.port });
    await gateway.integrations.reload();
    screen.done('hospital is up', `PACS ${pacs.aeTitle} ${pacs.port}, RIS ${ris.port}, EMR ${emr.baseUrl}`);
    if (input !== undefined && input.skipped > 0) screen.note(`${input.skipped} files are not DICOM files and are left out`);

    const run: Run = { screen, gateway, hospital, seeded, interrupted, startedAt: new Date(), deadline: Date.now() + (options.timeoutMilliseconds ?? 180_000) };
    if (input === undefined) await sendSyntheticStudy(run);
    else await sendOwnStudies(run, input.studies);
    await letAPersonLook(run);
    whereToLook(run);
    if (!options.exit) {
      screen.text('\nEverything keeps running. Ctrl-C stops it.');
      await interrupted.promise;
    }
    return 0;
  } catch (error) {
    if (interrupted.happened()) return 130;
    screen.failed(error instanceof DemoError ? error.step : 'demo', explain(error instanceof DemoError ? new Error(error.message) : error));
    return 1;
  } finally {
    interrupted.release();
    for (const close of closing.toReversed()) await close().catch(() => undefined);
  }
}

/** Only warnings are logged, to standard error; a short quiet time unless the environment asks for another. */
async function startDemoGateway(config: Config, screen: DemoScreen): Promise<RunningGateway> {
  screen.waiting('gateway starts', 'PostgreSQL, migrations, listeners');
  const demoConfig: Config = { ...config, quietSeconds: process.env['MEDSCAN_QUIET_SECONDS'] ? config.quietSeconds : quietSeconds };
  const logLevel = config.logLevel === 'info' ? 'warn' : config.logLevel;
  const installation = await openInstallation(demoConfig, createLog({ logLevel }, process.stderr));
  screen.done('database is up', installation.embedded === undefined ? 'the one of DATABASE_URL' : `embedded PostgreSQL under ${config.home}`);
  const gateway = await startGateway(demoConfig, { installation }).catch((error: NodeJS.ErrnoException & { port?: number }) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new DemoError('gateway starts', `port ${error.port} is in use. Set MEDSCAN_DICOM_PORT, MEDSCAN_HL7_PORT or MEDSCAN_HTTP_PORT to another; 0 takes any free one.`);
  });
  const { dicom, hl7, http } = gateway.ports;
  screen.done('gateway is up', `DIMSE ${dicom} (AE title MEDSCAN), MLLP ${hl7}, HTTP ${http}`);
  return gateway;
}

function portsOf({ ports }: RunningGateway): { dicomPort: number; hl7Port: number } {
  if (ports.dicom === undefined || ports.hl7 === undefined) throw new Error('The demo needs all roles in one process: leave MEDSCAN_ROLES out.');
  return { dicomPort: ports.dicom, hl7Port: ports.hl7 };
}

/** Not what the demo's exit code says: a failure is shown and the rest stands. */
async function letAPersonLook({ screen, gateway, seeded }: Run): Promise<void> {
  if (gateway.ports.http === undefined || seeded.adminPassword === undefined) return;
  try {
    const { criticalFindings } = await visitAsPerson(`http://127.0.0.1:${gateway.ports.http}`, { email: seeded.adminEmail, password: seeded.adminPassword });
    screen.done('a person signs in', `${criticalFindings} critical ${criticalFindings === 1 ? 'finding waits' : 'findings wait'} for review (API, audited)`);
  } catch (error) {
    screen.failed('a person signs in', explain(error));
  }
}

function whereToLook({ screen, gateway, seeded }: Run): void {
  const base = `http://127.0.0.1:${gateway.ports.http}`;
  screen.heading('Where to look');
  if (gateway.ports.http !== undefined) screen.text(`  status page   ${base}/\n  API           ${base}/api/docs`);
  screen.text(`  sign in       ${seeded.adminEmail}, ${seeded.adminPassword === undefined ? 'with the password that you have set' : `password ${seeded.adminPassword}`}`);
  screen.text('  exchanges     npx medscan exchange list');
}
