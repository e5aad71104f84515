/**
 * Settings from the environment. All are optional; every problem is reported at once, with the variable, what was given (secrets
 * excepted) and what is wanted.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

export const roles = ['gateway', 'worker', 'api'] as const;
export type Role = (typeof roles)[number];

export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The settings have ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const port = z.string().regex(/^\d{1,5}$/).transform(Number).refine((value) => value <= 65_535);
const portOrOff = z.union([z.literal('off').transform(() => undefined), port]);
const seconds = z.string().regex(/^\d+(\.\d+)?$/).transform(Number);
const count = (least: number, most: number) => z.string().regex(/^\d{1,10}$/).transform(Number).refine((value) => value >= least && value <= most);
const file = z.string().min(1).transform((value) => path.resolve(value));
const key = z.string().transform(decodeKey).refine((value) => value?.length === 32).transform((value) => value as Buffer);

/** One row per variable: its name, schema, what is wanted in words, and its default. `secret` values are never repeated in messages. */
const settings = {
  databaseUrl: setting('DATABASE_URL', z.string().refine(isPostgresUrl), 'a URL like postgres://user:password@host:5432/database', undefined, 'secret'),
  databasePoolSize: setting('MEDSCAN_DATABASE_POOL_SIZE', z.string().regex(/^\d{1,3}$/).transform(Number).refine((value) => value >= 2), 'a number of connections, 2 to 999', '20'),
  home: setting('MEDSCAN_HOME', z.string().min(1).transform((value) => path.resolve(value)), 'a directory', './data'),
  folders: setting('MEDSCAN_FOLDERS', file, 'a directory that exists, below which integrations name folders to exchange files in', undefined),
  bind: setting('MEDSCAN_BIND', z.string().regex(/^[\w.:-]+$/), 'an address to listen on, for example 127.0.0.1 or 0.0.0.0', '127.0.0.1'),
  httpPort: setting('MEDSCAN_HTTP_PORT', portOrOff, 'a port, 0 (any free one) to 65535, or off', '8080'),
  dicomPort: setting('MEDSCAN_DICOM_PORT', portOrOff, 'a port, 0 (any free one) to 65535, or off', '11112'),
  hl7Port: setting('MEDSCAN_HL7_PORT', portOrOff, 'a port, 0 (any free one) to 65535, or off', '2575'),
  httpsPort: setting('MEDSCAN_HTTPS_PORT', port, 'a port for HTTPS beside HTTP; needs MEDSCAN_TLS_CERT_FILE', undefined),
  dicomTlsPort: setting('MEDSCAN_DICOM_TLS_PORT', port, 'a port for DICOM over TLS (2762 is the registered one); needs MEDSCAN_TLS_CERT_FILE', undefined),
  hl7TlsPort: setting('MEDSCAN_HL7_TLS_PORT', port, 'a port for HL7 over TLS; needs MEDSCAN_TLS_CERT_FILE', undefined),
  tlsCertificateFile: setting('MEDSCAN_TLS_CERT_FILE', file, 'a PEM file with the certificate of the gateway and those between it and its CA', undefined),
  tlsKeyFile: setting('MEDSCAN_TLS_KEY_FILE', file, 'a PEM file with the private key of that certificate', undefined),
  tlsClientCaFile: setting('MEDSCAN_TLS_CLIENT_CA_FILE', file, 'a PEM file with the CAs of client certificates; when set, DICOM and HL7 over TLS demand one', undefined),
  insecure: setting('MEDSCAN_INSECURE', z.enum(['true', 'false']).transform((text) => text === 'true'), 'true to take DICOM and HL7 without TLS from other machines, or false', 'false'),
  roles: setting('MEDSCAN_ROLES', z.string().transform((text) => text.split(',').map((role) => role.trim())).pipe(z.array(z.enum(roles)).min(1)), 'one or more of gateway,worker,api', roles.join(',')),
  logLevel: setting('MEDSCAN_LOG_LEVEL', z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']), 'trace, debug, info, warn, error, fatal or silent', 'info'),
  encryptionKey: setting('MEDSCAN_ENCRYPTION_KEY', key, '32 bytes as 64 hexadecimal digits or as base64, for example from: openssl rand -hex 32', undefined, 'secret'),
  quietSeconds: setting('MEDSCAN_QUIET_SECONDS', seconds, 'seconds without a new image after which a study counts as complete', '30'),
  retrySeconds: setting('MEDSCAN_RETRY_SECONDS', seconds, 'seconds until a delivery that failed is tried again; doubled with every failure, up to 600', '2'),
  dicomAssociations: setting('MEDSCAN_DICOM_ASSOCIATIONS', count(1, 10_000), 'DICOM associations open at once, 1 to 10000', '100'),
  dicomAssociationsPerAddress: setting('MEDSCAN_DICOM_ASSOCIATIONS_PER_ADDRESS', count(1, 10_000), 'of them from one address, 1 to 10000', '20'),
  dicomAssociationsPerAe: setting('MEDSCAN_DICOM_ASSOCIATIONS_PER_AE', count(1, 10_000), 'of them by one calling AE title, 1 to 10000', '20'),
  dicomPduBytes: setting('MEDSCAN_DICOM_PDU_BYTES', count(4_096, 16_777_216), 'largest DICOM PDU that is asked for, 4096 to 16777216 bytes', '1048576'),
  dicomArtimSeconds: setting('MEDSCAN_DICOM_ARTIM_SECONDS', seconds.refine((value) => value > 0), 'seconds from a connection to its complete A-ASSOCIATE-RQ', '10'),
  dicomIdleSeconds: setting('MEDSCAN_DICOM_IDLE_SECONDS', seconds.refine((value) => value > 0), 'seconds in which next to no bytes move until an association is aborted', '60'),
  storageReserveMegabytes: setting('MEDSCAN_STORAGE_RESERVE_MEGABYTES', count(1, 1_000_000_000), 'MiB that stay free on the disk of MEDSCAN_HOME: with less no new image is taken', '512'),
  queueLimit: setting('MEDSCAN_QUEUE_LIMIT', count(1, 100_000_000), 'jobs that may wait before senders of images are told to come back later', '100000'),
  stopSeconds: setting('MEDSCAN_STOP_SECONDS', seconds, 'seconds that running exchanges get to finish when the gateway stops', '10'),
} as const;

export type Config = Readonly<{ [Name in keyof typeof settings]: z.output<(typeof settings)[Name]['schema']> | ((typeof settings)[Name]['fallback'] extends undefined ? undefined : never) }>;

/** Throws ConfigError with all problems. An empty variable counts as not set. */
export function loadConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const problems: string[] = [];
  const given = withKeyFile(environment, problems);
  const entries = Object.entries(settings).map(([name, { variable, schema, wanted, fallback, secret }]) => {
    const text = given[variable] || fallback;
    if (text === undefined) return [name, undefined];
    const result = schema.safeParse(text);
    if (!result.success) problems.push(`${variable} is ${secret ? '(hidden)' : JSON.stringify(text)}; wanted: ${wanted}`);
    return [name, result.data];
  });
  const config = Object.fromEntries(entries) as Config;
  if (problems.length === 0) problems.push(...listenerProblems(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** What single settings cannot tell: a TLS port without certificate, and patient data in the clear on the network by oversight. */
function listenerProblems({ bind, insecure, roles: own, dicomPort, hl7Port, ...config }: Config): string[] {
  const tlsPorts = { MEDSCAN_HTTPS_PORT: config.httpsPort, MEDSCAN_DICOM_TLS_PORT: config.dicomTlsPort, MEDSCAN_HL7_TLS_PORT: config.hl7TlsPort };
  const needed = Object.entries(tlsPorts).filter(([, value]) => value !== undefined).map(([variable]) => variable);
  const problems: string[] = [];
  if (needed.length > 0 && (!config.tlsCertificateFile || !config.tlsKeyFile)) problems.push(`${needed.join(', ')}: TLS needs a certificate and its key; wanted: MEDSCAN_TLS_CERT_FILE and MEDSCAN_TLS_KEY_FILE`);
  const plain = own.includes('gateway') ? [...(dicomPort === undefined ? [] : ['MEDSCAN_DICOM_PORT']), ...(hl7Port === undefined ? [] : ['MEDSCAN_HL7_PORT'])] : [];
  if (plain.length > 0 && !insecure && !isLoopback(bind)) {
    problems.push(`MEDSCAN_BIND is ${JSON.stringify(bind)}: other machines could send patient data unencrypted and without login; `
      + `wanted: ${plain.map((variable) => `${variable}=off`).join(' and ')} and the ports MEDSCAN_DICOM_TLS_PORT and MEDSCAN_HL7_TLS_PORT, or MEDSCAN_INSECURE=true where the network itself is trusted`);
  }
  return problems;
}

const isLoopback = (address: string): boolean => address === 'localhost' || address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address);

/** For help and documentation: one line per variable. */
export function describeSettings(): { variable: string; wanted: string; fallback: string | undefined }[] {
  return Object.values(settings).map(({ variable, wanted, fallback }) => ({ variable, wanted, fallback }));
}

function setting<Schema extends z.ZodType, Fallback extends string | undefined>(variable: string, schema: Schema, wanted: string, fallback: Fallback, secret?: 'secret') {
  return { variable, schema, wanted, fallback, secret };
}

function withKeyFile(environment: Readonly<Record<string, string | undefined>>, problems: string[]): Readonly<Record<string, string | undefined>> {
  const file = environment['MEDSCAN_ENCRYPTION_KEY_FILE'];
  if (!file) return environment;
  if (environment['MEDSCAN_ENCRYPTION_KEY']) problems.push('MEDSCAN_ENCRYPTION_KEY and MEDSCAN_ENCRYPTION_KEY_FILE are both set; wanted: one of them');
  try {
    return { ...environment, MEDSCAN_ENCRYPTION_KEY: readFileSync(file, 'utf8').trim() };
  } catch (error) {
    problems.push(`MEDSCAN_ENCRYPTION_KEY_FILE is ${JSON.stringify(file)}, which cannot be read (${(error as NodeJS.ErrnoException).code}); wanted: a file with the key`);
    return environment;
  }
}

function decodeKey(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

function isPostgresUrl(text: string): boolean {
  return URL.canParse(text) && /^postgres(ql)?:$/.test(new URL(text).protocol) && new URL(text).pathname.length > 1;
}
