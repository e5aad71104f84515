import { createApiToken } from '../db/user-sessions.ts';
import { checkRole } from './user.ts';
import { withInstallation } from './with-installation.ts';

/** Prints the token and nothing else, so that a script can keep it. */
export async function createTokenCommand(options: { readonly role: string; readonly organization?: string; readonly name: string; readonly days?: number }): Promise<void> {
  checkRole(options.role);
  const expiresAt = options.days === undefined ? undefined : new Date(Date.now() + options.days * 86_400_000);
  const { token } = await withInstallation(({ database }) => createApiToken(database, { organizationName: options.organization, role: options.role, name: options.name, expiresAt }));
  console.log(token);
}
