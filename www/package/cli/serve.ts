import { getRequestListener } from '@hono/node-server';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { basename } from 'node:path';
import { NearsideError } from '../node.js';
import { isSealed, unseal } from '../seal/seal.js';
import { fileStore } from '../service/file-store.js';
import { type Caller, type Scope, type ServedModel, createService } from '../service/service.js';
import { UsageError, oneOf, parse, wholeNumber } from './arguments.js';
import { naming } from './load.js';
import { assertOneSecret, readKey, readSecret } from './secrets.js';
import { readTokenKey } from './token.js';

export const HELP = `Usage: nearside serve [NAME=]FILE... [options]

Answers the Open Inference Protocol, version 2, over HTTP, as KServe and Triton do, with the models in these files:
their names are those of the files, unless NAME= gives another. NAME@VERSION= gives a version as well.

Options:
  -p, --port N              where to listen (default: 8000; 0 for any free one)
      --host ADDRESS        on which address (default: 127.0.0.1: this machine alone)
      --max-batch-size N    samples computed at once, at most (default: 64)
      --max-delay MS        milliseconds that a request may wait for others (default: 0)
      --max-queue N         requests that may wait; others are refused with 503 (default: 1024)
      --device DEVICE       cpu, gpu or auto (default: auto)
      --dtype DTYPE         how weights are kept: f32, f16 or int8
      --allow-origin ORIGIN a site whose pages may ask, such as https://example.org; may be given several times
      --token-key FILE      takes capability tokens signed with this key, a JWK or 32 bytes and more: see nearside token
      --require-token       answers nobody without a token
      --manage              lets this machine load and unload models, read the log, and back up
      --key FILE, --passphrase-file FILE, --verify FILE
                            open files that are sealed: see nearside open
      --store FILE          keeps the log, uploaded models and used tokens in this file, from one start to the next
      --no-audit            keeps no log
  -h, --help                print this

Examples:
  nearside serve mnist.h5
  nearside serve digits@1=old.keras digits@2=new.keras --port 9000
  curl -d '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}' \\
    http://127.0.0.1:8000/v2/models/iris/infer
`;

