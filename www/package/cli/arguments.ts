/** What the user typed, checked before anything is read. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** A command that was given wrongly: the user is told how to get help. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

/** @throws `UsageError` for an option that is unknown or lacks its value. */
export function parse<const T extends Options>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (thrown) {
    // Node's own advice, behind the first sentence, is about positional arguments that begin with a dash.
    throw new UsageError((thrown as Error).message.split(/\.\s/)[0]!.replace(/\.$/, ''));
  }
}

/** The one file that a command takes. */
export function onlyFile(files: string[]): string {
  const [file, another] = files;
  if (file === undefined) throw new UsageError('no model file given');
  if (another !== undefined) throw new UsageError(`one model file expected, '${another}' is another`);
  return file;
}

/** `text`, if it is one of these. */
export function oneOf<T extends string>(choices: readonly T[], option: string, text: string): T {
  const choice = choices.find((choice) => choice === text);
  if (choice !== undefined) return choice;
  throw new UsageError(`--${option} is '${text}'; use ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`);
}

export function wholeNumber(option: string, text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new UsageError(`--${option} is '${text}'; use a whole number from 1`);
}
