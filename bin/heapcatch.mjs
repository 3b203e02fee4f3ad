#!/usr/bin/env node
// The command line. Node 24 runs its TypeScript as it is.
import '../lib/cli/main.ts';
