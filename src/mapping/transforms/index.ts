/**
 * The closed list of transforms that mapping files may name. A transform takes the text of one value and gives its result,
 * gives undefined when nothing is left of it, or throws TransformError. Its argument is checked when the file is loaded;
 * an argument '$name' is a setting of the integration, looked up for each message.
 */
import type { z } from 'zod';
import { dateTransforms } from './dates.ts';
import { nameTransforms } from './names.ts';
import { numberTransforms } from './numbers.ts';
import { textTransforms } from './text.ts';

export interface AnyTransform {
  /** One sentence for docs/mappings.md. */
  readonly title: string;
  readonly argument: z.ZodType;
  readonly gives: 'text' | 'number' | 'boolean' | 'list';
  apply(value: string, argument: never): unknown;
}
export interface Transform<Argument> extends AnyTransform {
  readonly argument: z.ZodType<Argument>;
  apply(value: string, argument: Argument): unknown;
}

export const transforms: ReadonlyMap<string, AnyTransform> = new Map<string, AnyTransform>(
  Object.entries({ ...textTransforms, ...numberTransforms, ...dateTransforms, ...nameTransforms }),
);
