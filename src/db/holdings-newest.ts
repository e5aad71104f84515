/**
 * Pages of studies, newest first, and the short way to them when a part of a name is asked for. No index serves that: either every name is looked
 * through for patients who fit, or the studies are, from the newest on. A part that many names have fills its page among the newest studies; so these
 * are looked at first, and they are all there is to look at when the days asked for have no more.
 */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { candidateConditions, type Condition, dateCondition, type Matches } from './holdings-match.ts';
import { sql } from './pool.ts';

export interface Page { readonly matches: Matches; readonly zone: string; readonly limit: number; readonly offset: number; /** Only scans older than this one. */ readonly before?: string | undefined }

export const WITH_IMAGES = sql.fragment`s.organization_id = ${ORGANIZATION} AND s.instance_count > 0 AND s.study_instance_uid IS NOT NULL`;

/** Studies of a time come in its order: their index then serves the page, wherever in the past the time lies. Otherwise as they were made. */
export const studyOrder = ({ matches }: Page): Condition => (matches['studyDate'] ? sql.fragment`s.study_at DESC, s.scan_id DESC` : sql.fragment`s.scan_id DESC`);

export const pageOf = ({ limit, offset }: Page): Condition => sql.fragment`LIMIT ${limit} OFFSET ${offset}`;
export const olderThan = ({ before }: Page): Condition => (before ? sql.fragment`s.scan_id < ${before}` : sql.fragment`true`);

/** With their patients these are looked through in 8 ms; all names of 250,000 patients in 30, or 140 while they change. */
const MOST_NEWEST = 3_000;

/**
 * The page of `read`, which takes what stands for the table of scans and reads in studyOrder; undefined when the newest studies do not settle it, or
 * something else than a part of a name is asked for.
 */
export async function amongNewest<Row>(tx: CommonQueryMethods, page: Page, read: (scans: Condition) => Promise<readonly Row[]>): Promise<readonly Row[] | undefined> {
  if (!candidateConditions(page.matches).some(({ byPart }) => byPart)) return undefined;
  const rows = await read(sql.fragment`(SELECT s.* ${newest(page)}) s`);
  if (rows.length === page.limit) return rows; // every other study comes after these
  const looked = await tx.oneFirst(sql.type(z.object({ count: z.number() }))`SELECT count(*)::int AS count FROM (SELECT ${newest(page)}) s`);
  return looked < MOST_NEWEST ? rows : undefined;
}

function newest(page: Page): Condition {
  const { studyDate } = page.matches;
  const ofTime = studyDate ? dateCondition(sql.fragment`s.study_at`, studyDate, page.zone) : sql.fragment`true`;
  return sql.fragment`FROM scans s WHERE ${WITH_IMAGES} AND ${olderThan(page)} AND ${ofTime} ORDER BY ${studyOrder(page)} LIMIT ${MOST_NEWEST}`;
}
