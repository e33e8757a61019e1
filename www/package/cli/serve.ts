import { getRequestListener } from '@hono/node-server';
import { createServer } from 'node:http';
import { basename } from 'node:path';
import { createService } from '../service/service.js';
import { UsageError, parse, wholeNumber } from './arguments.js';

export const HELP = `Usage: nearside serve [NAME=]FILE... [options]
`;

const OPTIONS = {
  port: { type: 'string', short: 'p' },
  device: { type: 'string' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  if (!positionals.length) throw new UsageError('no model file given');
  const service = createService({ models: Object.fromEntries(positionals.map((file) => [basename(file).replace(/\.[^.]+$/, ''), { source: file, options: { device: (options.device as 'cpu') ?? 'cpu' } }])) });
  await service.ready();
  const server = createServer(getRequestListener((request) => service.fetch(request), { overrideGlobalObjects: false }));
  server.listen(options.port === undefined ? 8000 : wholeNumber('port', options.port), '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}/v2`));
}
