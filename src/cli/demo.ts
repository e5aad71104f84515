import { loadConfig } from '../config.ts';

export async function demo(options: { readonly exit?: true; readonly input?: string }): Promise<void> {
  const { runDemo } = await import('../simulator/demo.ts');
  process.exitCode = await runDemo(loadConfig(), { exit: options.exit ?? false, input: options.input });
}
