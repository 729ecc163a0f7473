// Compiles the script on its standard input and writes V8's code cache of it to standard output; run by bytecode-maker.ts as
// `node -e <this text>`, a process for each script. It never runs the script. No dependencies, and not TypeScript: whose
// types Node takes off in 35 ms.
'use strict';
const fs = require('node:fs');
const v8 = require('node:v8');
const vm = require('node:vm');

const text = fs.readFileSync(0, 'utf8');
// All functions, not only those that stand ready to be called. Sandboxes run without the flag, and V8 refuses what was made
// under other flags than its own: they are compared with those at the time of writing.
v8.setFlagsFromString('--no-lazy');
const script = new vm.Script(text, { filename: 'script.js' });
v8.setFlagsFromString('--lazy');
fs.writeFileSync(1, script.createCachedData());
