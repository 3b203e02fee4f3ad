import { buildForPackage } from './build.ts';

/** Builds the exec agent for the capture function's package, or says that it is packaged without. */
export default class ExecAgentPlugin {
  constructor(_serverless, _options, { log }) {
    this.hooks = {
      'before:package:createDeploymentArtifacts': () => buildForPackage((line) => log.notice(line)),
    };
  }
}
