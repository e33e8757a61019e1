// Serves folders over HTTP: a development server, and what the tests and benchmarks run against.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import sirv from 'sirv';

/** What a page must be sent with to share memory between threads. */
export const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/**
 * Serves `folders`, the first that has a file winning, on `port` (0 for any free one), each file with `headers`. `onRequest`
 * is told of each request.
 * Resolves to the server's address and a function that stops it.
 */
export async function serve(folders, port = 0, headers = {}, onRequest = () => {}) {
  const setHeaders = (response) => Object.entries(headers).forEach(([name, value]) => response.setHeader(name, value));
  // `dev` reads files when they are asked for; an ETag lets the browser keep what has not changed.
  const handlers = folders.map((folder) => sirv(folder, { dev: true, etag: true, setHeaders }));
  const server = createServer((request, response) => {
    onRequest(request);
    const next = ([handler, ...rest]) =>
      handler ? handler(request, response, () => next(rest)) : response.writeHead(404).end('not found');
    next(handlers);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}/`,
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const port = Number(process.env.PORT ?? 8080);
  const { url } = await serve(['target/site'], port).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return serve(['target/site']);
  });
  console.log(`\nnearside: ${url}\n(Ctrl+C stops it)`);
}
