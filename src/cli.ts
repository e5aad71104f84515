/** The `medscan` command. Each command is one file of src/cli/, loaded when it runs. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { explain } from './cli/explain.ts';
import { describeSettings } from './config.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

const program = new Command('medscan').version(version).description('Integration gateway between PACS, RIS, EMR and an AI platform.')
  .showHelpAfterError().addHelpText('after', () => `\nSettings (environment variables, all optional):\n${settingsHelp()}`);

program.command('start').description('run the gateway until it is interrupted').action(async () => (await import('./cli/start.ts')).start());
program.command('demo').description('run the whole line with a simulated hospital')
  .option('--exit', 'end when the report has been accepted by the EMR').option('--input <directory>', 'send the DICOM files of this directory instead of a synthetic study')
  .action(async (options: { exit?: true; input?: string }) => (await import('./cli/demo.ts')).demo(options));
program.command('migrate').description('bring the database to this version').option('--check', 'only say what is due; exit 1 when something is')
  .action(async (options: { check?: true }) => (await import('./cli/migrate.ts')).migrateCommand(options));
program.command('seed').description('add reference data and the sample hospital').action(async () => (await import('./cli/seed.ts')).seedCommand());
program.command('doctor').description('check database, keys, storage, ports and queues, and say what to do').option('--json', 'print the checks as JSON')
  .action(async (options: { json?: true }) => (await import('./cli/doctor.ts')).doctor(options));

program.command('user').description('people who sign in').command('create').description('create a user; the password is asked for, or read from standard input')
  .requiredOption('--email <address>').option('--name <name>', 'shown in reports and the audit log').option('--role <role>', 'what the user may do', 'administrator')
  .option('--organization <name>', 'created when it does not exist; may be left out when there is only one')
  .action(async (options: { email: string; name?: string; role: string; organization?: string }) => (await import('./cli/user.ts')).createUserCommand(options));
program.command('token').description('credentials for programs').command('create').description('print a new API token; it is shown only once')
  .requiredOption('--role <role>').option('--organization <name>', 'may be left out when there is only one').option('--name <name>', 'shown in the audit log', 'command line')
  .option('--days <number>', 'days until it expires; never when left out', positiveNumber)
  .action(async (options: { role: string; organization?: string; name: string; days?: number }) => (await import('./cli/token.ts')).createTokenCommand(options));

const integration = program.command('integration').description('connections to remote systems');
integration.command('list').option('--organization <name>').description('list integrations and their health')
  .action(async (options: { organization?: string }) => (await import('./cli/integration.ts')).listIntegrationsCommand(options));
integration.command('apply <file.yaml>').description('create or change the integrations that the file describes')
  .action(async (file: string) => (await import('./cli/integration.ts')).applyIntegrationsCommand(file));
integration.command('test <name>').option('--organization <name>').option('--store', 'send a synthetic object too (DICOM, DICOMweb)').description('try the connection; without --store it changes nothing on either side')
  .action(async (name: string, options: { organization?: string; store?: true }) => (await import('./cli/integration.ts')).testIntegrationCommand(name, options));

const patient = program.command('patient').description('who is who');
patient.command('merges <identifier>').option('--organization <name>').description('merges of the patients who have this identifier')
  .action(async (identifier: string, options: { organization?: string }) => (await import('./cli/patient.ts')).listMergesCommand(identifier, options));
patient.command('unmerge <merge-id>').option('--organization <name>').description('undo a merge: the two were two after all')
  .option('--later-scans <ids>', 'of the scans that came after the merge those of the earlier patient, with commas between them; or: none')
  .action(async (mergeId: string, options: { organization?: string; laterScans?: string }) => (await import('./cli/patient.ts')).unmergeCommand(mergeId, options));

program.command('conformance <standard> [integration]').option('--organization <name>', 'may be left out when there is only one').description('print the conformance statement of what is configured: dicom, hl7, or an adapter\'s name; of all its integrations or of one')
  .action(async (standard: string, integration: string | undefined, options: { organization?: string }) => (await import('./cli/conformance.ts')).conformanceCommand(standard, integration, options));

for (const [command, isPaused, does] of [['pause', true, 'answer "not now" to what it sends, and let its reports wait'], ['resume', false, 'take what it sends and deliver its reports again']] as const) {
  integration.command(`${command} <name>`).option('--organization <name>').option('--receive', 'only what it sends').option('--deliver', 'only the reports for it').description(does)
    .action(async (name: string, options: { organization?: string; receive?: true; deliver?: true }) => (await import('./cli/pause.ts')).pauseIntegrationCommand(name, isPaused, options));
}

program.command('reidentify <files...>').description('give DICOM files that came back from a model of others their identity again').option('--organization <name>', 'may be left out when there is only one').requiredOption('--output <directory>', 'where the files are written; none is overwritten')
  .action(async (files: string[], options: { organization?: string; output: string }) => (await import('./cli/reidentify.ts')).reidentifyCommand(files, options));

const exchange = program.command('exchange').description('messages received and sent');
exchange.command('list').option('--organization <name>').option('--limit <number>', 'how many', positiveNumber, 20).description('list the newest exchanges')
  .action(async (options: { organization?: string; limit: number }) => (await import('./cli/exchange.ts')).listExchangesCommand(options));
exchange.command('show <id>').option('--organization <name>').description('show one exchange, without its payload')
  .action(async (id: string, options: { organization?: string }) => (await import('./cli/exchange.ts')).showExchangeCommand(id, options));

const association = program.command('association').description('DICOM associations: who called, what was offered, how it ended');
association.command('list').option('--organization <name>').option('--limit <number>', 'how many', positiveNumber, 20).option('--refused', 'only those that were not released in good order').description('list the newest associations')
  .action(async (options: { organization?: string; limit: number; refused?: true }) => (await import('./cli/association.ts')).listAssociationsCommand(options));
association.command('show <id>').option('--organization <name>').description('show one association with everything that was offered')
  .action(async (id: string, options: { organization?: string }) => (await import('./cli/association.ts')).showAssociationCommand(id, options));
exchange.command('replay [id]').option('--organization <name>').option('--integration <name>').option('--interaction <type>', 'for example ADT^A08').option('--error <text>', 'part of the reason for the refusal')
  .option('--from <date>').option('--before <date>').option('--yes', 'do it; without, only count').description('receive refused messages again after what refused them was put right')
  .action(async (id: string | undefined, options: { organization?: string; integration?: string; interaction?: string; error?: string; from?: string; before?: string; yes?: true }) => (await import('./cli/replay.ts')).replayCommand(id, options));

const deadLetter = program.command('dead-letter').description('reports and order status messages that were refused, and jobs that failed for good');
deadLetter.command('list').option('--organization <name>').description('list what waits for a person')
  .action(async (options: { organization?: string }) => (await import('./cli/dead-letter.ts')).listDeadLettersCommand(options));
deadLetter.command('resend [id]').option('--organization <name>').option('--integration <name>', 'all that is parked for it').option('--all', 'all that is parked').description('send or try again')
  .action(async (id: string | undefined, options: { organization?: string; integration?: string; all?: true }) => (await import('./cli/dead-letter.ts')).resendDeadLettersCommand(id, options));
deadLetter.command('discard [id]').option('--organization <name>').option('--integration <name>', 'all parked order status messages for it').requiredOption('--reason <text>', 'kept in the audit log').description('give it up')
  .action(async (id: string | undefined, options: { organization?: string; integration?: string; reason: string }) => (await import('./cli/dead-letter.ts')).discardDeadLetterCommand(id, options));

const maintenance = program.command('maintenance').description('weekly and quarterly work: reviews, baselines of models, archives of the audit log');
maintenance.command('list').option('--organization <name>', 'may be left out when there is only one').description('what was done')
  .action(async (options: { organization?: string }) => (await import('./cli/maintenance.ts')).listMaintenanceCommand(options));
maintenance.command('run <task>').option('--organization <name>', 'may be left out when there is only one').option('--before <date>', 'the last whole week or quarter before this day; today when left out').description('do it now: weekly-review, model-baselines or audit-archive')
  .action(async (task: string, options: { organization?: string; before?: string }) => (await import('./cli/maintenance.ts')).runMaintenanceCommand(task, options));
maintenance.command('show <task>').option('--organization <name>', 'may be left out when there is only one').option('--before <date>', 'of the last whole week or quarter before this day; the newest there is when left out').description('the figures, beside those of the time before')
  .action(async (task: string, options: { organization?: string; before?: string }) => (await import('./cli/maintenance.ts')).showMaintenanceCommand(task, options));
maintenance.command('verify-archive <files...>').option('--public-key <base64>', 'of the installation that wrote them; this one when left out').description('check archives of the audit log, in their order')
  .action(async (files: string[], options: { publicKey?: string }) => (await import('./cli/maintenance.ts')).verifyArchiveCommand(files, options));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

function settingsHelp(): string {
  return describeSettings().map(({ variable, wanted, fallback }) => `  ${variable.padEnd(28)} ${wanted}${fallback === undefined ? '' : ` (default ${fallback})`}`).join('\n');
}

function positiveNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('Wanted: a whole number above 0.');
  return number;
}
