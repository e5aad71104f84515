/** What is wrong with a model's settings, a rule or a template before it is stored: pointers into what was given, in words. Empty: nothing. */
import { z } from 'zod';
import { aiModelConfigSchema } from '../ai/model.ts';
import { actionSchema, conditionSchema } from './rules.ts';
import { templateSlots } from './report-document.ts';

export interface ConfigurationProblem { readonly pointer: string; readonly message: string }

export function modelConfigProblems(config: unknown): ConfigurationProblem[] {
  return problemsOf('/config', aiModelConfigSchema.safeParse(config));
}

export function ruleProblems({ conditions, actions }: { readonly conditions: Readonly<Record<string, unknown>>; readonly actions: readonly unknown[] }): ConfigurationProblem[] {
  return [
    ...(Object.keys(conditions).length === 0 ? [] : problemsOf('/conditions', conditionSchema.safeParse(conditions))),
    ...problemsOf('/actions', z.array(actionSchema).safeParse(actions)),
  ];
}

export function templateProblems(sections: Readonly<Record<string, string | undefined>>): ConfigurationProblem[] {
  return Object.entries(sections).flatMap(([name, text]) => [...(text ?? '').matchAll(/\{\{\s*([^}]*?)\s*\}\}/g)].filter(([, slot = '']) => !(templateSlots as readonly string[]).includes(slot))
    .map(([whole]) => ({ pointer: `/sections/${name}`, message: `${whole} is no slot; there are ${templateSlots.join(', ')}` })));
}

function problemsOf(at: string, parsed: z.ZodSafeParseResult<unknown>): ConfigurationProblem[] {
  return parsed.success ? [] : parsed.error.issues.map((issue) => ({ pointer: [at, ...issue.path.map(String)].join('/'), message: issue.message }));
}
