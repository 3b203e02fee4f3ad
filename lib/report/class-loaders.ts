import type { Survey } from '../hprof/survey.ts';
import { idText } from '../hprof/id-table.ts';
import type { Report } from './report-schema.ts';

const maxRows = 500;

/** The class of an object by its identifier, where an index of objects is at hand. */
export type ClassNameOf = (high: number, low: number) => string | undefined;

/** Class loaders with how many classes each has, and the classes of one name that several of them have. */
export function loadersOf(
  survey: Survey,
  classNameOf: ClassNameOf,
): Pick<Report, 'loaders' | 'duplicateClasses'> {
  const loaders = new Map<string, Report['loaders'][number]>();
  const loadersOfName = new Map<string, Set<string>>();
  for (const [index, { loaderHigh, loaderLow }] of survey.classes.entries()) {
    const name = survey.tally.nameOf(index, survey.names);
    // The JVM makes classes of arrays itself, for the loader of their elements' class.
    if (name.startsWith('[')) continue;
    const id = idText(loaderHigh, loaderLow);
    const loader = loaders.get(id) ?? {
      className: id === '0x0' ? 'boot class loader' : (classNameOf(loaderHigh, loaderLow) ?? '?'),
      id,
      classCount: 0,
    };
    loader.classCount += 1;
    loaders.set(id, loader);
    const ofName = loadersOfName.get(name) ?? new Set();
    loadersOfName.set(name, ofName.add(id));
  }
  return {
    loaders: [...loaders.values()]
      .sort((one, other) => other.classCount - one.classCount)
      .slice(0, maxRows),
    duplicateClasses: [...loadersOfName]
      .filter(([, ids]) => ids.size > 1)
      .map(([className, ids]) => ({ className, loaderCount: ids.size }))
      .sort((one, other) => other.loaderCount - one.loaderCount)
      .slice(0, maxRows),
  };
}
