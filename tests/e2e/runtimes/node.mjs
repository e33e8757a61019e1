// In Node, without a server: what is asked of the handler, from files in this folder.
import { readFileSync } from 'node:fs';
import { createService } from 'nearside/service';
import { ask } from './requests.mjs';

const service = createService({ models: { mnist: 'mnist.h5', branches: 'branches.h5' } });
const send = (path, init) => service.fetch(new Request(`http://localhost${path}`, init));
const recorded = { mnist: readFileSync('mnist.npz'), branches: readFileSync('branches.npz') };
console.log(JSON.stringify(await ask(send, recorded)));
