// The least that any answer of a GPU takes: a submission that copies a few bytes, which are read.

const BYTES = 40;

export async function open() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error('there is no WebGPU adapter');
  const device = await adapter.requestDevice();
  const make = (usage) => device.createBuffer({ size: BYTES, usage });
  const source = make(GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
  const target = make(GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const { description, vendor, architecture, isFallbackAdapter } = adapter.info;
  return {
    report: { adapter: description || `${vendor} ${architecture}`, software: isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${description} ${architecture}`) },
    async predict() {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, target, 0, BYTES);
      device.queue.submit([encoder.finish()]);
      await target.mapAsync(GPUMapMode.READ);
      const data = new Float32Array(target.getMappedRange().slice(0));
      target.unmap();
      return data;
    },
  };
}
