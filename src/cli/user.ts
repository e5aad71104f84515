import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { UniqueIntegrityConstraintViolationError } from 'slonik';
import { ensureOrganization, findOrganization } from '../db/organizations.ts';
import { maximumPasswordLength, minimumPasswordLength } from '../db/passwords.ts';
import type { Database } from '../db/pool.ts';
import { createUser } from '../db/users.ts';
import { CommandError } from './explain.ts';
import { withInstallation } from './with-installation.ts';

const roles = ['radiologist', 'physician', 'administrator', 'technician', 'nurse', 'integrator', 'service'];

export async function createUserCommand(options: { readonly email: string; readonly name?: string; readonly role: string; readonly organization?: string }): Promise<void> {
  checkRole(options.role);
  if (!/^[^\s@]+@[^\s@]+$/.test(options.email)) throw new CommandError(`--email is "${options.email}"; wanted: an address like someone@hospital.example`);
  const password = await readPassword();
  if (password.length < minimumPasswordLength || password.length > maximumPasswordLength) throw new CommandError(`A password has ${minimumPasswordLength} to ${maximumPasswordLength} characters.`);
  await withInstallation(async ({ database }) => {
    const organizationId = await organizationFor(database, options.organization);
    await createUser(database, organizationId, { email: options.email, displayName: options.name ?? options.email, role: options.role, password }, { kind: 'system', id: 'medscan user create' })
      .catch((error: unknown) => {
        if (error instanceof UniqueIntegrityConstraintViolationError) throw new CommandError(`There is a user ${options.email} already.`);
        throw error;
      });
  });
  console.log(`${options.email} can sign in now, as ${options.role}.`);
}

export function checkRole(role: string): void {
  if (!roles.includes(role)) throw new CommandError(`--role is "${role}"; wanted: one of ${roles.join(', ')}`);
}

async function organizationFor(database: Database, name: string | undefined): Promise<string> {
  if (name === undefined) return (await findOrganization(database)).organization_id;
  const { organizationId, created } = await ensureOrganization(database, { name });
  if (created) console.log(`Created the organization "${name}".`);
  return organizationId;
}

/** Typed unseen at a terminal; one line of standard input otherwise. */
async function readPassword(): Promise<string> {
  const terminal = process.stdin.isTTY;
  if (terminal) process.stderr.write('Password: ');
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: unseen, terminal });
  lines.on('SIGINT', () => process.exit(130));
  try {
    for await (const line of lines) return line;
    throw new CommandError('No password was given: type one, or pass it on standard input.');
  } finally {
    lines.close();
    if (terminal) process.stderr.write('\n');
  }
}