const OPTIONS = {
  port: { type: 'string', short: 'p' },
  host: { type: 'string' },
  'max-batch-size': { type: 'string' },
  'max-delay': { type: 'string' },
  'max-queue': { type: 'string' },
  device: { type: 'string' },
  dtype: { type: 'string' },
  'allow-origin': { type: 'string', multiple: true },
  'token-key': { type: 'string' },
  'require-token': { type: 'boolean' },
  manage: { type: 'boolean' },
  key: { type: 'string' },
  'passphrase-file': { type: 'string' },
  verify: { type: 'string' },
  store: { type: 'string' },
  'no-audit': { type: 'boolean' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  if (!positionals.length) throw new UsageError('no model file given');
  const number = (option: 'port' | 'max-batch-size' | 'max-delay' | 'max-queue') =>
    options[option] === undefined ? undefined : options[option] === '0' ? 0 : wholeNumber(option, options[option]);
  const [port = 8000, maxBatchSize, maxDelay, maxQueue] = [number('port'), number('max-batch-size'), number('max-delay'), number('max-queue')];
  const device = oneOf(['auto', 'cpu', 'gpu'], 'device', options.device ?? 'auto');
  const dtype = options.dtype === undefined ? undefined : oneOf(['f32', 'f16', 'int8'], 'dtype', options.dtype);
  const host = options.host ?? '127.0.0.1';
  assertOneSecret('', options);
  const isSecret = options.key !== undefined || options['passphrase-file'] !== undefined;
  const secret = {
    ...(isSecret && (await readSecret(options, 'none'))),
    ...(options.verify !== undefined && { verify: await readKey(options.verify) }),
  };
  const how = {
    // Files that are not sealed may be served beside those that are.
    ...(Object.keys(secret).length && { open: async (file: Uint8Array) => (isSealed(file) ? unseal(file, secret) : file) }),
    options: { device, ...(dtype && { dtype }) },
    ...(maxBatchSize !== undefined && { maxBatchSize }),
    ...(maxDelay !== undefined && { maxDelay }),
    ...(maxQueue !== undefined && { maxQueue }),
  };

  const models = new Map<string, ServedModel[]>();
  for (const argument of positionals) {
    const { name, version, source } = split(argument);
    const versions = models.get(name) ?? [];
    if (versions.some((other) => other.version === version)) throw new UsageError(`the model '${name}' is given twice; write NAME@VERSION=${source}`);
    models.set(name, [...versions, { ...how, source, version }]);
  }
  if (options['require-token'] && options['token-key'] === undefined) throw new UsageError('--require-token needs --token-key');
  const tokens = options['token-key'] === undefined ? undefined : { keys: [await readTokenKey(options['token-key'])], required: options['require-token'] ?? false };
  const others = (options['allow-origin'] ?? []).map((origin): [string, Scope[]] => [origin, ['infer', 'explain']]);
  const self: Scope[] = options.manage ? ['infer', 'explain', 'manage'] : ['infer', 'explain'];
  const service = createService({
    models: Object.fromEntries(models),
    policy: { hosts: namesOf(host), grants: Object.fromEntries([['self', self], ...others]), ...(tokens && { tokens }) },
    audit: !options['no-audit'],
    ...(options.store !== undefined && { store: fileStore(options.store) }),
  });
  await service.ready();
  for (const { name, state, fault } of service.models()) {
    if (state !== 'ready') await naming(positionals.find((argument) => split(argument).name === name)!, () => Promise.reject(fault));
  }
  const answer = async (request: Request, caller: Caller) => {
    const response = await service.fetch(request, caller);
    void discard(request);
    return response;
  };
  const listener = getRequestListener((request, { incoming }) => answer(request, callerOf(incoming.socket)), { overrideGlobalObjects: false });
  const server = createServer((request, response) => void listener(request, response));
  await listen(server, port, host);
  const address = server.address() as AddressInfo;
  process.stdout.write(`nearside: http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}/v2 serves ${[...models.keys()].join(', ')}\n`);

  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  // What was asked is answered.
  server.close();
  await service.dispose();
  await service.flush();
  server.closeIdleConnections();
}

/** Callers are told apart by their addresses. */
function callerOf({ remoteAddress }: { remoteAddress?: string | undefined }): Caller {
  return remoteAddress === undefined ? {} : { client: remoteAddress };
}

/** What the service may be called by who listens on an address: `Host` is what a page's address says, whoever gave it that name. */
function namesOf(host: string): string[] {
  const all = host === '0.0.0.0' || host === '::';
  const others = all ? [hostname(), ...Object.values(networkInterfaces()).flatMap((found) => found!.map(({ address }) => address))] : [host];
  const spelled = others.map((name) => new URL(`http://${name.includes(':') ? `[${name.replace(/%.*/, '')}]` : name}`).hostname);
  return [...new Set(['localhost', '127.0.0.1', '[::1]', ...spelled])];
}

/** Takes NAME@VERSION=FILE apart. A file of that form can be written ./NAME=FILE. */
function split(argument: string): { name: string; version: string; source: string } {
  const [, name, version = '1', source] = /^([\w.:-]+)(?:@([\w.:-]+))?=(.+)$/.exec(argument) ?? [];
  if (name !== undefined) return { name, version, source: source! };
  return { name: basename(argument).replace(/(\.[a-z]\w*)+$/i, ''), version, source: argument };
}

/** Reads what a refusal left of a request: what comes next over the connection would wait behind it, and be lost. */
async function discard({ body }: Request): Promise<void> {
  if (body && !body.locked) await body.pipeTo(new WritableStream()).catch(() => undefined);
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (cause) {
    throw new NearsideError('network', `port ${port} of ${host} could not be listened on: ${(cause as Error).message}`, {}, { cause });
  }
}
