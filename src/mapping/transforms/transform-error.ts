/** The value cannot be transformed. The text says what was expected and never repeats the value, which may be PHI. */
export class TransformError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'TransformError';
  }
}
