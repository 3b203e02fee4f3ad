// The scan alone, as a program of the image: for a sidecar or a CronJob, without the rest of the command line.
import { runGcScanCommand } from './command.ts';

// No top-level await: the program is bundled as CommonJS (infra/images/build.ts).
void runGcScanCommand(process.argv.slice(2)).then((exitCode) => {
  process.exitCode = exitCode;
});
