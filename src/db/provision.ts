/**
 * Gives the application its own database role. Rights are granted to the group medscan_app (by the migrations); each installation
 * logs in as a member of it whose name and password are derived from the installation's key. So every node with the key logs in
 * without being told, and two installations in one PostgreSQL cluster do not disturb each other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Keys } from './secrets.ts';

export class ProvisionError extends Error {
  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'ProvisionError';
  }
}

interface OwnRole { readonly name: string; readonly bypassesRowSecurity: boolean; readonly mayCreateRoles: boolean }

/**
 * Run before the migrations. Returns the URL that the application connects with: a role that owns nothing and is subject to row level
 * security. When the role of `ownerUrl` cannot create roles but is itself subject to row level security (FORCE holds for owners too), it is used
 * directly; when neither is possible, throws with the statements from which the database's administrator has to choose.
 */
export async function provision(ownerUrl: string, keys: Keys): Promise<{ appUrl: string }> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'medscan provision' });
  client.on('error', () => undefined); // reported by the query that was running
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock(hashtext('medscan.provision'))");
    const own = await ownRole(client);
    if (!own.mayCreateRoles && own.bypassesRowSecurity) throw new ProvisionError(explain(own.name));
    if (!own.mayCreateRoles) return { appUrl: ownerUrl };
    const appUrl = await createRoles(client, ownerUrl, keys).catch((error: unknown) => {
      throw new ProvisionError(`${explain(own.name)} (${(error as Error).message})`, { cause: error });
    });
    return { appUrl };
  } finally {
    await client.end();
  }
}

async function ownRole(client: pg.Client): Promise<OwnRole> {
  const { rows: [role] } = await client.query<OwnRole>(`SELECT rolname AS name, rolsuper OR rolbypassrls AS "bypassesRowSecurity",
    rolsuper OR rolcreaterole AS "mayCreateRoles" FROM pg_roles WHERE rolname = current_user`);
  if (!role) throw new ProvisionError('The database does not know its own current role.');
  return role;
}

/** Roles are new without any special right (no superuser, no bypass of row level security), and own nothing. */
async function createRoles(client: pg.Client, ownerUrl: string, keys: Keys): Promise<string> {
  const login = `medscan_app_${keys.derive('database-role-name').toString('hex').slice(0, 12)}`;
  const password = keys.derive('database-role-password').toString('base64url');
  const existing = new Set((await client.query<{ name: string }>('SELECT rolname AS name FROM pg_roles WHERE rolname = ANY($1)', [['medscan_app', login]])).rows.map(({ name }) => name));
  if (!existing.has('medscan_app')) await amongRivals(client, 'CREATE ROLE medscan_app NOLOGIN');
  if (!existing.has(login)) await amongRivals(client, `CREATE ROLE ${login} LOGIN PASSWORD '${password}'`);
  const { rows: [membership] } = await client.query<{ member: boolean }>(`SELECT EXISTS (SELECT 1 FROM pg_auth_members
    WHERE roleid = 'medscan_app'::regrole AND member = $1::regrole) AS member`, [login]);
  if (!membership?.member) await amongRivals(client, `GRANT medscan_app TO ${login}`);
  const appUrl = withCredentials(ownerUrl, login, password);
  if (await isWrongPassword(appUrl)) await amongRivals(client, `ALTER ROLE ${login} PASSWORD '${password}'`);
  return appUrl;
}

/** Roles belong to the whole cluster, where a database's advisory locks do not reach: a statement that lost a race is tried again. */
async function amongRivals(client: pg.Client, statement: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(statement);
      return;
    } catch (error) {
      const { code = '', message } = error as Error & { code?: string };
      if (code === '42710' || code === '23505') return; // a rival has made it
      if (attempt === 5 || !message.includes('concurrently updated')) throw error;
      await delay(20 * attempt);
    }
  }
}

async function isWrongPassword(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined); // reported by connect
  try {
    await client.connect();
    return false;
  } catch (error) {
    if ((error as { code?: string }).code === '28P01') return true;
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function withCredentials(url: string, user: string, password: string): string {
  const parsed = new URL(url);
  parsed.username = user;
  parsed.password = password;
  return parsed.href;
}

function explain(role: string): string {
  return `The database role ${role} of DATABASE_URL cannot make the application's own role, and row level security would not hold for ${role} itself. `
    + `Ask the database's administrator to run either ALTER ROLE ${role} CREATEROLE; or ALTER ROLE ${role} NOSUPERUSER NOBYPASSRLS;`;
}
