// Runs the original graph model with TensorFlow.js; called by check_movenet.py.
// node check_movenet.cjs MODEL.json MODEL.bin HEIGHT WIDTH < uint8 RGB picture > [6][56] numbers as JSON
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const here = createRequire(path.join(process.cwd(), 'package.json'));
console.log = console.warn = console.info = () => {};
const tf = here('@tensorflow/tfjs-core');
here('@tensorflow/tfjs-backend-cpu');
const { loadGraphModel } = here('@tensorflow/tfjs-converter');

async function main([json, bin, height, width]) {
  const graph = JSON.parse(fs.readFileSync(json));
  const weightSpecs = graph.weightsManifest.flatMap((group) => group.weights);
  const weightData = new Uint8Array(fs.readFileSync(bin)).buffer;
  const { modelTopology, format, signature } = graph;
  const model = await loadGraphModel({
    load: async () => ({ modelTopology, weightSpecs, weightData, format, signature }),
  });
  const pixels = new Int32Array(fs.readFileSync(0));
  const people = await model.executeAsync(tf.tensor(pixels, [1, Number(height), Number(width), 3], 'int32'));
  process.stdout.write(JSON.stringify((await people.array())[0]));
}

main(process.argv.slice(2));
