/** The same hello as a function of @google-cloud/functions-framework, which finds it by its name. */
const [frameworkFolder, handlerFile] = [process.env.BENCH_FRAMEWORK, process.env.BENCH_HANDLER];
require(frameworkFolder).http('hello', require(handlerFile));
