import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export const viewerNames = ['mat', 'visualvm'] as const;
export type ViewerName = (typeof viewerNames)[number];

/** A program that shows heap dumps, and how it is started with one. */
export interface Viewer {
  readonly name: ViewerName;
  readonly program: string;
  args(dumpPath: string): readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

const known: Readonly<
  Record<
    ViewerName,
    {
      programs: readonly string[];
      homeVariable: string;
      inHome: readonly string[];
      places: readonly string[];
      args: (dumpPath: string) => readonly string[];
    }
  >
> = {
  mat: {
    programs: ['MemoryAnalyzer', 'mat'],
    homeVariable: 'MAT_HOME',
    inHome: ['MemoryAnalyzer'],
    places: [
      '/Applications/MemoryAnalyzer.app/Contents/MacOS/MemoryAnalyzer',
      '/Applications/mat.app/Contents/MacOS/MemoryAnalyzer',
      '/opt/mat/MemoryAnalyzer',
    ],
    // Of the Eclipse launcher: the file goes to the workbench as one to open.
    args: (dumpPath) => ['--launcher.openFile', dumpPath],
  },
  visualvm: {
    programs: ['visualvm', 'jvisualvm'],
    homeVariable: 'VISUALVM_HOME',
    inHome: ['bin/visualvm'],
    places: ['/Applications/VisualVM.app/Contents/MacOS/visualvm', '/opt/visualvm/bin/visualvm'],
    args: (dumpPath) => ['--openfile', dumpPath],
  },
};

/** The first of the wanted programs that is installed: by its variable, on the PATH, or where installers put it. */
export function findViewer(
  env: Env,
  wanted: readonly ViewerName[] = viewerNames,
  isProgram: (path: string) => boolean = isExecutable,
): Viewer | undefined {
  for (const name of wanted) {
    const { programs, homeVariable, inHome, places, args } = known[name];
    const home = env[homeVariable];
    const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
    const candidates = [
      ...(home ? inHome.map((path) => join(home, path)) : []),
      ...folders.flatMap((folder) => programs.map((program) => join(folder, program))),
      ...places,
    ];
    const program = candidates.find(isProgram);
    if (program !== undefined) return { name, program, args };
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
