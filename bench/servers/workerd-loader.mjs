import code from 'hello.txt';

export default {
  fetch(request, env) {
    const worker = env.LOADER.get(new URL(request.url).pathname, () => ({
      compatibilityDate: '2026-11-01',
      mainModule: 'hello.js',
      modules: { 'hello.js': code },
      globalOutbound: null,
    }));
    return worker.getEntrypoint().fetch(request);
  },
};
