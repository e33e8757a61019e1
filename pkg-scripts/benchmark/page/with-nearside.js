// nearside, from the package as it is published.

export async function open({ name }, { threads, dtype, build }) {
  // The package asks this which of its two builds the browser can run.
  if (build === 'plain') WebAssembly.validate = () => false;
  const { load } = await import('./nearside.js');
  const bytes = new Uint8Array(await (await fetch(`${name}.safetensors`)).arrayBuffer());

  // An option that this package does not know yet may go where it asks for what happens anyway.
  const wanted = { threads, dtype };
  const usual = { threads: 1, dtype: 'f32' };
  for (;;) {
    try {
      const model = await load(bytes, { device: 'cpu', ...wanted });
      const { simd, threads: running = threads } = model.device;
      if (wanted.threads && running !== threads) throw new Error(`it runs on ${running} threads, not ${threads}`);
      return {
        report: { simd },
        predict: async (input) => (await model.predict(input)).data,
        predictSync: (input) => model.predictSync(input).data,
      };
    } catch (error) {
      const option = Object.keys(wanted).find((option) => error.message.includes(`no option '${option}'`));
      if (error.kind !== 'value' || !option) throw error;
      if (wanted[option] !== usual[option]) return { report: { simd: await simdOf(load, bytes), absent: true } };
      delete wanted[option];
    }
  }
}

async function simdOf(load, bytes) {
  const model = await load(bytes, { device: 'cpu' });
  const { simd } = model.device;
  model.dispose();
  return simd;
}
