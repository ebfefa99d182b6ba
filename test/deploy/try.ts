import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from './machines.js';
import { MACHINES, inventory } from './environment.js';
const packages = join(import.meta.dirname, '..', '..', 'packages');
const lab = new Lab(MACHINES.slice(0, 4), []);
const t = () => new Date().toISOString().slice(11, 23);
console.log(t(), lab.dir);
await lab.prepare();
for (const m of lab.machines) {
  const { mkdirSync } = await import('node:fs');
  mkdirSync(m.path('/etc/cinder'), { recursive: true });
  mkdirSync(m.path('/etc/nova'), { recursive: true });
  writeFileSync(
    m.path('/etc/cinder/cinder.conf'),
    '[DEFAULT]\nenabled_backends = lvm\n\n[lvm]\nvolume_backend_name = lvm\n',
  );
  writeFileSync(m.path('/etc/nova/nova.conf'), '[DEFAULT]\n');
}
console.log(t(), 'prepared');
await Promise.all(lab.machines.map((m) => m.boot()));
console.log(t(), 'booted');
const inv = join(lab.dir, 'inv.yaml');
writeFileSync(inv, inventory([1, 2, 3, 4], { keyFile: lab.keyFile, packages }));
for (const _ of [1, 2]) {
  const out = await lab.outside([
    process.execPath,
    join(import.meta.dirname, '..', '..', 'backend/bin/deploy.js'),
    'apply',
    '--inventory',
    inv,
  ]);
  console.log(t(), out.code, out.stdout, out.stderr);
}
console.log('waiting; kill me', process.pid);
process.on('SIGTERM', () => {
  void lab.remove().then(() => process.exit(0));
});
setInterval(() => undefined, 1000);
