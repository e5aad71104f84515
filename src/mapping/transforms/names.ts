/** DICOM PN (PS3.5 6.2.1): up to three groups separated by '=', each up to five components separated by '^'. */
import { z } from 'zod';
import type { AnyTransform, Transform } from './index.ts';

const groups = ['alphabetic', 'ideographic', 'phonetic'] as const;
const components = ['family', 'given', 'middle', 'prefix', 'suffix'] as const;
const argument = z.strictObject({ group: z.enum(groups).default('alphabetic'), part: z.enum(components).optional() });

const dicomPersonName: Transform<z.output<typeof argument>> = {
  title: 'One component (part: family, given, middle, prefix, suffix) or, without part, a whole group (alphabetic, ideographic, phonetic) of a DICOM person name.',
  argument: argument as z.ZodType<z.output<typeof argument>>, gives: 'text',
  apply(value, { group, part }) {
    const chosen = value.split('=')[groups.indexOf(group)];
    if (part === undefined) return chosen?.replace(/[\^ ]+$/, '').trimStart();
    return chosen?.split('^')[components.indexOf(part)]?.trim();
  },
};

export const nameTransforms = { 'dicom-person-name': dicomPersonName } satisfies Record<string, AnyTransform>;
