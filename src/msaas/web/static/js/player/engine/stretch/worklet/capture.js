/**
 * Catches the class of the package that is imported next. It registers a processor of its own; ours extends that class, for
 * its way to load the WASM module, and plays otherwise.
 */

export const caught = {};

const { registerProcessor } = globalThis;

globalThis.registerProcessor = (_name, processor) => {
  caught.processor = processor;
  globalThis.registerProcessor = registerProcessor;
};
