import { createService } from 'nearside/service';
import mnist from './mnist.h5';
import branches from './branches.h5';

export default createService({ models: { mnist, branches } });
