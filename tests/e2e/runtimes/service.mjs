// For Deno and Bun.
import { createService } from 'nearside/service';

export default createService({ models: { mnist: 'mnist.h5', branches: 'branches.h5' } });
