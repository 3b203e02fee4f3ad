// The scan alone, as a program of the image: for a sidecar or a CronJob, without the rest of the command line.
import { runGcScanCommand } from './command.ts';

process.exitCode = await runGcScanCommand(process.argv.slice(2));
