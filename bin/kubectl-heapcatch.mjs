#!/usr/bin/env node
// `kubectl heapcatch …`: the same commands; where a pod is named, cluster and namespace are those of the current context.
process.env['HEAPCATCH_KUBECTL_PLUGIN'] = '1';
await import('./heapcatch.mjs');
