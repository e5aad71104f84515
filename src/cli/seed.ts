import { withInstallation } from './with-installation.ts';

export async function seedCommand(): Promise<void> {
  const { seed } = await import('../db/seed.ts');
  await withInstallation(async ({ database }) => { await seed(database); });
  console.log('Reference data and the sample hospital are in the database.');
}
